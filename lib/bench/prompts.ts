// Prompts of a benchmark: JSON lines {id, context, prompt}, read and checked.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { packageRoot } from '../binding.js';
import { AdaptiveSpecError } from '../errors.js';
import { KINDS, type Kind } from './bench-result.js';

export interface BenchPrompt {
  id: string;
  /** Kind of text that it asks for. */
  kind: Kind;
  prompt: string;
}

/** The package's own prompts. */
export const DEFAULT_PROMPT_FILES = ['bench/prompts/dev.jsonl', 'bench/prompts/switch.jsonl'];

const schema = v.object({
  id: v.pipe(v.string('a string'), v.minLength(1, 'a string that is not empty')),
  context: v.picklist(KINDS, `one of ${KINDS.join(', ')}`),
  prompt: v.pipe(v.string('a string'), v.minLength(1, 'a string that is not empty')),
});

/** The prompts of the package, in the order of their files. */
export function defaultPrompts(): BenchPrompt[] {
  return checkIds(DEFAULT_PROMPT_FILES.flatMap((file) => readPromptFile(join(packageRoot, file))));
}

/** Reads a file of prompts. Throws INVALID_ARGUMENT with the number of the line that is wrong. */
export function readPromptFile(path: string): BenchPrompt[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The prompts ${path} can't be read: ${(cause as Error).message}`,
      'Give a file of JSON lines: {"id": "code-1", "context": "code", "prompt": "Write …"}.',
      { cause },
    );
  }
  return parsePrompts(text, path);
}

/** Parses JSON lines; empty lines are skipped. `name` is what errors call the text. Throws INVALID_ARGUMENT. */
export function parsePrompts(text: string, name: string): BenchPrompt[] {
  const prompts: BenchPrompt[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const { id, context, prompt } = parseLine(line, `${name}, line ${i + 1}`);
    prompts.push({ id, kind: context, prompt });
  }
  if (prompts.length === 0) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `${name} holds no prompts`,
      'Give one JSON object a line.',
    );
  }
  return checkIds(prompts, name);
}

function parseLine(line: string, where: string): v.InferOutput<typeof schema> {
  const hint = 'Write it as {"id": "code-1", "context": "code", "prompt": "Write …"}.';
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new AdaptiveSpecError('INVALID_ARGUMENT', `${where} is no JSON`, hint, { cause });
  }
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue);
  const what = field === null ? 'is no object' : `has no usable '${field}': give ${issue.message}`;
  throw new AdaptiveSpecError('INVALID_ARGUMENT', `${where} ${what}`, hint);
}

function checkIds(prompts: BenchPrompt[], name = 'The prompts'): BenchPrompt[] {
  const seen = new Set<string>();
  for (const { id } of prompts) {
    if (seen.has(id)) {
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        `${name} holds the id ${JSON.stringify(id)} twice`,
        'Give every prompt an id of its own: figures are paired by it.',
      );
    }
    seen.add(id);
  }
  return prompts;
}

/** The first `perKind` prompts of each of the kinds. Throws INVALID_ARGUMENT for a kind without prompts. */
export function choosePrompts(
  prompts: readonly BenchPrompt[],
  { kinds, perKind }: { kinds?: readonly string[] | undefined; perKind: number },
): BenchPrompt[] {
  const present = new Set<string>(prompts.map(({ kind }) => kind));
  const missing = kinds?.find((kind) => !present.has(kind));
  if (missing !== undefined) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `There are no prompts of the kind ${JSON.stringify(missing)}`,
      `Give some of: ${[...present].join(', ')}.`,
    );
  }
  const taken = new Map<string, number>();
  return prompts.filter(({ kind }) => {
    const count = taken.get(kind) ?? 0;
    taken.set(kind, count + 1);
    return count < perKind && (kinds === undefined || kinds.includes(kind));
  });
}
