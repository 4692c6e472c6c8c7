// What an answer says beside its calls, told as it is written; the calls are read when it is whole.

/** Follows one answer. */
export interface Said {
  /** Takes the next text in; answers what more is said, as far as it can't be part of a call. */
  add(text: string): string;
  /** What was held back, in the end. `content` is the result's. */
  end(content?: string): string;
}

/** Text is what is said, up to one of `words`, with which calls begin. */
export function saidBefore(words: readonly string[]): Said {
  let held = '';
  let calls = false;
  return {
    add(text) {
      if (calls) return '';
      held += text;
      const starts = words.map((word) => held.indexOf(word)).filter((at) => at >= 0);
      calls = starts.length > 0;
      const end = calls ? Math.min(...starts) : held.length - beginningOf(words, held);
      // White space before a call belongs to it.
      const said = held.slice(0, end).trimEnd();
      held = held.slice(said.length);
      return said;
    },
    end: () => (calls ? '' : held),
  };
}

/** Characters at the end of `text` that one of `words` begins with. */
function beginningOf(words: readonly string[], text: string): number {
  const longest = Math.min(text.length, Math.max(0, ...words.map((word) => word.length - 1)));
  for (let length = longest; length > 0; length--) {
    const end = text.slice(-length);
    if (words.some((word) => word.startsWith(end))) return length;
  }
  return 0;
}

/** JSON's characters, without a first half whose second is not there yet. */
const WRITTEN =
  /^(?:[^"\\]|\\["\\/bfnrt]|\\u(?!d[89ab])[0-9a-f]{4}|\\ud[89ab][0-9a-f]{2}(?:\\u[0-9a-f]{4}|(?=[^\\]|\\[^u])))*/i;

/** What is said is the string that `start` stands before, in JSON. */
export function saidInString(start: RegExp): Said {
  let open = '';
  let isInside = false;
  return {
    add(text) {
      open += text;
      if (!isInside) {
        const begun = start.exec(open);
        if (!begun) return '';
        isInside = true;
        open = open.slice(begun[0].length);
      }
      // Whole characters only: an escape may be cut, and so may a pair of them that makes one character.
      const [written] = WRITTEN.exec(open)!;
      open = open.slice(written.length);
      return JSON.parse(`"${written}"`) as string;
    },
    end: () => '',
  };
}

/** Nothing can be told before the end. */
export function saidAtEnd(): Said {
  return { add: () => '', end: (content = '') => content };
}
