// What kind of text is being written at this moment: code, prose, math, json or a list.

import { AdaptiveSpecError } from '../errors.js';
import { CODE_LINE_STARTS, FENCE_TAGS, MATH_WORDS, REQUEST_WORDS } from './context-words.js';

/** Kinds of text, in the order in which ties are broken. */
export const CONTEXT_KINDS = ['prose', 'code', 'math', 'json', 'list'] as const;

/** A kind of text. */
export type ContextKind = (typeof CONTEXT_KINDS)[number];

const PROSE = 0;
const CODE = 1;
const MATH = 2;
const JSON_ = 3;
const LIST = 4;

/** Characters after which evidence counts half: a line or two. */
const HALF_LIFE = 56;
/** Evidence is not made smaller by each character; new evidence is made larger, which is one product instead of five. */
const GROWTH = 2 ** (1 / HALF_LIFE);
/** Where the weight is brought back to 1, so that no sum overflows. */
const WEIGHT_LIMIT = 2 ** 20;
/** Another kind must lead by this factor, and by a point, before it takes over: no flicker between two that are near. */
const LEAD = 1.1;
/** What a fence without a telling tag is worth to code, in points, as long as it is open. */
const OPEN_FENCE_BONUS = 6;
/** Characters of the prompt's end that are looked at. */
const PROMPT_TAIL = 1024;
/** Points that a prompt's own text, and the words of its request, are worth at most. A word of prose is a point. */
const PROMPT_POINTS = 3;
/** Letters of a word that are kept; no word that is looked up is longer. */
const WORD_LETTERS = 16;

/** Where in its line the next character is. */
const INDENT = 0;
const BULLET = 1;
const NUMBER = 2;
const NUMBER_DOT = 3;
const FENCE = 4;
const TAG = 5;
const BODY = 6;

/** The last part of a formula, as far as the next one needs it. */
const OTHER = 0;
const OPERAND = 1;
const OPERATOR = 2;

/** What a classifier knows: numbers, a few short strings and lists of five; survives JSON. */
export interface ContextKindState {
  /** Index into CONTEXT_KINDS. */
  kind: number;
  /** Points by kind, times `weight`. */
  points: number[];
  /** What a point found now adds to `points`. */
  weight: number;
  /** Points by kind from before the open fence. */
  outside: number[];
  /** Length of the open fence's mark; 0 where none is open. */
  fence: number;
  /** The kind that the open fence's tag settles; -1 where none is open or it doesn't. */
  settled: number;
  /** Where in the line the next character is. */
  place: number;
  indent: number;
  /** Length of the mark that the line began with, as it is read. */
  mark: number;
  markCharacter: number;
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
  /** Bits: 1 an underscore, 2 a capital after a small letter, 4 a digit first, 8 a backslash before it. */
  wordBits: number;
  /** Last character, last one that is no space, and the one before the word being read. */
  last: number;
  lastSolid: number;
  beforeWord: number;
  /** Part of a formula that was read last, and the one before it. */
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

/**
 * Follows a text as it is written and says of what kind it is where it stands. Every character moves a small state
 * machine (fences, brackets, strings, marks of lists, words, formulas) and adds evidence, in points, to a kind;
 * evidence counts half after 56 characters, so that a change of kind is seen within a line or two. A fence with a
 * telling tag settles the kind until it closes.
 *
 * Constant time per character and constant memory. How the text is cut into pieces makes no difference, not even
 * within a surrogate pair: characters are UTF-16 units. No input throws.
 */
export class ContextKindClassifier {
  #state: ContextKindState = start();

  /** Begins a new text. The prompt's request and its last characters are weak evidence: a few words outweigh them. */
  begin(promptText: string): void {
    const prompt = promptText.slice(-PROMPT_TAIL);
    this.#state = start();
    this.push(prompt);
    const shares = this.#shares();
    const requests = requestPoints(prompt);
    const state = start();
    for (let k = 0; k < shares.length; k++) {
      state.points[k] = PROMPT_POINTS * (shares[k]! + requests[k]!);
    }
    this.#state = state;
    this.#choose();
  }

  /** Takes in the next piece of text. */
  push(text: string): void {
    for (let i = 0; i < text.length; i++) this.#take(text.charCodeAt(i));
  }

