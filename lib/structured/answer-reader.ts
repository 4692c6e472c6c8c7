// What an answer with tools says and calls, told while it is written.

/** More of an answer: of what it says, or of a call. */
export interface AnswerDelta {
  /** The call's place in the answer; missing where something is said. */
  call?: number;
  /** Of a call that is told of for the first time; the id is '' where the model gives none. */
  id?: string;
  name?: string;
  /** Said, or of the call's arguments. */
  text: string;
}

/** A whole answer. */
export interface ReadAnswer {
  content: string;
  calls: { id: string; name: string; arguments: string }[];
}

/**
 * Follows one answer. What it has told is never taken back: all deltas, one behind the other, are what `end` says.
 */
export interface AnswerReader {
  /** Takes the next text in; whole characters. */
  add(text: string): void;
  /** What more can be told by now. May take longer the longer the text is. */
  read(): AnswerDelta[];
  /** No more comes. `isWhole`: the model has ended it. `rest` is what wasn't told yet. */
  end(isWhole: boolean): ReadAnswer & { rest: AnswerDelta[] };
}

/** What was told so far, for readers that put the answer together from it. */
export class ToldAnswer implements ReadAnswer {
  content = '';
  readonly calls: ReadAnswer['calls'] = [];

  tell(deltas: readonly AnswerDelta[]): void {
    for (const { call, id = '', name, text } of deltas) {
      if (call === undefined) this.content += text;
      else {
        if (name !== undefined) this.calls.push({ id, name, arguments: '' });
        this.calls[call]!.arguments += text;
      }
    }
  }
}
