// Ctrl-C: the first ends what runs, or the process where nothing runs yet; the second always the process.

export class Interruption {
  happened = false;
  onInterrupt: () => void = () => process.exit(130);
  readonly #listener = () => {
    if (this.happened) process.exit(130);
    this.happened = true;
    this.onInterrupt();
  };

  constructor() {
    process.on('SIGINT', this.#listener);
  }

  end(): void {
    process.off('SIGINT', this.#listener);
  }
}
