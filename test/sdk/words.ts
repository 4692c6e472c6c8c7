// What the contract asks of an SDK, in words that every SDK has.
import type {
  GenerationResult,
  JsonSchema,
  Message,
  RequestOptions,
  Tool,
  ToolChoice,
} from '../../lib/index.js';

/** A request. */
export type Ask = Pick<
  RequestOptions,
  'maxTokens' | 'temperature' | 'seed' | 'signal' | 'controller' | 'depth'
> & {
  messages: Message[];
  stop?: string[];
  tools?: Tool[];
  toolChoice?: ToolChoice;
};

export interface Answer {
  text: string;
  finishReason: string;
  calls: { id: string; name: string; args: unknown }[];
  promptTokens: number;
  completionTokens: number;
  told: Told;
}

/** Of the seed and the statistics what an SDK lets through. */
export interface Told {
  seed?: number;
  controller?: string;
  steps?: number;
  draftTokens?: number;
  acceptedTokens?: number;
}

/** An SDK, in use. Errors are thrown as its user gets them. */
export interface Sdk {
  text(ask: Ask): Promise<Answer>;
  /** Calls `onText` for every piece. */
  stream(ask: Ask, onText: (text: string) => void): Promise<Answer>;
  json(ask: Ask, schema: JsonSchema): Promise<unknown>;
  /** What this package calls the error; undefined where it can't be known from what was thrown. */
  codeOf(error: unknown): string | undefined;
  isAbort(error: unknown): boolean;
  /** Whether a tool's result is sent with the tool's name: OpenAI's API has the call's id only. */
  namesResults: boolean;
}

/** A server that is asked over HTTP. */
export interface Address {
  baseURL: string;
  apiKey: string;
  model: string;
}

/** What the adapters of this package tell beside an answer. */
export function toldBy({ seed, stats }: Pick<GenerationResult, 'seed' | 'stats'>): Told {
  const { steps, draftTokens, acceptedTokens, controller } = stats;
  return { seed, controller: controller.name, steps, draftTokens, acceptedTokens };
}

/** What the server tells in a reply's body. */
export function toldByServer(body: { timings?: { draft_n?: number; draft_n_accepted?: number } }): Told {
  const { draft_n, draft_n_accepted } = body.timings ?? {};
  return draft_n === undefined ? {} : { draftTokens: draft_n, acceptedTokens: draft_n_accepted! };
}

/** The fields by which the server takes what OpenAI's API has no word for. */
export function ownFields({ controller, depth }: Ask): { adaptive_spec?: object } {
  if (controller === undefined && depth === undefined) return {};
  return { adaptive_spec: { controller, depth } };
}

export function codeOfOwn(error: unknown): string | undefined {
  const { name, code } = error as { name?: string; code?: string };
  return name === 'AdaptiveSpecError' ? code : undefined;
}

/** The server says it in OpenAI's words where OpenAI has one. */
export function codeOfReply(status: number | undefined, code: unknown): string | undefined {
  if (status !== 400) return undefined;
  return code === 'context_length_exceeded' ? 'CONTEXT_OVERFLOW' : String(code);
}

export function isNamedAbort(error: unknown): boolean {
  return (error as { name?: string }).name === 'AbortError';
}
