// Reads calls that stand in a text as `{"name": …, "arguments": …}`, as far as they are written.

import type { AnswerDelta } from './answer-reader.js';

const HEAD = /^[^{]*\{\s*"name"\s*:\s*"([^"\\]*)"\s*,\s*"arguments"\s*:\s*(?=\S)/;

/** Follows the calls, one behind the other; what stands between them is skipped. Arguments are told as they are written. */
export class CallText {
  #open = '';
  #calls = 0;
  #isInArguments = false;
  /** In a value of arguments: brackets that are open, and whether a string is. */
  #depth = 0;
  #isInString = false;

  /** Takes the next text in; answers what it says of calls. */
  add(text: string): AnswerDelta[] {
    const deltas: AnswerDelta[] = [];
    this.#open += text;
    while (this.#open !== '') {
      if (!this.#isInArguments) {
        const head = HEAD.exec(this.#open);
        if (!head) break;
        this.#open = this.#open.slice(head[0].length);
        this.#isInArguments = true;
        deltas.push({ call: this.#calls++, id: '', name: head[1]!, text: '' });
      }
      const told = this.#argumentsIn(this.#open);
      if (told === 0 && this.#isInArguments) break;
      if (told > 0) deltas.push({ call: this.#calls - 1, text: this.#open.slice(0, told) });
      this.#open = this.#open.slice(told);
    }
    return deltas;
  }

  /** Characters at the beginning of `text` that belong to the value; it ends with the value at the latest. */
  #argumentsIn(text: string): number {
    for (let at = 0; at < text.length; at++) {
      const character = text[at]!;
      if (this.#isInString) {
        if (character === '\\') {
          // An escape may be cut; its second character is what counts.
          if (at + 1 === text.length) return at;
          at++;
        } else if (character === '"') {
          this.#isInString = false;
          if (this.#depth === 0) return this.#endAt(at + 1);
        }
      } else if (character === '"') this.#isInString = true;
      else if (character === '{' || character === '[') this.#depth++;
      else if (this.#depth === 0 && /[\s,}\]]/.test(character)) return this.#endAt(at);
      else if (character === '}' || character === ']') {
        if (--this.#depth === 0) return this.#endAt(at + 1);
      }
    }
    return text.length;
  }

  #endAt(length: number): number {
    this.#isInArguments = false;
    return length;
  }
}