  /** The kind of text at its end; 'prose' before the first evidence. */
  get kind(): ContextKind {
    return CONTEXT_KINDS[this.#state.kind]!;
  }

  /** Each kind's share of the evidence, 0 to 1 and 1 in sum; prose has all of it where there is none. */
  scores(): Readonly<Record<ContextKind, number>> {
    const [prose, code, math, json, list] = this.#shares() as [number, number, number, number, number];
    return { prose, code, math, json, list };
  }

  /** Plain data for `restore`. */
  snapshot(): ContextKindState {
    return copy(this.#state);
  }

  /** Takes over what `snapshot` gave; INVALID_ARGUMENT for anything else. */
  restore(state: unknown): void {
    if (!isState(state)) {
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        'The state is no snapshot of a context-kind classifier',
        'Restore what snapshot() gave, by the same version of the package.',
      );
    }
    this.#state = copy(state);
  }

  #take(c: number): void {
    const s = this.#state;
    s.weight *= GROWTH;
    if (s.weight > WEIGHT_LIMIT) {
      for (let k = 0; k < s.points.length; k++) s.points[k]! /= s.weight;
      s.weight = 1;
    }
    if (c === 13) return; // \r\n is \n.
    if (c === 10) {
      this.#endLine();
    } else if (s.place === BODY) {
      if (s.settled < 0) this.#body(c);
    } else {
      this.#lineStart(c);
    }
    if (c !== 32 && c !== 9 && c !== 10) s.lastSolid = c;
    s.last = c;
    if (!isLetter(c)) this.#choose();
  }

  /** The characters before a line's own text: indentation, then perhaps a mark of a list, a table or a fence. */
  #lineStart(c: number): void {
    const s = this.#state;
    switch (s.place) {
      case INDENT:
        if (c === 32 || c === 9) {
          s.indent += c === 9 ? 4 : 1;
          return;
        }
        s.mark = 1;
        s.markCharacter = c;
        if (c === 96 || c === 126) s.place = FENCE;
        else if (s.settled >= 0) s.place = BODY;
        else if (c === 45 || c === 42 || c === 43 || c === 0x2022 || c === 0x2013) s.place = BULLET;
        else if (isDigit(c)) s.place = NUMBER;
        else this.#startBody(c);
        return;
      case BULLET:
        if (c === 32 || c === 9) this.#startItem();
        else if (c !== s.markCharacter || c === 42) this.#startBody(c);
        return;
      case NUMBER:
        if (isDigit(c) && s.mark < 3) s.mark++;
        else if (c === 46 || c === 41) s.place = NUMBER_DOT;
        else this.#startFormula(c);
        return;
      case NUMBER_DOT:
        if (c === 32) this.#startItem();
        else this.#startFormula(c);
        return;
      case FENCE:
        if (c === s.markCharacter) {
          s.mark++;
        } else if (s.mark >= 3) {
          s.place = TAG;
          s.tag = '';
          this.#lineStart(c);
        } else {
          // One mark opens a span, two an empty one.
          s.span = s.mark === 1 && c !== 126 ? 1 : 0;
          s.place = BODY;
          if (s.settled < 0) this.#startBody(c);
        }
        return;
      case TAG:
        // A mark that ends in the same line is a span and no fence.
        if (c === 96) s.place = BODY;
        else if (s.tag.length < WORD_LETTERS) s.tag += String.fromCharCode(c);
        return;
    }
  }

  /** A line that has no mark. */
  #startBody(c: number): void {
    const s = this.#state;
    s.place = BODY;
    // A list ends with a line that has neither mark nor indentation, after a blank one.
    const continues = s.owner === LIST && (s.afterText === 1 || s.indent >= 2);
    if (s.owner === LIST && !continues) s.points[LIST]! *= 0.4;
    s.owner = continues ? LIST : PROSE;
    if (c === 124) this.#startItem();
    else if (s.indent >= 2 && !continues && !this.#inJson()) this.#add(CODE, 1.5);
    this.#body(c);
  }

  #startItem(): void {
    const s = this.#state;
    s.place = BODY;
    if (this.#inJson()) return;
    s.owner = LIST;
    this.#add(LIST, 7);
  }

