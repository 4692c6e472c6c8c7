// How text becomes tokens, as steps: what takes long of a long text can then be done on another thread, and the same
// steps are gone through at once where the text is short.

import type { NativeEngine, NativeToolPrompt, NativeTurn } from './binding.js';
import { guardNative } from './guard-native.js';
import type { Message } from './options.js';

/** Characters from which a text is long: tokenizing so many takes a few milliseconds at most. */
export const LONG_TEXT = 8192;

/** Characters that a step of our own looks at: a few milliseconds at most. */
export const SLICE = 65_536;

/** A step that native code does, or a place where other work may come between. */
export type WordingStep =
  | { kind: 'tokenize'; text: string; addSpecial: boolean; parseSpecial: boolean }
  | { kind: 'template'; messages: { role: string; content: string }[]; turn: NativeTurn }
  | { kind: 'tools'; said: string; offered: string; required: boolean; parallel: boolean; turn: NativeTurn }
  | { kind: 'pause' };

/** Yields steps and is given what they come to. */
export type Wording<T> = Generator<WordingStep, T, unknown>;

export function* tokensOf(text: string, addSpecial: boolean, parseSpecial: boolean): Wording<Int32Array> {
  return (yield { kind: 'tokenize', text, addSpecial, parseSpecial }) as Int32Array;
}

export function* templated(messages: readonly Message[], turn: NativeTurn): Wording<string> {
  const plain = messages.map(({ role, content }) => ({ role, content }));
  return (yield { kind: 'template', messages: plain, turn }) as string;
}

export function* withTools(
  said: string,
  offered: string,
  choice: { required: boolean; parallel: boolean },
  turn: NativeTurn,
): Wording<NativeToolPrompt> {
  return (yield { kind: 'tools', said, offered, ...choice, turn }) as NativeToolPrompt;
}

export function* pause(): Wording<void> {
  yield { kind: 'pause' };
}

/** Slices of a long text, none of which ends within a character. */
export function* slices(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    const end = wholeCharacters(text, at + SLICE);
    yield text.slice(at, end);
    at = end;
  }
}

/** `at`, or one more where that is within a surrogate pair. */
export function wholeCharacters(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff ? at + 1 : at;
}

/** Characters that a step takes in. */
export function lengthOf(step: WordingStep): number {
  switch (step.kind) {
    case 'tokenize':
      return step.text.length;
    case 'template':
      return step.messages.reduce((sum, { role, content }) => sum + role.length + content.length, 0);
    case 'tools':
      return step.said.length + step.offered.length;
    case 'pause':
      return 0;
  }
}

/** Goes through all steps at once. Throws what one of them throws. */
export function wordNow<T>(native: NativeEngine, wording: Wording<T>): T {
  let next = wording.next();
  while (!next.done) next = wording.next(stepNow(native, next.value));
  return next.value;
}

export function stepNow(native: NativeEngine, step: WordingStep): unknown {
  return guardNative(() => {
    switch (step.kind) {
      case 'tokenize':
        return native.tokenize(step.text, step.addSpecial, step.parseSpecial);
      case 'template':
        return native.applyTemplate(step.messages, step.turn);
      case 'tools':
        return native.applyTools(step.said, step.offered, step.required, step.parallel, step.turn);
      case 'pause':
        return undefined;
    }
  });
}
