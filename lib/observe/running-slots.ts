// What llama-server's /slots says of requests that run: its counters move only when a request has ended.

/** Requests that run, and how many tokens each has by now, by the number of its task. */
export type RunningSlots = ReadonlyMap<number, number>;

/** Of running requests since the reading before. */
export interface LiveTokens {
  /** Tokens that they have by now; missing where the server doesn't say. */
  tokens?: number;
  /** Since the reading before, where the same requests ran then: emitted per step, and per second. */
  tokensPerStep?: number;
  tokensPerSecond?: number;
}

/** A counter that is larger is printed without its last digits. */
const MOST_DIGITS = 1e6;

/** Reads the answer of /slots; undefined where it is none. */
export function runningSlots(body: unknown): RunningSlots | undefined {
  if (!Array.isArray(body)) return undefined;
  const running = new Map<number, number>();
  for (const slot of body as Record<string, unknown>[]) {
    if (slot?.is_processing !== true) continue;
    const [next] = Array.isArray(slot.next_token) ? slot.next_token : [];
    const [task, decoded] = [slot.id_task, (next as Record<string, unknown> | undefined)?.n_decoded];
    if (typeof task === 'number' && typeof decoded === 'number') running.set(task, decoded);
  }
  return running;
}

/**
 * What the requests of `now` have, and made since `before`. `passes` and `seconds` are those between the two readings;
 * each pass through the target is a step of all that run.
 */
export function liveTokens(
  now: RunningSlots | undefined,
  before: RunningSlots | undefined,
  { passes, totalPasses, seconds }: { passes: number; totalPasses: number; seconds: number },
): LiveTokens {
  if (!now || now.size === 0) return {};
  const tokens = [...now.values()].reduce((sum, decoded) => sum + decoded, 0);
  const isSame = before?.size === now.size && [...now.keys()].every((task) => before.has(task));
  if (!isSame) return { tokens };
  const made = tokens - [...before.values()].reduce((sum, decoded) => sum + decoded, 0);
  if (made < 0) return { tokens };
  return {
    tokens,
    ...(passes > 0 && totalPasses < MOST_DIGITS ? { tokensPerStep: made / (passes * now.size) } : {}),
    ...(seconds > 0 ? { tokensPerSecond: made / seconds } : {}),
  };
}
