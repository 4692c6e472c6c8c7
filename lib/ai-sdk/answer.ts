// A generation as the AI SDK's stream parts.

import type {
  JSONObject,
  LanguageModelV3Content,
  LanguageModelV3FinishReason,
  LanguageModelV3StreamPart,
  LanguageModelV3ToolCall,
  LanguageModelV3Usage,
} from '@ai-sdk/provider';
import type { GenerationPart } from '../generation.js';
import type { FinishReason, GenerationResult } from '../result.js';
import { CallIds, callId } from '../structured/call-id.js';
import { isComplete } from '../structured/tools.js';

/** Turns an engine's parts into those of a stream, one by one. */
export class AnswerParts {
  readonly #hasTools: boolean;
  readonly #includeRaw: boolean;
  readonly #ids = new CallIds();
  /** Texts begun; the last one's id. */
  #texts = 0;
  #isOpen = false;

  /** With tools the text has the calls in it, as the model writes them, and `content` is what it says. */
  constructor({ hasTools, includeRaw }: { hasTools: boolean; includeRaw: boolean }) {
    this.#hasTools = hasTools;
    this.#includeRaw = includeRaw;
  }

  of(part: GenerationPart): LanguageModelV3StreamPart[] {
    switch (part.type) {
      case 'text':
        return this.#hasTools ? [] : this.#say(part.text);
      case 'content':
        return this.#say(part.text);
      case 'call': {
        const id = this.#ids.of(part.index, part.id);
        return [...this.#endText(), { type: 'tool-input-start', id, toolName: part.name }];
      }
      case 'arguments':
        return [{ type: 'tool-input-delta', id: this.#ids.of(part.index, ''), delta: part.text }];
      case 'step':
        return this.#includeRaw ? [{ type: 'raw', rawValue: part.step }] : [];
      case 'finish':
        return this.#end(part.result);
      default:
        return [];
    }
  }

  #say(delta: string): LanguageModelV3StreamPart[] {
    const start: LanguageModelV3StreamPart[] = [];
    if (!this.#isOpen) start.push({ type: 'text-start', id: String(this.#texts++) });
    this.#isOpen = true;
    return [...start, { type: 'text-delta', id: this.#text, delta }];
  }

  #endText(): LanguageModelV3StreamPart[] {
    if (!this.#isOpen) return [];
    this.#isOpen = false;
    return [{ type: 'text-end', id: this.#text }];
  }

  get #text(): string {
    return String(this.#texts - 1);
  }

  #end(result: GenerationResult): LanguageModelV3StreamPart[] {
    const { toolCalls = [] } = result;
    const ended = toolCalls.map(
      (call, index) => ({ type: 'tool-input-end', id: this.#ids.of(index, call.id) }) as const,
    );
    const calls = callsOf(result, (id, index) => this.#ids.of(index, id));
    return [...this.#endText(), ...ended, ...calls, { type: 'finish', ...endOf(result) }];
  }
}

/** A whole answer. */
export function contentOf(result: GenerationResult): LanguageModelV3Content[] {
  const text = result.content ?? result.text;
  return [...(text === '' ? [] : [{ type: 'text', text } as const]), ...callsOf(result, callId)];
}

/** Calls that may be made: one that a limit has cut must not. */
function callsOf(
  { toolCalls = [] }: GenerationResult,
  idOf: (id: string, index: number) => string,
): LanguageModelV3ToolCall[] {
  return toolCalls.flatMap((call, index) => {
    if (!isComplete(call)) return [];
    const { id, name: toolName, arguments: input } = call;
    return [{ type: 'tool-call', toolCallId: idOf(id, index), toolName, input } as const];
  });
}

/** Why it ended, and what it took. */
export function endOf(result: GenerationResult) {
  return {
    finishReason: finishReasonOf(result.finishReason),
    usage: usageOf(result),
    providerMetadata: { adaptiveSpec: metadataOf(result) },
  };
}

const UNIFIED = { stop: 'stop', length: 'length', tool_calls: 'tool-calls', aborted: 'other' } as const;

function finishReasonOf(raw: FinishReason): LanguageModelV3FinishReason {
  return { unified: UNIFIED[raw], raw };
}

function usageOf({ usage, stats }: GenerationResult): LanguageModelV3Usage {
  const { promptTokens, completionTokens } = usage;
  const cacheRead = stats.reusedPromptTokens;
  return {
    inputTokens: {
      total: promptTokens,
      noCache: promptTokens - cacheRead,
      cacheRead,
      cacheWrite: undefined,
    },
    outputTokens: { total: completionTokens, text: completionTokens, reasoning: undefined },
    raw: { ...usage },
  };
}

/** What the SDK has no field for. */
function metadataOf({ stats, seed, stopString }: GenerationResult): JSONObject {
  return { seed, ...(stopString === undefined ? {} : { stopString }), stats: { ...stats } };
}
