// What an answer says beside its calls, told as it is written.

/** Follows one answer. */
export interface Said {
  /** Takes the next text in; answers what more is said, as far as it can't be part of a call. */
  add(text: string): string;
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
  };
}
