// Settings and saved states of controllers: what may stand in them, and errors that say what is wrong.

import { AdaptiveSpecError } from '../errors.js';
import { closestName } from './closest-name.js';

/** What a value may be. */
export interface Kind {
  is(value: unknown): boolean;
  /** What to give instead, as a sentence. */
  hint: string;
}

/** A `Kind` for every field of `T`. */
export type Kinds<T> = { readonly [Name in keyof T]-?: Kind };

export function whole(from: number, to: number): Kind {
  return {
    is: (value) => Number.isInteger(value) && (value as number) >= from && (value as number) <= to,
    hint: `Give a whole number from ${from} to ${to}.`,
  };
}

export function real(from: number, to: number): Kind {
  return {
    is: (value) => typeof value === 'number' && value >= from && value <= to,
    hint: `Give a number from ${from} to ${to}.`,
  };
}

/** Any number but NaN and the infinities. */
export const finite: Kind = { is: Number.isFinite, hint: 'Give a finite number.' };

export const text: Kind = { is: (value) => typeof value === 'string', hint: 'Give a string.' };

export const flag: Kind = { is: (value) => typeof value === 'boolean', hint: 'Give true or false.' };

export function oneOf(...values: readonly string[]): Kind {
  return {
    is: (value) => typeof value === 'string' && values.includes(value),
    hint: `Give one of: ${values.join(', ')}.`,
  };
}

export function list(of: Kind, from: number, to: number): Kind {
  return {
    is: (value) =>
      Array.isArray(value) &&
      value.length >= from &&
      value.length <= to &&
      value.every((item) => of.is(item)),
    hint: `Give a list of ${from} to ${to}. Each: ${of.hint}`,
  };
}

/** An object that has these fields; others don't matter. */
export function shape<T extends object>(kinds: Kinds<T>): Kind {
  const names = Object.keys(kinds) as (keyof T & string)[];
  return {
    is: (value) =>
      typeof value === 'object' &&
      value !== null &&
      names.every((name) => kinds[name].is((value as T)[name])),
    hint: `Give an object with ${names.join(', ')}.`,
  };
}

export function optional(kind: Kind): Kind {
  return { is: (value) => value === undefined || kind.is(value), hint: kind.hint };
}

/**
 * A controller's settings: those of `config`, and `defaults` for the ones that it leaves out or undefined.
 * Throws INVALID_ARGUMENT where a setting is unknown or isn't of its kind.
 */
export function readSettings<T extends object>(
  kinds: Kinds<T>,
  defaults: Readonly<T>,
  config: Readonly<Partial<T>>,
): T {
  const names = Object.keys(kinds) as (keyof T & string)[];
  if (typeof config !== 'object' || config === null) {
    throw invalid(
      'The configuration is no object',
      `Give an object such as { ${names[0]}: ${defaults[names[0]!]} }.`,
    );
  }
  for (const name of Object.keys(config)) {
    if (!(names as string[]).includes(name)) {
      const near = closestName(name, names);
      throw invalid(
        `Unknown setting ${JSON.stringify(name)}`,
        `${near ? `Did you mean ${near}? ` : ''}Known: ${names.join(', ')}.`,
      );
    }
  }
  const settings: T = { ...defaults };
  for (const name of names) {
    const value = config[name];
    if (value === undefined) continue;
    requireKind(name, value, kinds[name]);
    settings[name] = value as T[typeof name];
  }
  return settings;
}

/** Throws INVALID_ARGUMENT unless `value`, the setting `name`, is of its kind. */
export function requireKind(name: string, value: unknown, kind: Kind): void {
  if (!kind.is(value)) throw invalid(`${name} is out of range`, kind.hint);
}

/** A state that `snapshot` gave, its lists copied. Throws INVALID_ARGUMENT for anything else. */
export function readState<T extends object>(kinds: Kinds<T>, state: unknown, controller: string): T {
  if (!shape(kinds).is(state)) {
    throw invalid(
      `The state is no snapshot of a controller '${controller}' with this configuration`,
      'Restore what snapshot() gave, into a controller made with the same settings.',
    );
  }
  const copy: Record<string, unknown> = {};
  for (const name of Object.keys(kinds)) {
    const value = (state as Record<string, unknown>)[name];
    copy[name] = Array.isArray(value) ? [...value] : value;
  }
  return copy as T;
}

export function clamp(value: number, from: number, to: number): number {
  return Math.min(Math.max(value, from), to);
}

export function invalid(message: string, hint: string): AdaptiveSpecError {
  return new AdaptiveSpecError('INVALID_ARGUMENT', message, hint);
}
