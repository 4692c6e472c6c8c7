// A caller's JSON schema as text for llama.cpp's converter, which recurses without limits: they are drawn here.

import { AdaptiveSpecError } from '../errors.js';

/** A JSON schema, as `JSON.stringify` writes it. */
export type JsonSchema = Readonly<Record<string, unknown>>;

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const MOST_CHARACTERS = 512 * 1024;
const MOST_NESTED = 100;
const MOST_NAME = 500;
/** The converter's time grows with their number cubed. */
const MOST_OPTIONAL = 200;

/** What the converter heeds, and what says nothing of a value's form. */
const KNOWN = new Set(
  `type properties required additionalProperties items prefixItems minItems maxItems enum const anyOf oneOf allOf $ref
  $defs definitions minLength maxLength pattern format minimum maximum exclusiveMinimum exclusiveMaximum
  title description default examples example $schema $id $comment deprecated readOnly writeOnly nullable`.split(
    /\s+/,
  ),
);

/**
 * The schema as JSON. `what` names it in messages; `strict` refuses keywords that a grammar can't keep, which are
 * ignored else. Throws SCHEMA_INVALID.
 */
export function schemaText(schema: unknown, what: string, strict = false): string {
  const refuse = (why: string, cause?: unknown): never => {
    throw new AdaptiveSpecError(
      'SCHEMA_INVALID',
      `${what} can't be used: ${why}`,
      "Give a JSON schema such as { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] }.",
      { cause },
    );
  };
  let text: string | undefined;
  try {
    text = JSON.stringify(schema);
  } catch (cause) {
    refuse(
      `it can't be written as JSON (${cause instanceof Error ? cause.message.split('\n')[0] : cause})`,
      cause,
    );
  }
  if (text === undefined || !text.startsWith('{')) return refuse('it is no object');
  if (text.length > MOST_CHARACTERS) return refuse(`it has more than ${MOST_CHARACTERS} characters`);
  const root = JSON.parse(text) as { [name: string]: Json };
  for (const { value, depth, isSchema } of everyValue(root)) {
    if (depth > MOST_NESTED) refuse(`it is nested more than ${MOST_NESTED} deep`);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) continue;
    const { properties, $ref } = value;
    const names = Object.keys(properties !== null && typeof properties === 'object' ? properties : {});
    if (names.some((name) => name.length > MOST_NAME)) {
      refuse(`a property's name has more than ${MOST_NAME} characters`);
    }
    const required = new Set(Array.isArray(value.required) ? value.required : []);
    if (names.filter((name) => !required.has(name)).length > MOST_OPTIONAL) {
      refuse(`an object has more than ${MOST_OPTIONAL} properties that are not required`);
    }
    if (typeof $ref === 'string' && isEndless(root, $ref))
      refuse(`$ref ${$ref.slice(0, 80)} leads to itself`);
    // The converter ignores these, and says so on stderr.
    const { pattern } = value;
    if (isSchema && typeof pattern === 'string' && !/^\^.*\$$/s.test(pattern)) {
      if (strict) refuse(`the pattern ${JSON.stringify(pattern.slice(0, 80))} isn't anchored by ^ and $`);
      delete value.pattern;
    }
    if (strict && isSchema) {
      const ignored = Object.keys(value).find((name) => !KNOWN.has(name));
      if (ignored !== undefined) refuse(`a grammar can't keep '${ignored.slice(0, 80)}', and it is strict`);
    }
  }
  return JSON.stringify(root);
}

interface Visited {
  value: Json;
  depth: number;
  /** Whether the value stands where a schema does, and not as data or as a map of schemas. */
  isSchema: boolean;
}

function* everyValue(root: Json): Generator<Visited> {
  const open: Visited[] = [{ value: root, depth: 0, isSchema: true }];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    yield at;
    const { value, depth, isSchema } = at;
    if (typeof value !== 'object' || value === null) continue;
    for (const [name, child] of Object.entries(value)) {
      if (isSchema && MAPS.has(name)) {
        for (const inner of Object.values(child ?? {}))
          open.push({ value: inner, depth: depth + 2, isSchema: true });
      } else {
        const holds = Array.isArray(value) ? isSchema : isSchema && HOLDERS.has(name);
        open.push({ value: child, depth: depth + 1, isSchema: holds });
      }
    }
  }
}

/** Keywords whose values are schemas by name; schemas, or lists of them. */
const MAPS = new Set(['properties', '$defs', 'definitions']);
const HOLDERS = new Set(['items', 'prefixItems', 'additionalProperties', 'anyOf', 'oneOf', 'allOf']);

/** Whether a reference leads to a reference, and so on, in a circle. The converter says what is wrong with others. */
function isEndless(root: Json, ref: string): boolean {
  const seen = new Set<string>();
  for (let next: unknown = ref; typeof next === 'string'; ) {
    if (seen.has(next)) return true;
    seen.add(next);
    let at: unknown = root;
    for (const part of next.split('/').slice(1)) at = (at as Record<string, unknown> | undefined)?.[part];
    next = (at as { $ref?: unknown } | null | undefined)?.$ref;
  }
  return false;
}
