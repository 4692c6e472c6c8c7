// What a test engine answers, and the text in which a model would have written it.

import { AdaptiveSpecError } from '../errors.js';
import type { RequestOptions } from '../options.js';
import { type AnswerDelta, type AnswerReader, ToldAnswer } from '../structured/answer-reader.js';
import { CallText } from '../structured/call-text.js';

/** An answer: its text, or what it is made of. */
export type TestReply = string | TestAnswer;

/** An answer in parts. */
export interface TestAnswer {
  /** What the model says, beside its calls where it makes any. */
  text?: string;
  /** What it says, written as JSON; for requests with a `responseFormat`. */
  json?: unknown;
  /** Calls of tools that the request offers. `arguments`: an object, or JSON. Default: none. */
  toolCalls?: readonly { name: string; arguments?: object | string }[];
  /** Fails the request once the text is out: an AdaptiveSpecError as it is, others as NATIVE_FAILURE. */
  error?: Error;
}

/** What a model would have written. */
export interface WrittenReply {
  text: string;
  error: AdaptiveSpecError | undefined;
}

/** With this a call begins. */
export const CALL = '<tool_call>';
const CALL_END = '</tool_call>';

/** Puts a reply into text. Throws INVALID_ARGUMENT where no model could have answered its request so. */
export function writeReply(reply: TestReply, request: RequestOptions): WrittenReply {
  const answer = typeof reply === 'string' ? { text: reply } : reply;
  if (typeof answer !== 'object' || answer === null) throw misfit('is no text and no object');
  const { text, json, toolCalls = [], error } = answer;
  if (text !== undefined && json !== undefined) throw misfit("has both 'text' and 'json'");
  const said = json === undefined ? (text ?? '') : JSON.stringify(json);
  if (typeof said !== 'string') throw misfit('has no string as its text');
  const offered = new Set(
    request.toolChoice === 'none' ? [] : request.tools?.map((tool) => tool.function.name),
  );
  const stranger = toolCalls.find(({ name }) => !offered.has(name));
  if (stranger) throw misfit(`calls '${stranger.name}', a tool that its request doesn't offer`);
  if (toolCalls.length > 1 && !request.parallelToolCalls) {
    throw misfit('makes several calls, which its request does not allow (parallelToolCalls)');
  }
  const format = request.responseFormat?.type ?? 'text';
  if (format !== 'text' && error === undefined && !isJson(said)) {
    throw misfit('is no JSON, which its request asks for');
  }
  const calls = toolCalls.map(({ name, arguments: given = {} }) => {
    const written = typeof given === 'string' ? given : JSON.stringify(given);
    return `${CALL}{"name": ${JSON.stringify(name)}, "arguments": ${written}}${CALL_END}`;
  });
  const parts = said === '' ? calls : [said, ...calls];
  return { text: parts.join('\n'), error: error && typed(error) };
}

/** Reads a reply as it is written. */
export class ReplyReader implements AnswerReader {
  readonly #told = new ToldAnswer();
  readonly #calls = new CallText();
  #text = '';
  /** Characters that were looked at for calls. */
  #looked = 0;

  add(text: string): void {
    this.#text += text;
  }

  read(): AnswerDelta[] {
    return this.#tell(this.#text.length - beginningOf(CALL, this.#text));
  }

  end() {
    const rest = this.#tell(undefined);
    return { content: this.#told.content, calls: this.#told.calls, rest };
  }

  /** What stands before `end` may be told; all of it where there is none. White space before a call belongs to it. */
  #tell(end: number | undefined): AnswerDelta[] {
    const call = this.#text.indexOf(CALL);
    const said = call < 0 ? this.#text.slice(0, end) : this.#text.slice(0, call);
    const text = (call < 0 && end === undefined ? said : said.trimEnd()).slice(this.#told.content.length);
    const deltas: AnswerDelta[] = text === '' ? [] : [{ text }];
    if (call >= 0) {
      deltas.push(...this.#calls.add(this.#text.slice(Math.max(call, this.#looked))));
      this.#looked = this.#text.length;
    }
    this.#told.tell(deltas);
    return deltas;
  }
}

/** Characters at the end of `text` that `word` begins with. */
function beginningOf(word: string, text: string): number {
  for (let length = Math.min(text.length, word.length - 1); length > 0; length--) {
    if (word.startsWith(text.slice(-length))) return length;
  }
  return 0;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function typed(error: Error): AdaptiveSpecError {
  if (error instanceof AdaptiveSpecError) return error;
  return new AdaptiveSpecError('NATIVE_FAILURE', error.message, 'The test engine was told to fail.');
}

function misfit(what: string): AdaptiveSpecError {
  return new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    `The test engine's reply ${what}`,
    "Change the reply, such as { text: 'Hello' }, { json: {…} } or { toolCalls: [{ name, arguments }] }.",
  );
}
