// What a request asks of its text's form: the grammar that sees to it, and what is read from the text in the end.

import type {
  EngineBinding,
  NativeEngine,
  NativeGrammar,
  NativeGrammarSource,
  NativeToolPrompt,
  NativeTurn,
} from '../binding.js';
import { AdaptiveSpecError } from '../errors.js';
import { guardNative } from '../guard-native.js';
import type { CheckedRequest, Message } from '../options.js';
import type { GenerationResult } from '../result.js';
import { templated, type Wording, withTools } from '../wording.js';
import type { AnswerReader } from './answer-reader.js';
import { GenericAnswer } from './generic-answer.js';
import { genericMessages, genericSchema, plainMessage } from './generic-tools.js';
import { type JsonSchema, schemaText } from './schema-text.js';
import { messagesText, offeredTools } from './tools.js';

/** How the text must look: anything, a JSON object, or JSON that keeps to a schema. */
export type ResponseFormat =
  | { type: 'text' }
  | { type: 'json_object' }
  | {
      type: 'json_schema';
      schema: JsonSchema;
      /** What error messages call the schema. */
      name?: string;
      /** Refuse a schema with keywords that a grammar can't keep, instead of ignoring them. Default false. */
      strict?: boolean;
    };

/** A request's form, ready for the engine. */
export interface Structure {
  /** The prompt, where it isn't the request's own. */
  prompt?: string;
  grammar?: NativeGrammar;
  stops: readonly string[];
  /** Control tokens whose names belong to the text. */
  named: Int32Array;
  /** Puts into a result what its text says. */
  read: (result: GenerationResult) => void;
  /** With tools: what tells words from calls. */
  answer?: AnswerReader;
}

/** An engine's native side, as far as a text's form is concerned. */
export interface StructureMaker {
  native: NativeEngine;
  binding: EngineBinding;
  turn: NativeTurn;
}

const FREE: Structure = { stops: [], named: new Int32Array(0), read: () => {} };

/**
 * What the request asks for. Throws SCHEMA_INVALID, GRAMMAR_INVALID, and INVALID_ARGUMENT for messages and tools that
 * the chat template refuses.
 */
export function* structureOf(request: CheckedRequest, maker: StructureMaker): Wording<Structure> {
  const { grammar, responseFormat, messages } = request;
  if (grammar !== undefined) return { ...FREE, grammar: compile(maker, plainGrammar(grammar)) };
  if (responseFormat?.type === 'json_object' || responseFormat?.type === 'json_schema') {
    return { ...FREE, grammar: schemaGrammar(maker, ...schemaOf(responseFormat)), read: readJson };
  }
  const history = messages?.some(({ toolCalls, toolCallId }) => toolCalls || toolCallId !== undefined);
  if (request.tools !== undefined || history) return yield* toolStructure(request, maker);
  return FREE;
}

function schemaOf(format: Exclude<ResponseFormat, { type: 'text' }>): [text: string, what: string] {
  if (format.type === 'json_object') return ['{"type":"object"}', 'The schema'];
  const what = format.name === undefined ? 'The schema' : `The schema '${format.name}'`;
  return [schemaText(format.schema, what, format.strict), what];
}

function* toolStructure(request: CheckedRequest, maker: StructureMaker): Wording<Structure> {
  const { turn } = maker;
  const messages = request.messages as readonly Message[];
  const tools = offeredTools(request.tools ?? [], request.toolChoice);
  const required = request.toolChoice !== 'auto' && tools.length > 0;
  const parallel = request.parallelToolCalls;
  const choice = { required, parallel };
  const made = yield* withTools(messagesText(messages), JSON.stringify(tools), choice, turn);
  if (tools.length === 0) {
    if (!made.knowsCalls) return { ...FREE, prompt: yield* templated(messages.map(plainMessage), turn) };
    return { ...FREE, prompt: made.prompt, stops: made.stops };
  }
  if (made.knowsCalls && made.grammar.text !== '') return nativeTools(maker, made);
  const what = "The tools' parameters";
  return {
    ...FREE,
    prompt: yield* templated(genericMessages(messages, tools, required, parallel), turn),
    grammar: schemaGrammar(maker, JSON.stringify(genericSchema(tools, required, parallel)), what),
    answer: new GenericAnswer(),
  };
}

/** Tools in the way that the model's own template has them. */
function nativeTools(
  maker: StructureMaker,
  { prompt, grammar, stops, named, syntax }: NativeToolPrompt,
): Structure {
  return {
    ...FREE,
    prompt,
    grammar: compile(maker, grammar),
    stops,
    named,
    answer: guardNative(() => new maker.binding.AnswerReader(syntax)),
  };
}

function plainGrammar(text: string): NativeGrammarSource {
  return { text, words: [], patterns: [], prefill: '' };
}

function compile({ native }: StructureMaker, source: NativeGrammarSource): NativeGrammar {
  return guardNative(() => native.compileGrammar(source));
}

function schemaGrammar(maker: StructureMaker, text: string, what: string): NativeGrammar {
  const grammar = guardNative(() => maker.binding.schemaToGrammar(text));
  try {
    return compile(maker, plainGrammar(grammar));
  } catch (cause) {
    throw new AdaptiveSpecError(
      'SCHEMA_INVALID',
      `${what} makes a grammar that can't be used: ${(cause as Error).message}`,
      'Make it smaller, or less nested; a schema that is nothing but a reference to itself has no values.',
      { cause },
    );
  }
}

function readJson(result: GenerationResult): void {
  if (result.finishReason !== 'stop') return;
  try {
    result.json = JSON.parse(result.text);
  } catch {
    // A stop string has cut it.
  }
}
