// What kind of text is being written at this moment: code, prose, math, json or a list.

import { AdaptiveSpecError } from '../errors.js';
import {
  isCapital,
  isDigit,
  isIn,
  isLetter,
  isMathSymbol,
  isOperator,
  isSmall,
} from './character-classes.js';
import {
  BODY,
  BULLET,
  COMMAND,
  type ContextKindState,
  copy,
  DIGITS,
  FENCE,
  INDENT,
  isState,
  MIXED_CASE,
  NUMBER,
  NUMBER_DOT,
  OPERAND,
  OPERATOR,
  OTHER,
  start,
  TAG,
  UNDERSCORE,
  WORD_LETTERS,
} from './context-kind-state.js';
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

/** Characters after which evidence counts half: a line. Mathematics is spread thinly between words, so it is kept longer. */
const HALF_LIVES = [56, 56, 200, 56, 56];
const DECAYS = HALF_LIVES.map((characters) => 2 ** (-1 / characters));
/** Most points that a kind can have, so that the densest text is left behind within a line or two as well. */
const MOST_POINTS = 20;
/** Points below this are none: they would become numbers that a CPU multiplies slowly. */
const LEAST_POINTS = 1e-9;
/** Another kind must lead by this factor, and by a point, before it takes over: no flicker between two that are near. */
const LEAD = 1.1;
/** What a fence without a telling tag is worth to code, in points, as long as it is open. */
const OPEN_FENCE_BONUS = 6;
/** A character within a string of JSON, in points: what a word of prose is worth for each of its characters. */
const JSON_CHARACTER = 1 / 6;
/** Characters of the prompt's end that are looked at. */
const PROMPT_TAIL = 1024;
/** Characters that are kept unread at most. */
const MOST_UNREAD = 4096;
/** Points that a prompt's own text, and the words of its request, are worth at most. A word of prose is a point. */
const PROMPT_POINTS = 3;

/**
 * Follows a text as it is written and says of what kind it is where it stands. Every character moves a small state
 * machine (fences, brackets, strings, marks of lists, words, formulas) and adds evidence, in points, to a kind. Evidence
 * fades, so that a change of kind is seen within a line or two. A fence with a telling tag settles the kind until it
 * closes. Where the points come from, and how often it is right: docs/context-kind.md.
 *
 * Constant time per character and constant memory. How the text is cut into pieces makes no difference, not even
 * within a surrogate pair: characters are UTF-16 units. No text throws. Text is read when its kind is asked for: of many
 * requests that share steps nobody may ever ask.
 */
export class ContextKindClassifier {
  #state: ContextKindState = start();
  #prompt: string | undefined;
  #unread = '';

  /** Begins a new text. The prompt's request and its last characters are weak evidence: a few words outweigh them. */
  begin(promptText: string): void {
    this.#state = start();
    this.#prompt = promptText.slice(-PROMPT_TAIL);
    this.#unread = '';
  }

  /** Takes in the next piece of text. */
  push(text: string): void {
    this.#unread += text;
    if (this.#unread.length > MOST_UNREAD) this.#read();
  }

  #read(): void {
    if (this.#prompt !== undefined) this.#readPrompt(this.#prompt);
    this.#prompt = undefined;
    this.#readText(this.#unread);
    this.#unread = '';
  }

  #readPrompt(prompt: string): void {
    this.#readText(prompt);
    const shares = this.#shares();
    // Nearly every request is prose, whatever it asks for.
    shares[PROSE] = 0;
    const requests = requestPoints(prompt);
    const state = start();
    for (let k = 0; k < shares.length; k++) {
      state.points[k] = PROMPT_POINTS * (shares[k]! + requests[k]!);
    }
    this.#state = state;
    this.#choose();
  }

