// The live view: one line with speed, depth and acceptance that stays while text streams.

import type { StepReport } from '../control/controller.js';
import { percent } from '../percent.js';
import { coloursFor } from './console.js';

const REFRESH_MS = 100;

/** Speed, depth and acceptance over the last steps, as one line. */
export class StepMeter {
  // Over so many steps an average follows the text, and can still be read.
  static readonly #WINDOW = 32;
  readonly #recent: { ms: number; tokens: number; drafted: number; accepted: number }[] = [];
  #depth = 0;

  add(step: StepReport): void {
    if (step.step === 0) return;
    this.#depth = step.depth;
    this.#recent.push({
      ms: step.draftMs + step.verifyMs + step.catchUpMs + step.otherMs,
      tokens: step.tokens.length,
      drafted: step.drafted,
      accepted: step.accepted,
    });
    if (this.#recent.length > StepMeter.#WINDOW) this.#recent.shift();
  }

  get line(): string {
    let [ms, tokens, drafted, accepted] = [0, 0, 0, 0];
    for (const step of this.#recent) {
      ms += step.ms;
      tokens += step.tokens;
      drafted += step.drafted;
      accepted += step.accepted;
    }
    const speed = ms > 0 ? ((tokens * 1000) / ms).toFixed(1) : '–';
    const share = percent(accepted / drafted);
    return `${speed} t/s   K ${this.#depth}   accepted ${share}`;
  }
}

/**
 * Draws the line at the bottom of a terminal while text scrolls above it, or rewrites one line of stderr where the
 * text goes elsewhere. Does nothing where stderr is no terminal.
 */
export class LiveView {
  readonly #meter = new StepMeter();
  readonly #mode: 'below' | 'alone' | 'none';
  #lastDrawn = 0;
  #isDrawn = false;
  readonly #onResize = () => this.#reserve();
  readonly #onExit = () => this.end();

  constructor() {
    const terminal = process.stderr.isTTY && process.env.TERM !== 'dumb';
    if (!terminal) this.#mode = 'none';
    else this.#mode = process.stdout.isTTY ? 'below' : 'alone';
    if (this.#mode === 'below') {
      this.#reserve();
      process.stdout.on('resize', this.#onResize);
    }
    if (this.#mode !== 'none') process.on('exit', this.#onExit);
  }

  step(step: StepReport): void {
    this.#meter.add(step);
    if (this.#mode === 'none' || performance.now() - this.#lastDrawn < REFRESH_MS) return;
    this.#lastDrawn = performance.now();
    const line = coloursFor(process.stderr).dim(this.#meter.line);
    // Save the cursor, go to the last row, clear it, write, go back.
    if (this.#mode === 'below')
      process.stdout.write(`\x1b7\x1b[${process.stdout.rows};1H\x1b[2K${line}\x1b8`);
    else process.stderr.write(`\r\x1b[2K${line}`);
    this.#isDrawn = true;
  }

  /** Takes the line away and gives the terminal back. */
  end(): void {
    process.off('exit', this.#onExit);
    process.stdout.off('resize', this.#onResize);
    if (this.#mode === 'below') {
      process.stdout.write(`\x1b7\x1b[r\x1b[${process.stdout.rows};1H\x1b[2K\x1b8`);
    } else if (this.#isDrawn) process.stderr.write('\r\x1b[2K');
    this.#isDrawn = false;
  }

  /** Keeps the last row out of what scrolls. */
  #reserve(): void {
    process.stdout.write(`\n\x1b[1A\x1b7\x1b[1;${process.stdout.rows - 1}r\x1b8`);
  }
}
