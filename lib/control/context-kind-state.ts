// What the context-kind classifier knows between two characters.

/** Letters of a word that are kept; no word that is looked up is longer. */
export const WORD_LETTERS = 16;

/** Where in its line the next character is. */
export const INDENT = 0;
export const BULLET = 1;
export const NUMBER = 2;
export const NUMBER_DOT = 3;
export const FENCE = 4;
export const TAG = 5;
export const BODY = 6;

/** The last part of a formula, as far as the next one needs it. */
export const OTHER = 0;
export const OPERAND = 1;
export const OPERATOR = 2;

/** What is known of the word being read, as bits. */
export const UNDERSCORE = 1;
export const MIXED_CASE = 2;
export const DIGITS = 4;
export const COMMAND = 8;

/** What a classifier knows: numbers, a few short strings and lists of five; survives JSON. */
export interface ContextKindState {
  /** Index into CONTEXT_KINDS. */
  kind: number;
  /** Points by kind. */
  points: number[];
  /** Points by kind from before the open fence. */
  outside: number[];
  /** Length of the open fence's mark; 0 where none is open. */
  fence: number;
  /** The character that the open fence, or the last one, is made of. */
  fenceCharacter: number;
  /** The kind that the open fence's tag settles; -1 where none is open or it doesn't. */
  settled: number;
  /** Where in the line the next character is: INDENT to BODY. */
  place: number;
  /** Width of the line's indentation; a tab is four. */
  indent: number;
  /** Length of the mark that the line began with, as it is read. */
  mark: number;
  markCharacter: number;
  /** Tag of a fence, as it is read; its first letters only. */
  tag: string;
  /** The kind that words of this line speak for. */
  owner: number;
  /** 1 where the line before had text. */
  afterText: number;
  /** Words in the line so far. */
  words: number;
  /** The word or number being read, its first letters only. */
  word: string;
  wordLength: number;
  /** UNDERSCORE, MIXED_CASE (a capital after a small letter), DIGITS (a number), COMMAND (a backslash before it). */
  wordBits: number;
  last: number;
  /** The last character that is no space and no end of a line. */
  lastSolid: number;
  /** The character before the word being read. */
  beforeWord: number;
  /** Part of a formula that was read last. */
  part: number;
  /** 1 within `a span`. */
  span: number;
  /** Open brackets, as far as they may be JSON. */
  depth: number;
  /** 0 may be JSON, 1 has been like JSON, 2 isn't. */
  json: number;
  /** 1 within a string of JSON, 2 after its backslash. */
  quoted: number;
}

/** The state before any text. */
export function start(): ContextKindState {
  return {
    kind: 0,
    points: [0, 0, 0, 0, 0],
    outside: [0, 0, 0, 0, 0],
    fence: 0,
    fenceCharacter: 0,
    settled: -1,
    place: INDENT,
    indent: 0,
    mark: 0,
    markCharacter: 0,
    tag: '',
    owner: 0,
    afterText: 0,
    words: 0,
    word: '',
    wordLength: 0,
    wordBits: 0,
    last: 10,
    lastSolid: 10,
    beforeWord: 10,
    part: OTHER,
    span: 0,
    depth: 0,
    json: 0,
    quoted: 0,
  };
}

export function copy(state: ContextKindState): ContextKindState {
  return { ...state, points: [...state.points], outside: [...state.outside] };
}

/** Whether a value has the form of a state, as far as a restored one must: whatever passes, no text makes it throw. */
export function isState(value: unknown): value is ContextKindState {
  if (typeof value !== 'object' || value === null) return false;
  const given = value as Record<string, unknown>;
  const model = Object.entries(start());
  if (Object.keys(given).length !== model.length) return false;
  if (!model.every(([name, field]) => isLike(given[name], field))) return false;
  const { kind, settled, owner, place, points, outside } = value as ContextKindState;
  const isKind = (k: number) => Number.isInteger(k) && k >= 0 && k < points.length;
  return (
    isKind(kind) &&
    isKind(owner) &&
    (settled === -1 || isKind(settled)) &&
    Number.isInteger(place) &&
    place >= INDENT &&
    place <= BODY &&
    [...points, ...outside].every((p) => p >= 0)
  );
}

function isLike(value: unknown, model: unknown): boolean {
  if (Array.isArray(model)) {
    return Array.isArray(value) && value.length === model.length && value.every(Number.isFinite);
  }
  if (typeof model === 'number') return Number.isFinite(value);
  return typeof value === 'string' && value.length <= WORD_LETTERS;
}