  #readText(text: string): void {
    for (let i = 0; i < text.length; i++) this.#take(text.charCodeAt(i));
  }

  /** The kind of text at its end; 'prose' before the first evidence. */
  get kind(): ContextKind {
    this.#read();
    return CONTEXT_KINDS[this.#state.kind]!;
  }

  /** Each kind's share of the evidence, 0 to 1 and 1 in sum; prose has all of it where there is none. */
  scores(): Readonly<Record<ContextKind, number>> {
    this.#read();
    const [prose, code, math, json, list] = this.#shares() as [number, number, number, number, number];
    return { prose, code, math, json, list };
  }

  /** Plain data for `restore`. */
  snapshot(): ContextKindState {
    this.#read();
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
    this.#prompt = undefined;
    this.#unread = '';
  }

  #take(c: number): void {
    const s = this.#state;
    for (let k = 0; k < DECAYS.length; k++) {
      const points = s.points[k]! * DECAYS[k]!;
      s.points[k] = points < LEAST_POINTS ? 0 : points;
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
        else if (c === s.markCharacter && c !== 42) s.mark++;
        else this.#startBody(c);
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
    // A heading in prose, a comment in code.
    if (c === 35 && s.kind === CODE) s.owner = CODE;
    if (c === 124) this.#startItem();
    else if (s.indent >= 2 && !continues && (s.depth === 0 || s.json === 2)) this.#add(CODE, 1.5);
    this.#body(c);
  }

  #startItem(): void {
    const s = this.#state;
    s.place = BODY;
    if (this.#inJson()) return;
    s.owner = LIST;
    this.#add(LIST, s.fence > 0 ? 3 : 7);
  }

  /** A line that begins with a number which is no item's. */
  #startFormula(c: number): void {
    // One digit stands for all that were read: no number counts for more than another.
    this.#startBody(48);
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
    else this.#add(JSON_, JSON_CHARACTER);
  }

  #letter(c: number): void {
    const s = this.#state;
    if (s.wordLength === 0) {
      s.beforeWord = s.last;
      s.wordBits = isDigit(c) ? DIGITS : s.last === 92 ? COMMAND : 0;
    } else if ((s.wordBits & DIGITS) !== 0 && !isDigit(c)) {
      // 4x: a number, then a variable.
      this.#endWord(c);
      s.beforeWord = s.last;
      s.wordBits = 0;
    } else if (isCapital(c) && isSmall(s.last)) {
      s.wordBits |= MIXED_CASE;
    }
    if (c === 95) s.wordBits |= UNDERSCORE;
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
    if ((wordBits & DIGITS) !== 0) {
      this.#number();
      return;
    }
    if (s.depth > 0 && s.json < 2 && word !== 'true' && word !== 'false' && word !== 'null') {
      // A bare word: no JSON after all.
      if (s.json === 1) s.points[JSON_]! *= 0.4;
      s.json = 2;
    }
    if ((wordBits & COMMAND) !== 0 && wordLength > 1) {
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
    if ((wordBits & (UNDERSCORE | MIXED_CASE)) !== 0) this.#add(CODE, 2);
    if (next === 40 || next === 91) this.#add(CODE, 1.5);
    if (s.beforeWord === 60) this.#add(CODE, 2);
    if (s.beforeWord === 46 && s.words > 1) this.#add(CODE, 1.5);
    if (MATH_WORDS.has(word.toLowerCase())) this.#add(MATH, 2.5);
    // Scripts without spaces: three characters or so make a word.
    const ideographic = word.charCodeAt(0) >= 0x2e80;
    this.#add(s.owner, ideographic ? wordLength / 3 : 1);
  }

  #number(): void {
    const s = this.#state;
    if (s.depth > 0 && s.json < 2) this.#add(JSON_, 1);
    // A dash without spaces makes dates, not differences.
    else if (s.beforeWord === 45) s.part = OPERAND;
    // Numbers alone say little: places of a decimal, of a date or of a version, and numbers in an item, nothing.
    else this.#operand(s.owner === LIST || isIn(s.beforeWord, '.,:/-') ? 0 : 0.6);
  }

  /** A number, a variable or a command of TeX. */
  #operand(points: number): void {
    const s = this.#state;
    if (s.owner === CODE) return;
    this.#add(MATH, s.part === OPERATOR ? points + 4 : points);
    s.part = OPERAND;
  }

  /** A character of a line's text that is no letter, digit or space. */
  #symbol(c: number): void {
    const s = this.#state;
    const { last } = s;
    const afterOperand = s.part === OPERAND;
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
        else if (s.owner === CODE || (last !== 32 && !afterOperand)) this.#add(CODE, 2);
        else {
          this.#add(MATH, 5);
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
    } else if (s.settled >= 0) {
      // What a settled fence holds is not looked at.
    } else if ((s.place === BULLET && s.mark === 1) || s.place === NUMBER_DOT) {
      this.#startItem();
    } else if (s.place !== INDENT) {
      if (s.wordLength > 0) this.#endWord(10);
      const c = s.lastSolid;
      if (s.depth === 0 || s.json === 2) {
        if (c === 59 || c === 123 || c === 125) this.#add(CODE, 4);
        else if (c === 62) this.#add(CODE, 3);
        else if (c === 58 && s.owner === CODE) this.#add(CODE, 3);
      }
      if (isIn(c, '.!?') && s.words > 4) this.#add(s.owner, 2);
    }
    const hadText = s.place !== INDENT;
    // Brackets that prose or a broken text left open end with a blank line.
    if (!hadText && s.json !== 1) s.depth = 0;
    if (!hadText && s.depth === 0) s.points[JSON_]! *= 0.4;
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
    const fits = s.mark >= s.fence && s.markCharacter === s.fenceCharacter;
    if (s.fence > 0 && fits && tag === '') {
      s.points = s.outside;
      s.outside = [0, 0, 0, 0, 0];
      this.#add(PROSE, 3);
      s.fence = 0;
      s.settled = -1;
    } else if (s.fence === 0 || fits) {
      if (s.fence === 0) s.outside = s.points;
      s.points = [0, 0, 0, 0, 0];
      s.fence = s.mark;
      s.fenceCharacter = s.markCharacter;
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
    s.points[kind] = Math.min(s.points[kind]! + points, MOST_POINTS);
  }

  #choose(): void {
    const s = this.#state;
    if (s.settled >= 0) {
      s.kind = s.settled;
      return;
    }
    if (s.fence === 0 && s.place >= FENCE && s.place <= TAG && s.mark >= 3) {
      // A fence opens; its tag is not there yet.
      s.kind = CODE;
      return;
    }
    const bonus = s.fence > 0 ? OPEN_FENCE_BONUS : 0;
    const points = (k: number) => s.points[k]! + (k === CODE ? bonus : 0);
    let best = s.kind;
    for (let k = 0; k < s.points.length; k++) if (points(k) > points(best)) best = k;
    if (points(best) > points(s.kind) * LEAD + 1) s.kind = best;
  }

  #shares(): number[] {
    const s = this.#state;
    const shares = [...s.points];
    if (s.fence > 0 && s.settled < 0) shares[CODE]! += OPEN_FENCE_BONUS;
    if (s.settled >= 0) shares.fill(0)[s.settled] = 1;
    const sum = shares.reduce((a, b) => a + b, 0);
    return sum > 1e-9 ? shares.map((share) => share / sum) : [1, 0, 0, 0, 0];
  }
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
