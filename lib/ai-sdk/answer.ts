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
import { callId } from '../structured/call-id.js';

const TEXT = '0';

/** Turns an engine's parts into those of a stream, one by one. */
export class AnswerParts {
  readonly #hasTools: boolean;
  readonly #includeRaw: boolean;
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
      case 'step':
        return this.#includeRaw ? [{ type: 'raw', rawValue: part.step }] : [];
      case 'finish':
        return this.#end(part.result);
      default:
        return [];
    }
  }

  #say(delta: string): LanguageModelV3StreamPart[] {
    const text: LanguageModelV3StreamPart = { type: 'text-delta', id: TEXT, delta };
    if (this.#isOpen) return [text];
    this.#isOpen = true;
    return [{ type: 'text-start', id: TEXT }, text];
  }

  #end(result: GenerationResult): LanguageModelV3StreamPart[] {
    const calls = callsOf(result).flatMap((call): LanguageModelV3StreamPart[] => {
      const { toolCallId: id, toolName, input } = call;
      return [
        { type: 'tool-input-start', id, toolName },
        { type: 'tool-input-delta', id, delta: input },
        { type: 'tool-input-end', id },
        call,
      ];
    });
    return [
      ...(this.#isOpen ? [{ type: 'text-end', id: TEXT } as const] : []),
      ...calls,
      { type: 'finish', ...endOf(result) },
    ];
  }
}

/** A whole answer. */
export function contentOf(result: GenerationResult): LanguageModelV3Content[] {
  const text = result.content ?? result.text;
  return [...(text === '' ? [] : [{ type: 'text', text } as const]), ...callsOf(result)];
}

function callsOf({ toolCalls = [] }: GenerationResult): LanguageModelV3ToolCall[] {
  return toolCalls.map((call) => {
    const { name: toolName, arguments: input } = call;
    return { type: 'tool-call', toolCallId: callId(call.id), toolName, input };
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

function usageOf({ usage }: GenerationResult): LanguageModelV3Usage {
  const { promptTokens, completionTokens } = usage;
  return {
    inputTokens: { total: promptTokens, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
    outputTokens: { total: completionTokens, text: completionTokens, reasoning: undefined },
    raw: { ...usage },
  };
}

/** What the SDK has no field for. */
function metadataOf({ stats, seed, stopString }: GenerationResult): JSONObject {
  return { seed, ...(stopString === undefined ? {} : { stopString }), stats: { ...stats } };
}