  /** A line that begins with a number which is no item's. */
  #startFormula(c: number): void {
    const s = this.#state;
    this.#startBody(48);
    if (s.place !== BODY) return;
    this.#body(c);
  }

  #body(c: number): void {
    const s = this.#state;
    if (s.quoted > 0) {
      this.#string(c);
      return;
    }
    if (c === 96) s.span = 1 - s.span;
    if (s.span === 1 || c === 96) {
      // `Spans` in prose name things; they say nothing of the text around them.
      if (s.wordLength > 0) this.#endWord(c);
      return;
    }
    if (isLetter(c) || c === 95 || isDigit(c)) {
      this.#letter(c);
      return;
    }
    if (s.wordLength > 0) this.#endWord(c);
    if (c !== 32) this.#symbol(c);
  }

  /** A string of JSON: its words count for JSON. */
  #string(c: number): void {
    const s = this.#state;
    if (s.quoted === 2) s.quoted = 1;
    else if (c === 92) s.quoted = 2;
    else if (c === 34) s.quoted = 0;
    else if (c === 32) this.#add(JSON_, 1);
  }

  #letter(c: number): void {
    const s = this.#state;
    if (s.wordLength === 0) {
      s.beforeWord = s.last;
      s.wordBits = isDigit(c) ? 4 : s.last === 92 ? 8 : 0;
    } else if ((s.wordBits & 4) !== 0 && !isDigit(c)) {
      // 4x: a number, then a variable.
      this.#endWord(c);
      s.beforeWord = s.last;
      s.wordBits = 0;
    } else if (isCapital(c) && isSmall(s.last)) {
      s.wordBits |= 2;
    }
    if (c === 95) s.wordBits |= 1;
    if (s.word.length < WORD_LETTERS) s.word += String.fromCharCode(c);
    s.wordLength++;
  }

  /** The word or number before `next` is over. */
  #endWord(next: number): void {
    const s = this.#state;
    const { word, wordLength, wordBits } = s;
    s.word = '';
    s.wordLength = 0;
    s.words++;
    if ((wordBits & 4) !== 0) {
      this.#number();
      return;
    }
    if (this.#inJson() && word !== 'true' && word !== 'false' && word !== 'null') {
      // A bare word: no JSON after all.
      s.json = 2;
      s.points[JSON_]! *= 0.4;
    }
    if ((wordBits & 8) !== 0 && wordLength > 1) {
      this.#operand(4);
      return;
    }
    if (wordLength === 1 && word !== 'a' && word !== 'A' && word !== 'I' && s.owner !== CODE && next !== 39) {
      if (isLetter(word.charCodeAt(0)) && s.beforeWord !== 39) this.#operand(next === 40 ? 2.5 : 1.5);
      return;
    }
    s.part = OTHER;
    if (s.words === 1 && s.owner !== LIST && CODE_LINE_STARTS.has(word)) {
      s.owner = CODE;
      this.#add(CODE, 3);
      return;
    }
    if ((wordBits & 3) !== 0) this.#add(CODE, 2);
    if (next === 40 || next === 91) this.#add(CODE, 1.5);
    if (s.beforeWord === 46 && s.words > 1) this.#add(CODE, 1.5);
    if (MATH_WORDS.has(word.toLowerCase())) this.#add(MATH, 2);
    // Scripts without spaces: three characters or so make a word.
    const ideographic = word.charCodeAt(0) >= 0x2e80;
    this.#add(s.owner, ideographic ? wordLength / 3 : 1);
  }

  #number(): void {
    if (this.#inJson()) this.#add(JSON_, 1);
    else this.#operand(0.6);
  }

  /** A number, a variable or a command of TeX. */
  #operand(points: number): void {
    const s = this.#state;
    if (s.owner === CODE) return;
    this.#add(MATH, s.part === OPERATOR ? points + 2.5 : points);
    s.part = OPERAND;
  }

  /** A character of a line's text that is no letter, digit or space. */
  #symbol(c: number): void {
    const s = this.#state;
    const { last } = s;
    if (c !== 40) s.part = s.part === OPERAND && isOperator(c) ? OPERATOR : c === 41 ? OPERAND : OTHER;
    if (isMathSymbol(c)) {
      this.#add(MATH, 2.5);
      s.part = OPERATOR;
      return;
    }
    switch (c) {
      case 34: // "
        this.#quote();
        return;
      case 123: // {
      case 91: // [
        this.#open();
        return;
      case 125: // }
      case 93: // ]
        this.#close();
        return;
      case 58: // :
        if (s.json < 2 && s.depth > 0 && s.lastSolid === 34) this.#jsonFound(4);
        else if (last === 58) this.#add(CODE, 3);
        return;
      case 40: // (
        if (last === 92) this.#add(MATH, 4);
        else this.#notJson();
        return;
      case 41: // )
        if (last === 40) this.#add(CODE, 2);
        return;
      case 59: // ;
        this.#notJson();
        return;
      case 61: // =
        if (isIn(last, '=!+-*/:|&')) this.#add(CODE, 3);
        else if (s.owner === CODE) this.#add(CODE, 2);
        else {
          this.#add(MATH, 2.5);
          this.#add(CODE, 1);
        }
        return;
      case 62: // >
        if (last === 61 || last === 45) this.#add(CODE, 3);
        return;
      case 38: // &
      case 124: // |
        if (last === c) this.#add(CODE, 3);
        return;
      case 47: // /
        if (last === 47 && s.words === 0) {
          s.owner = CODE;
          this.#add(CODE, 3);
        } else if (last === 60) this.#add(CODE, 3);
        return;
      case 42: // *
        if (last === 47) s.owner = CODE;
        return;
      case 94: // ^
        this.#add(MATH, 2.5);
        return;
      case 36: // $
        this.#add(MATH, last === 36 ? 4 : 0.5);
        return;
    }
  }

  #quote(): void {
    const s = this.#state;
    if (s.depth === 0 || s.json === 2) return;
    s.quoted = 1;
    if (isIn(s.lastSolid, '{[,:')) this.#jsonFound(2);
  }

  #open(): void {
    const s = this.#state;
    if (s.last === 92) this.#add(MATH, 4);
    if (s.depth === 0) {
      // JSON begins a line, or follows a colon.
      s.json = s.words === 0 || s.lastSolid === 58 ? 0 : 2;
    } else if (this.#inJson() && isIn(s.lastSolid, '{[,:')) {
      this.#add(JSON_, 1.5);
    }
    s.depth++;
  }

  #close(): void {
    const s = this.#state;
    if (s.depth === 0) return;
    if (this.#inJson()) this.#add(JSON_, 1.5);
    s.depth--;
  }

  #jsonFound(points: number): void {
    this.#state.json = 1;
    this.#add(JSON_, points);
  }

  #notJson(): void {
    const s = this.#state;
    if (s.depth > 0) s.json = 2;
  }

  #inJson(): boolean {
    const { depth, json } = this.#state;
    return depth > 0 && json === 1;
  }

  #endLine(): void {
    const s = this.#state;
    if (s.place === FENCE || s.place === TAG) {
      if (s.mark >= 3) this.#fence(s.place === TAG ? s.tag.trim().toLowerCase() : '');
    } else if (s.place !== INDENT && s.settled < 0) {
      if (s.wordLength > 0) this.#endWord(10);
      const c = s.lastSolid;
      if (s.depth === 0 || s.json === 2) {
        if (c === 59 || c === 123 || c === 125) this.#add(CODE, 4);
        else if (c === 58 && s.owner === CODE) this.#add(CODE, 3);
      }
      if (isIn(c, '.!?') && s.words > 4) this.#add(s.owner, 2);
    }
    const hadText = s.place !== INDENT;
    // Brackets that prose or a broken text left open end with a blank line.
    if (!hadText && s.json !== 1) s.depth = 0;
    s.afterText = hadText ? 1 : 0;
    if (s.owner === CODE) s.owner = PROSE;
    s.place = INDENT;
    s.indent = 0;
    s.mark = 0;
    s.words = 0;
    s.span = 0;
    s.quoted = 0;
    s.part = OTHER;
  }

  /** A line that is a fence: it closes the open one, or opens one where none is open or it has a tag. */
  #fence(tag: string): void {
    const s = this.#state;
    if (s.fence > 0 && tag === '' && s.mark >= s.fence) {
      for (let k = 0; k < s.points.length; k++) s.points[k] = s.outside[k]! * s.weight;
      this.#add(PROSE, 3);
      s.fence = 0;
      s.settled = -1;
    } else if (s.fence === 0 || s.mark >= s.fence) {
      if (s.fence === 0) s.outside = s.points.map((points) => points / s.weight);
      s.points.fill(0);
      s.fence = s.mark;
      const content = FENCE_TAGS.get(tag.split(' ', 1)[0]!) ?? 'code';
      s.settled = content === 'open' ? -1 : CONTEXT_KINDS.indexOf(content);
      if (s.settled >= 0) this.#add(s.settled, 10);
    }
    s.owner = PROSE;
    s.depth = 0;
    s.json = 0;
  }

  #add(kind: number, points: number): void {
    const s = this.#state;
    s.points[kind]! += points * s.weight;
  }

  #choose(): void {
    const s = this.#state;
    if (s.settled >= 0) {
      s.kind = s.settled;
      return;
    }
    const bonus = s.fence > 0 ? OPEN_FENCE_BONUS * s.weight : 0;
    const points = (k: number) => s.points[k]! + (k === CODE ? bonus : 0);
    let best = s.kind;
    for (let k = 0; k < s.points.length; k++) if (points(k) > points(best)) best = k;
    if (points(best) > points(s.kind) * LEAD + s.weight) s.kind = best;
  }

  #shares(): number[] {
    const s = this.#state;
    const shares = s.points.map((points) => points / s.weight);
    if (s.fence > 0 && s.settled < 0) shares[CODE]! += OPEN_FENCE_BONUS;
    if (s.settled >= 0) shares.fill(0)[s.settled] = 1;
    const sum = shares.reduce((a, b) => a + b, 0);
    return sum > 1e-9 ? shares.map((share) => share / sum) : [1, 0, 0, 0, 0];
  }
}

