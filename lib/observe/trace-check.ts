// Checks a line of a trace file field by field: a file comes from elsewhere and may hold anything.

import * as v from 'valibot';
import { MAX_DEPTH } from '../control/controller.js';
import type {
  TraceEnd,
  TraceGeneration,
  TraceHeader,
  TraceLine,
  TracePosition,
  TraceStep,
} from './trace-format.js';

const MOST = 2 ** 31 - 1;
const whole = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MOST));
const milliseconds = v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(1e9));
const depth = v.pipe(whole, v.maxValue(MAX_DEPTH));
const tokens = numbers(0, MOST, MAX_DEPTH + 1, true);
const draft = numbers(0, MOST, MAX_DEPTH, true);
// A softmax in float32 may end a little beyond 0 and 1, and an entropy a little below 0.
const shares = numbers(-0.001, 1.001, MAX_DEPTH, false);
const origins = v.optional(numbers(0, 3, MAX_DEPTH, true));
const matches = v.optional(numbers(-1.001, 1.001, MAX_DEPTH, false));
const nats = numbers(-0.001, 1000, MAX_DEPTH, false);
const file = v.object({ file: v.string(), sha256: v.string() });

const costTable = v.object({
  target: v.pipe(
    v.array(v.object({ rows: v.pipe(whole, v.minValue(1)), contextLength: whole, ms: positive() })),
    v.minLength(1),
  ),
  draft: v.object({
    msPerToken: milliseconds,
    threads: whole,
    startMs: v.optional(milliseconds),
    afterMs: v.optional(milliseconds),
    readMs: v.optional(milliseconds),
  }),
  overheadMs: milliseconds,
  rebuildMs: milliseconds,
  mixedMs: v.optional(milliseconds),
  callbackMs: milliseconds,
  unconfirmed: v.optional(v.boolean()),
});

const header = v.object({
  format: v.literal('adaptive-spec-trace'),
  version: v.literal(1),
  mode: v.picklist(['exhaustive', 'steps']),
  createdAt: v.string(),
  model: file,
  draft: v.optional(file),
  drafter: v.optional(v.string()),
  maxDepth: depth,
  costs: v.optional(costTable),
});

const generation = v.object({
  generation: v.object({
    id: v.string(),
    kind: v.string(),
    promptTokens: whole,
    promptText: v.string(),
    maxTokens: whole,
    temperature: v.pipe(v.number(), v.finite(), v.minValue(0)),
    seed: v.pipe(v.number(), v.finite()),
    controller: v.optional(v.string()),
    drafters: v.optional(v.pipe(v.array(v.string()), v.maxLength(64))),
    drafter: v.optional(v.string()),
    costs: v.optional(costTable),
  }),
});

const position = v.pipe(
  v.object({
    i: whole,
    token: whole,
    text: v.string(),
    draft,
    p: shares,
    m: shares,
    h: nats,
    o: origins,
    x: matches,
    right: depth,
    draftMs: milliseconds,
    contextLength: whole,
  }),
  v.check(
    (line) => signalsFit(line),
    'p, m and h are as long as draft, or all empty; o and x too, or missing',
  ),
  v.check(({ right, draft }) => right <= draft.length, 'right is no more than the length of draft'),
);

const step = v.pipe(
  v.object({
    step: whole,
    position: whole,
    depth,
    drafted: depth,
    verified: depth,
    accepted: depth,
    tokens,
    text: v.string(),
    draft,
    p: shares,
    m: shares,
    h: nats,
    o: origins,
    x: matches,
    b: v.optional(
      v.pipe(
        v.object({
          tokens,
          parents: v.array(v.pipe(v.number(), v.integer(), v.minValue(-1))),
          p: shares,
          accepted: whole,
        }),
        v.check(
          (b) => b.parents.length === b.tokens.length && b.p.length === b.tokens.length,
          'tokens, parents and p of b are as long',
        ),
        v.check((b) => b.accepted <= b.tokens.length, 'accepted of b is at most its tokens'),
      ),
    ),
    draftMs: milliseconds,
    verifyMs: milliseconds,
    catchUpMs: milliseconds,
    otherMs: milliseconds,
    rows: whole,
    contextLength: whole,
    drafter: v.string(),
    drafterLag: whole,
    late: v.boolean(),
    running: whole,
    waiting: whole,
    asked: v.boolean(),
  }),
  v.check(
    (line) => signalsFit(line),
    'p, m and h are as long as draft, or all empty; o and x too, or missing',
  ),
  v.check(({ draft, drafted }) => draft.length === drafted, 'draft has drafted tokens'),
  v.check(
    ({ drafted, verified, accepted }) => accepted <= verified && verified <= drafted,
    'accepted <= verified <= drafted',
  ),
  v.check(
    ({ tokens, accepted, b }) => tokens.length <= accepted + (b?.accepted ?? 0) + 1,
    'tokens has at most accepted + 1, and those accepted of b',
  ),
);

const end = v.object({ end: v.object({ tokens: whole, finishReason: v.string() }) });

/** A cost table from elsewhere, such as a file. */
export const costTableSchema = costTable;

/** What a checked line is. */
export type CheckedLine =
  | { type: 'header'; line: TraceHeader }
  | { type: 'generation'; line: TraceGeneration }
  | { type: 'position'; line: TracePosition }
  | { type: 'step'; line: TraceStep }
  | { type: 'end'; line: TraceEnd };

/** Says what kind of line a value is and that it is whole, or what is wrong with it, as a text. */
export function checkLine(value: unknown): CheckedLine | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'it is no object';
  if ('format' in value) return checked('header', header, value);
  if ('generation' in value) return checked('generation', generation, value);
  if ('i' in value) return checked('position', position, value);
  if ('step' in value) return checked('step', step, value);
  if ('end' in value) return checked('end', end, value);
  return 'it is of no known kind';
}

function checked<T extends CheckedLine['type']>(
  type: T,
  schema: v.GenericSchema<unknown, unknown>,
  value: object,
): CheckedLine | string {
  const result = v.safeParse(schema, value, { abortEarly: true, abortPipeEarly: true });
  if (result.success) return { type, line: result.output as TraceLine } as CheckedLine;
  return faultOf(result.issues[0]);
}

/** Where a value doesn't fit its schema, and what was expected there. */
export function faultOf(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue);
  return path === null ? issue.message : `${path}: ${issue.message}`;
}

function signalsFit({
  draft,
  p,
  m,
  h,
  o,
  x,
}: Pick<TracePosition, 'draft' | 'p' | 'm' | 'h' | 'o' | 'x'>): boolean {
  // A drafter that says no probabilities still says where a token comes from.
  const told = [m, h].every((list) => list === undefined || list.length === p.length);
  const origins = [o, x].every((list) => list === undefined || list.length === draft.length);
  return told && origins && (p.length === draft.length || p.length === 0);
}

function positive() {
  return v.pipe(v.number(), v.gtValue(0), v.maxValue(1e9));
}

/** A list of numbers within bounds, checked in one loop: a trace has millions. */
function numbers(low: number, high: number, most: number, integers: boolean) {
  const kind = integers ? 'whole numbers' : 'numbers';
  return v.custom<number[]>(
    (value) =>
      Array.isArray(value) &&
      value.length <= most &&
      value.every(
        (n) => typeof n === 'number' && n >= low && n <= high && (!integers || Number.isInteger(n)),
      ),
    `Expected at most ${most} ${kind} from ${low} to ${high}`,
  );
}
