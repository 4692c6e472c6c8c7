// Reads an answer in our own form of tool calls (generic-tools.ts), as it is written.

import { type AnswerDelta, type AnswerReader, ToldAnswer } from './answer-reader.js';
import { CallText } from './call-text.js';
import { saidInString } from './said.js';

/** What stands before the words of an answer without a call, and what before calls. */
const RESPONSE = /^\s*\{\s*"response"\s*:\s*"/;
const CALLS = /^\s*\{\s*"tool_calls?"\s*:/;

/** Each text is looked at once, whatever came before. */
export class GenericAnswer implements AnswerReader {
  readonly #told = new ToldAnswer();
  readonly #said = saidInString(RESPONSE);
  readonly #calls = new CallText();
  #begin: string | undefined = '';
  #areCalls = false;
  #deltas: AnswerDelta[] = [];

  add(text: string): void {
    if (this.#begin !== undefined) {
      this.#begin += text;
      this.#areCalls = CALLS.test(this.#begin);
      if (!this.#areCalls && !RESPONSE.test(this.#begin)) return;
      this.#follow(this.#areCalls ? this.#begin.replace(CALLS, '') : this.#begin);
      this.#begin = undefined;
    } else this.#follow(text);
  }

  #follow(text: string): void {
    if (this.#areCalls) this.#deltas.push(...this.#calls.add(text));
    else {
      const said = this.#said.add(text);
      if (said !== '') this.#deltas.push({ text: said });
    }
  }

  read(): AnswerDelta[] {
    const deltas = this.#deltas;
    this.#deltas = [];
    this.#told.tell(deltas);
    return deltas;
  }

  end() {
    const rest = this.read();
    return { content: this.#told.content, calls: this.#told.calls, rest };
  }
}
