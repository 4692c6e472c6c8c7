// Lines of stdin, one at a time: with history and editing on a terminal, and as they come from a pipe.

import { createInterface, type Interface } from 'node:readline';

/** The next line; the end of the input (Ctrl-D); or Ctrl-C on an empty line. */
export type Read = { line: string } | 'end' | 'interrupt';

/** While nobody waits for a line the terminal is the terminal's own again: Ctrl-C is a signal to the process then. */
export class LineReader {
  readonly #interface: Interface;
  readonly isTerminal: boolean;
  readonly #lines: string[] = [];
  #ended = false;
  #wanted: ((read: Read) => void) | undefined;

  constructor(input: NodeJS.ReadStream, output: NodeJS.WriteStream, completions: readonly string[]) {
    this.isTerminal = input.isTTY === true && output.isTTY === true && process.env.TERM !== 'dumb';
    this.#interface = createInterface({
      input,
      ...(this.isTerminal ? { output } : {}),
      terminal: this.isTerminal,
      crlfDelay: Infinity,
      completer: (line: string) => [completions.filter((one) => line !== '' && one.startsWith(line)), line],
    });
    this.#interface.on('line', (line) => {
      this.#lines.push(line);
      this.#give();
    });
    this.#interface.on('close', () => {
      this.#ended = true;
      this.#give();
    });
    this.#interface.on('SIGINT', () => {
      // An empty line has nothing to lose but the chat; what is half typed is dropped, from its end to its beginning.
      if (this.#interface.line === '') this.interrupt();
      else for (const name of ['e', 'u']) this.#interface.write(null, { ctrl: true, name });
    });
    if (this.isTerminal) this.#rest();
  }

  /** Waits for a line. Lines that came before are given first. */
  next(prompt: string): Promise<Read> {
    return new Promise((resolve) => {
      this.#wanted = (read) => {
        this.#wanted = undefined;
        if (this.isTerminal && !this.#ended) this.#rest();
        resolve(read);
      };
      if (this.#lines.length === 0 && !this.#ended && this.isTerminal) {
        process.stdin.setRawMode(true);
        this.#interface.setPrompt(prompt);
        this.#interface.prompt();
      }
      this.#give();
    });
  }

  /** Ends the wait for a line; answers whether there was one. */
  interrupt(): boolean {
    if (!this.#wanted) return false;
    this.#wanted('interrupt');
    return true;
  }

  close(): void {
    this.#interface.close();
  }

  #give(): void {
    if (!this.#wanted) return;
    const line = this.#lines.shift();
    if (line !== undefined) this.#wanted({ line });
    else if (this.#ended) this.#wanted('end');
  }

  #rest(): void {
    this.#interface.pause();
    process.stdin.setRawMode(false);
  }
}
