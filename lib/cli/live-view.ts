// The live view: text as it streams, one line with speed, depth and acceptance that stays below it, and notes between.

import type { StepReport } from '../control/controller.js';
import { percent } from '../percent.js';
import { coloursFor, divertNotes } from './console.js';

const REFRESH_MS = 100;

/** Speed, depth and acceptance over the last steps, as one line. */
export class StepMeter {
  // Over so many steps an average follows the text, and can still be read.
  static readonly #WINDOW = 32;
  readonly #recent: { ms: number; tokens: number; drafted: number; verified: number; accepted: number }[] =
    [];

  add(step: StepReport): void {
    if (step.step === 0) return;
    this.#recent.push({
      ms: step.draftMs + step.verifyMs + step.catchUpMs + step.otherMs,
      tokens: step.tokens.length,
      drafted: step.drafted,
      verified: step.verified,
      accepted: step.accepted,
    });
    if (this.#recent.length > StepMeter.#WINDOW) this.#recent.shift();
  }

  /** K is what a step verified, on the average: a plan's depth is only what it may draft at most. */
  get line(): string {
    let [ms, tokens, drafted, verified, accepted] = [0, 0, 0, 0, 0];
    for (const step of this.#recent) {
      ms += step.ms;
      tokens += step.tokens;
      drafted += step.drafted;
      verified += step.verified;
      accepted += step.accepted;
    }
    const speed = ms > 0 ? ((tokens * 1000) / ms).toFixed(1) : '–';
    const share = percent(accepted / drafted);
    const k = this.#recent.length > 0 ? (verified / this.#recent.length).toFixed(1) : '–';
    return `${speed} t/s   K ${k}   accepted ${share}`;
  }
}

/**
 * Writes the text to stdout, and draws the line at the bottom of a terminal while it scrolls above, or rewrites one line
 * of stderr where the text goes elsewhere; no line is drawn where stderr is no terminal. Notes that come meanwhile are
 * printed where a line begins, at the latest when the text ends.
 */
export class LiveView {
  readonly #meter = new StepMeter();
  readonly #out: NodeJS.WriteStream;
  readonly #err: NodeJS.WriteStream;
  readonly #mode: 'below' | 'alone' | 'none';
  readonly #undivert: () => void;
  #lastDrawn = Number.NEGATIVE_INFINITY;
  #isDrawn = false;
  #isWithinLine = false;
  #notes: string[] = [];
  readonly #onResize = () => this.#reserve();
  readonly #onExit = () => this.end();

  constructor(out: NodeJS.WriteStream = process.stdout, err: NodeJS.WriteStream = process.stderr) {
    this.#out = out;
    this.#err = err;
    const terminal = err.isTTY && process.env.TERM !== 'dumb';
    if (!terminal) this.#mode = 'none';
    else this.#mode = out.isTTY ? 'below' : 'alone';
    if (this.#mode === 'below') {
      this.#reserve();
      out.on('resize', this.#onResize);
    }
    if (err.isTTY) process.on('exit', this.#onExit);
    this.#undivert = divertNotes((line) => this.#note(line));
  }

  text(text: string): void {
    if (text === '') return;
    this.#out.write(text);
    this.#isWithinLine = !text.endsWith('\n');
    if (!this.#isWithinLine) this.#printNotes();
  }

  step(step: StepReport): void {
    this.#meter.add(step);
    if (this.#mode === 'none' || performance.now() - this.#lastDrawn < REFRESH_MS) return;
    this.#lastDrawn = performance.now();
    const line = coloursFor(this.#err).dim(this.#meter.line);
    // Save the cursor, go to the last row, clear it, write, go back.
    if (this.#mode === 'below') this.#out.write(`\x1b7\x1b[${this.#out.rows};1H\x1b[2K${line}\x1b8`);
    else this.#err.write(`\r\x1b[2K${line}`);
    this.#isDrawn = true;
  }

  /** Ends the text's last line, takes the view's line away and gives the terminal back. */
  end(): void {
    process.off('exit', this.#onExit);
    this.#out.off('resize', this.#onResize);
    this.#undivert();
    if (this.#isWithinLine) this.#out.write('\n');
    this.#isWithinLine = false;
    if (this.#mode === 'below') this.#out.write(`\x1b7\x1b[r\x1b[${this.#out.rows};1H\x1b[2K\x1b8`);
    this.#clearOwnLine();
    this.#printNotes();
  }

  /** Where text and notes go to one terminal, a note within a line would stand within the text. */
  #note(line: string): void {
    this.#notes.push(line);
    if (!(this.#isWithinLine && this.#out.isTTY && this.#err.isTTY)) this.#printNotes();
  }

  #printNotes(): void {
    if (this.#notes.length > 0) this.#clearOwnLine();
    for (const line of this.#notes.splice(0)) this.#err.write(`${line}\n`);
  }

  #clearOwnLine(): void {
    if (this.#mode === 'alone' && this.#isDrawn) this.#err.write('\r\x1b[2K');
    this.#isDrawn = false;
  }

  /** Keeps the last row out of what scrolls. */
  #reserve(): void {
    this.#out.write(`\n\x1b[1A\x1b7\x1b[1;${this.#out.rows - 1}r\x1b8`);
  }
}