function start(): ContextKindState {
  return {
    kind: PROSE,
    points: [0, 0, 0, 0, 0],
    weight: 1,
    outside: [0, 0, 0, 0, 0],
    fence: 0,
    settled: -1,
    place: INDENT,
    indent: 0,
    mark: 0,
    markCharacter: 0,
    tag: '',
    owner: PROSE,
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

function copy(state: ContextKindState): ContextKindState {
  return { ...state, points: [...state.points], outside: [...state.outside] };
}

function isState(value: unknown): value is ContextKindState {
  if (typeof value !== 'object' || value === null) return false;
  const given = value as Record<string, unknown>;
  for (const [name, model] of Object.entries(start())) {
    const field = given[name];
    if (Array.isArray(model)) {
      if (!Array.isArray(field) || field.length !== model.length || !field.every(Number.isFinite))
        return false;
    } else if (typeof field !== typeof model) return false;
    else if (typeof field === 'number' && !Number.isFinite(field)) return false;
    else if (typeof field === 'string' && field.length > WORD_LETTERS) return false;
  }
  const { kind, settled, owner } = value as ContextKindState;
  return [kind, owner].every((k) => k in CONTEXT_KINDS) && (settled === -1 || settled in CONTEXT_KINDS);
}

/** Shares of the request's telling words by kind; all zero where there are none. */
function requestPoints(prompt: string): number[] {
  const counts = [0, 0, 0, 0, 0];
  let sum = 0;
  for (const word of prompt.toLowerCase().split(/[^a-z]+/)) {
    const kind = REQUEST_WORDS.get(word);
    if (kind === undefined) continue;
    // A format that is named outweighs what it is about.
    const points = kind === 'json' ? 4 : 1;
    counts[CONTEXT_KINDS.indexOf(kind)]! += points;
    sum += points;
  }
  return sum === 0 ? counts : counts.map((count) => count / sum);
}

function isDigit(c: number): boolean {
  return c >= 48 && c <= 57;
}

function isCapital(c: number): boolean {
  return c >= 65 && c <= 90;
}

function isSmall(c: number): boolean {
  return c >= 97 && c <= 122;
}

/** Letters, as far as this needs them: everything beyond ASCII that is not punctuation or a symbol of mathematics. */
function isLetter(c: number): boolean {
  if (c < 128) return isSmall(c) || isCapital(c);
  if (c < 0xc0) return false;
  return !isMathSymbol(c) && !(c >= 0x2000 && c < 0x2e80) && !(c >= 0x3000 && c < 0x3040) && c < 0xff00;
}

/** Superscripts, times, divided by, arrows, operators, and the high half of mathematical letters. */
function isMathSymbol(c: number): boolean {
  if (c < 128) return false;
  return (
    c === 0xb2 ||
    c === 0xb3 ||
    c === 0xd7 ||
    c === 0xf7 ||
    c === 0x3c0 ||
    (c >= 0x2070 && c <= 0x209f) ||
    (c >= 0x2190 && c <= 0x22ff) ||
    c === 0xd835
  );
}

function isOperator(c: number): boolean {
  return isIn(c, '+-*/=<>^');
}

function isIn(c: number, characters: string): boolean {
  for (let i = 0; i < characters.length; i++) if (characters.charCodeAt(i) === c) return true;
  return false;
}
