// A conversation of `adaptive-spec chat`: what was said, how it is answered, and the commands that change either.

import { writeFileSync } from 'node:fs';
import { closestName } from '../control/closest-name.js';
import { type Controller, MAX_DEPTH } from '../control/controller.js';
import { controllerNames, resolveController } from '../control/controllers.js';
import { AdaptiveSpecError } from '../errors.js';
import { checkRequestOptions, type Message, type RequestOptions } from '../options.js';
import { importController, isControllerFile } from './controller-flag.js';
import { numberOf } from './engine-flags.js';

/** Commands and what they do, as /help prints them. */
export const COMMANDS: readonly (readonly [name: string, argument: string, does: string])[] = [
  ['/help', '', 'this list'],
  ['/reset', '', 'forget what was said'],
  ['/controller', 'NAME', `who chooses K: ${controllerNames.join(', ')}, or a module's file`],
  ['/depth', 'K', 'the same K at every step; 0 is plain decoding'],
  ['/system', 'TEXT', 'what the model is told first; without a text, nothing'],
  ['/save', 'FILE', 'what was said, as JSON'],
  ['/exit', '', 'leave; so does Ctrl-D'],
];

/** What a line was: a command that was done, with what is to be said of it; the wish to leave; or words for the model. */
export type Heard = { type: 'said'; lines: string[] } | { type: 'leave' } | { type: 'words'; text: string };

export class Conversation {
  readonly #settings: RequestOptions;
  #system: string;
  #said: Message[] = [];
  /** Largest depth that the engine accepts, once there is one. */
  maxDepth = MAX_DEPTH;

  /** `settings` are of every answer: a controller or a depth among them may be changed by a command. */
  constructor(settings: RequestOptions, system = '') {
    this.#settings = settings;
    this.#system = system;
    this.#check();
  }

  /** What has been said, the system's message included. */
  get messages(): Message[] {
    return this.#system === '' ? [...this.#said] : [{ role: 'system', content: this.#system }, ...this.#said];
  }

  /** The request that answers these words. */
  requestFor(text: string): RequestOptions {
    return { ...this.#settings, messages: [...this.messages, { role: 'user', content: text }] };
  }

  answered(words: string, answer: string): void {
    this.#said.push({ role: 'user', content: words }, { role: 'assistant', content: answer });
  }

  /** Does a command. Throws INVALID_ARGUMENT, or why a file can't be written; then nothing has changed. */
  async hear(line: string): Promise<Heard> {
    const [, name, rest = ''] = /^(\/\S*)\s*(.*)$/s.exec(line.trim()) ?? [];
    if (name === undefined) return { type: 'words', text: line };
    const argument = rest.trim();
    switch (name) {
      case '/help':
        return said(
          ...COMMANDS.map(([command, takes, does]) => `${`${command} ${takes}`.padEnd(18)} ${does}`),
        );
      case '/exit':
      case '/quit':
        return { type: 'leave' };
      case '/reset':
        this.#said = [];
        return said('nothing has been said');
      case '/system':
        this.#system = argument;
        return said(argument === '' ? 'the model is told nothing first' : 'the model is told so first');
      case '/controller':
        await this.#useController(argument);
        return said(`K is chosen by ${argument}`);
      case '/depth':
        this.#useDepth(numberOf('/depth', argument));
        return said(`K is ${argument} at every step`);
      case '/save':
        this.#save(argument);
        return said(`written: ${argument}`);
      default: {
        const near = closestName(
          name,
          COMMANDS.map(([command]) => command),
        );
        throw usage(
          `There is no command ${name.slice(0, 80)}`,
          near ? `Did you mean ${near}?` : '/help lists the commands.',
        );
      }
    }
  }

  async #useController(name: string): Promise<void> {
    if (name === '') throw usage('/controller needs a name', `Known names: ${controllerNames.join(', ')}.`);
    const controller: Controller | string = isControllerFile(name) ? await importController(name) : name;
    resolveController(controller);
    delete this.#settings.depth;
    this.#settings.controller = controller;
  }

  #useDepth(depth: number): void {
    checkRequestOptions({ prompt: 'x', depth });
    if (depth > this.maxDepth)
      throw usage(`A depth of ${depth} is too large`, `Give a whole number from 0 to ${this.maxDepth}.`);
    delete this.#settings.controller;
    this.#settings.depth = depth;
  }

  #save(path: string): void {
    if (path === '') throw usage('/save needs the name of a file', 'Such as /save chat.json.');
    try {
      writeFileSync(path, `${JSON.stringify({ messages: this.messages }, undefined, 2)}\n`);
    } catch (cause) {
      throw usage(`${path} can't be written: ${(cause as Error).message}`, 'Name another file.');
    }
  }

  /** Before a model is loaded, so that a slip of the keyboard costs nothing. */
  #check(): void {
    const { controller, depth } = this.#settings;
    checkRequestOptions(this.requestFor('x'));
    resolveController(controller, { depth });
  }
}

function said(...lines: string[]): Heard {
  return { type: 'said', lines };
}

function usage(message: string, hint: string): AdaptiveSpecError {
  return new AdaptiveSpecError('INVALID_ARGUMENT', message, hint);
}
