// JSON and tool calls of the default pair: valid, plain decoding's own at every depth, and fewer steps than tokens.
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine, type JsonSchema, type Tool } from '../../lib/index.js';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.close());

const person = {
  type: 'object',
  properties: {
    name: { type: 'string', maxLength: 40 },
    age: { type: 'integer', minimum: 0, maximum: 120 },
    occupation: { enum: ['engineer', 'teacher', 'astronaut', 'unemployed'] },
    hobbies: { type: 'array', items: { type: 'string', maxLength: 30 }, maxItems: 3 },
  },
  required: ['name', 'age', 'occupation', 'hobbies'],
};
const CASES: [string, JsonSchema, string][] = [
  ['a person', person, 'Describe Ada, a 36-year-old teacher who likes chess, as JSON.'],
  [
    'a list',
    { type: 'array', items: { enum: ['red', 'green', 'blue'] }, minItems: 2, maxItems: 4 },
    'Name colours.',
  ],
  [
    'a choice',
    { enum: ['positive', 'negative', 'neutral'] },
    'Is "I love it" positive, negative or neutral?',
  ],
  [
    'a tree',
    {
      $ref: '#/$defs/node',
      $defs: {
        node: {
          type: 'object',
          properties: {
            value: { type: 'integer', minimum: 0, maximum: 9 },
            next: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/leaf' }] },
          },
          required: ['value', 'next'],
        },
        leaf: { type: 'object', properties: { value: { const: 0 } }, required: ['value'] },
      },
    },
    'Write a linked list as JSON.',
  ],
];

describe('responseFormat', () => {
  it.each(CASES)(
    'gives JSON that keeps to its schema, and one text at every depth: %s',
    async (_, schema, words) => {
      const request = {
        messages: [{ role: 'user', content: words }],
        responseFormat: { type: 'json_schema', schema } as const,
        maxTokens: 300,
      };
      for (const temperature of [0, 0.8]) {
        const plain = await engine.generate({ ...request, temperature, seed: 1, depth: 0 });
        expect(plain.finishReason, plain.text).toBe('stop');
        expect(plain.json).toEqual(JSON.parse(plain.text));
        for (const options of [{ depth: 4 }, { depth: 8, drafter: 'model' }, { controller: 'auto' }]) {
          const result = await engine.generate({ ...request, temperature, seed: 1, ...options });
          expect(result.tokens).toEqual(plain.tokens);
        }
      }
    },
  );

  it('gives a JSON object without a schema', async () => {
    const { json, finishReason } = await engine.generate({
      messages: [{ role: 'user', content: 'Give the capital of France as JSON: {"capital": …}' }],
      ...{ responseFormat: { type: 'json_object' }, maxTokens: 300, depth: 4 },
    });
    if (finishReason === 'stop') expect(json).toEqual(expect.any(Object));
  });

  it('takes fewer steps than plain decoding', async () => {
    const request = {
      messages: [{ role: 'user', content: CASES[0]![2] }],
      responseFormat: { type: 'json_schema', schema: person } as const,
      maxTokens: 300,
    };
    const plain = await engine.generate({ ...request, depth: 0 });
    const { stats } = await engine.generate({ ...request, depth: 4 });
    expect(stats.steps).toBeLessThan(plain.stats.steps);
  });
});

describe('tools', () => {
  const tools: Tool[] = [
    {
      type: 'function',
      function: {
        name: 'get_weather',
        description: 'Tells the current weather of a city.',
        parameters: {
          type: 'object',
          properties: { city: { type: 'string', maxLength: 30 }, unit: { enum: ['celsius', 'fahrenheit'] } },
          required: ['city', 'unit'],
        },
      },
    },
  ];
  const messages = [{ role: 'user', content: 'What is the weather in Paris, in celsius?' }];

  it('are called, with arguments that keep to their schema', async () => {
    const request = { messages, tools, toolChoice: 'required', maxTokens: 200 } as const;
    const plain = await engine.generate({ ...request, depth: 0 });
    expect(plain.finishReason).toBe('tool_calls');
    expect(plain.toolCalls).toHaveLength(1);
    expect(plain.toolCalls![0]).toMatchObject({
      name: 'get_weather',
      parsed: { city: expect.any(String), unit: expect.stringMatching(/^(celsius|fahrenheit)$/) },
    });
    const result = await engine.generate({ ...request, depth: 6 });
    expect(result.tokens).toEqual(plain.tokens);
    const auto = await engine.generate({ messages, tools, maxTokens: 200, depth: 4 });
    expect(auto.toolCalls).toBeDefined();
  });
});

describe('the command line', () => {
  const main = resolve(import.meta.dirname, '../../dist/cli/main.js');
  const run = (...flags: string[]) =>
    spawnSync(process.execPath, [main, 'generate', '--prompt', 'Is the sky blue? Answer:', ...flags], {
      encoding: 'utf8',
      timeout: 100_000,
    });

  it('takes a schema, a grammar and tools', () => {
    const schema = run('--json-schema', '{"enum":["yes","no"]}', '--json');
    expect(JSON.parse(schema.stdout).json).toMatch(/^(yes|no)$/);
    const grammar = run('--grammar', 'root ::= " yes" | " no"');
    expect(grammar.stdout).toMatch(/^ (yes|no)\n$/);
    const offered = '[{"type":"function","function":{"name":"look"}}]';
    const called = run('--chat', '--tools', offered, '--tool-choice', 'look');
    expect(called.stderr).toMatch(/calls look\(\{\s*\}\)/);
  });

  it('says what is wrong with them', () => {
    const none = run('--json-schema', '{"type":');
    expect(none.status).toBe(2);
    expect(none.stderr).toMatch(/--json-schema is no JSON/);
    const missing = run('--grammar', 'nowhere.gbnf');
    expect(missing.status).toBe(2);
    const bad = run('--json-schema', '{"type":"nope"}');
    expect(bad.status).toBe(1);
    expect(bad.stderr).toMatch(/SCHEMA_INVALID/);
  });
});
