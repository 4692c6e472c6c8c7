// Options that give the text a form: what is refused before native code sees it, and how generic tool calls are put.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AcceptanceLearner } from '../../lib/control/acceptance-learner.js';
import { ORIGIN } from '../../lib/control/controller.js';
import { acceptanceOf, draftedBy, modelTokensOf } from '../../lib/control/stop-rule.js';
import { checkRequestOptions } from '../../lib/options.js';
import { genericMessages, genericSchema } from '../../lib/structured/generic-tools.js';
import { schemaText } from '../../lib/structured/schema-text.js';
import { messagesText, offeredTools, type Tool, toolCall } from '../../lib/structured/tools.js';
import { stepReport } from './step-report.js';

const prompt = 'x';
const messages = [{ role: 'user', content: 'x' }];
const tool = (name: string, parameters?: object): Tool => ({
  type: 'function',
  function: { name, ...(parameters ? { parameters: parameters as Record<string, unknown> } : {}) },
});

function thrown(run: () => unknown): { code?: string; message: string; hint?: string } {
  try {
    run();
  } catch (error) {
    return error as { code?: string; message: string; hint?: string };
  }
  return { message: 'nothing was thrown' };
}

describe('the options', () => {
  const schema = { type: 'object' };
  it.each([
    [{ prompt, responseFormat: 'json' }, /responseFormat is "json"/],
    [{ prompt, responseFormat: { type: 'xml' } }, /responseFormat/],
    [{ prompt, responseFormat: { type: 'json_schema' } }, /responseFormat/],
    [{ prompt, responseFormat: { type: 'json_schema', schema: 'text' } }, /responseFormat/],
    [{ prompt, responseFormat: { type: 'json_schema', schema, extra: 1 } }, /responseFormat/],
    [{ prompt, grammar: '' }, /grammar/],
    [{ prompt, grammar: 7 }, /grammar is 7/],
    [{ prompt, grammar: 'root ::= "a\0"' }, /grammar/],
    [{ prompt, grammar: 'x'.repeat(2_000_000) }, /grammar/],
    [{ messages, tools: [] }, /tools/],
    [
      { messages, tools: [{ type: 'function', function: { name: 'a b' } }] },
      /tools\.0\.function\.name is "a b"/,
    ],
    [{ messages, tools: [{ type: 'retrieval' }] }, /tools/],
    [{ messages, tools: [tool('a'), tool('a')] }, /tools/],
    [{ messages, tools: [tool('a')], toolChoice: 'maybe' }, /toolChoice is "maybe"/],
    [{ messages, tools: [tool('a')], toolChoice: { name: '' } }, /toolChoice/],
    [{ messages, toolChoice: 'required' }, /toolChoice is given, and no tools/],
    [{ prompt, tools: [tool('a')] }, /Tools need a conversation/],
    [{ messages, tools: [tool('a')], grammar: 'root ::= "a"' }, /more than one form/],
    [{ prompt, responseFormat: { type: 'json_object' }, grammar: 'root ::= "a"' }, /more than one form/],
    [{ messages, responseFormat: { type: 'json_object' }, tools: [tool('a')] }, /more than one form/],
    [{ prompt, responseFormat: { type: 'json_object' }, ignoreEos: true }, /ignoreEos/],
    [{ prompt, grammar: 'root ::= "a"', ignoreEos: true }, /ignoreEos/],
    [
      { messages: [{ role: 'assistant', content: '', toolCalls: [{ name: 'a' }] }] },
      /messages\.0\.toolCalls/,
    ],
  ])('are refused with a hint: %j', (options, expected) => {
    const { code, message, hint } = thrown(() => checkRequestOptions(options));
    expect(code).toBe('INVALID_ARGUMENT');
    expect(message).toMatch(expected);
    expect(hint).toBeTruthy();
  });

  it('are taken where they fit together', () => {
    expect(checkRequestOptions({ prompt }).toolChoice).toBe('auto');
    for (const options of [
      { prompt, responseFormat: { type: 'text' }, ignoreEos: true },
      { prompt, responseFormat: { type: 'text' }, grammar: 'root ::= "a"' },
      { messages, responseFormat: { type: 'json_object' }, tools: [tool('a')], toolChoice: 'none' },
      { messages, tools: [tool('a', schema), tool('b')], toolChoice: { name: 'b' } },
      { messages: [...messages, { role: 'tool', content: '3', toolCallId: '1', name: 'a' }] },
    ])
      expect(() => checkRequestOptions(options)).not.toThrow();
  });
});

describe('a schema', () => {
  const deep = (levels: number): object => (levels === 0 ? {} : { items: deep(levels - 1) });
  const loop: Record<string, unknown> = {};
  loop.self = loop;
  const many = Object.fromEntries(Array.from({ length: 201 }, (_, i) => [`p${i}`, {}]));

  it.each<[string, unknown, RegExp]>([
    ['in a circle', loop, /can't be written as JSON/],
    [
      'with a getter that throws',
      {
        get a() {
          throw new Error('no');
        },
      },
      /can't be written as JSON \(no\)/,
    ],
    ['with a BigInt', { minimum: 3n }, /can't be written as JSON/],
    ['of a function', () => {}, /no object/],
    ['of an array', [], /no object/],
    ['whose toJSON gives text', { toJSON: () => 'x' }, /no object/],
    ['nested too deep', deep(101), /nested/],
    ['nested beyond all stacks', deep(5000), /nested|JSON/],
    ['that is huge', { description: 'x'.repeat(600_000) }, /characters/],
    ['with too many optional properties', { properties: many }, /not required/],
    ['with a name without end', { properties: { ['x'.repeat(501)]: {} } }, /name/],
    ['that refers to itself alone', { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/a' } } }, /itself/],
    [
      'that refers in a circle',
      { allOf: [{ $ref: '#/$defs/a' }], $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } },
      /itself/,
    ],
  ])('%s is refused', (_, schema, expected) => {
    const { code, message, hint } = thrown(() => schemaText(schema, 'The schema'));
    expect(code).toBe('SCHEMA_INVALID');
    expect(message).toMatch(expected);
    expect(hint).toBeTruthy();
  });

  it('may recurse through values', () => {
    const tree = { $ref: '#/$defs/t', $defs: { t: { type: 'array', items: { $ref: '#/$defs/t' } } } };
    expect(JSON.parse(schemaText(tree, 'The schema'))).toEqual(tree);
    expect(() => schemaText({ properties: many, required: Object.keys(many) }, 'The schema')).not.toThrow();
  });

  it('that is strict may have no keyword that a grammar ignores, while properties may have any name', () => {
    const strict = (schema: object) => thrown(() => schemaText(schema, "The schema 'x'", true)).message;
    expect(strict({ not: {} })).toMatch(/The schema 'x' can't be used: .*'not'/);
    expect(strict({ properties: { a: { multipleOf: 3 } } })).toMatch(/'multipleOf'/);
    expect(strict({ items: [{ anyOf: [{ uniqueItems: true }] }] })).toMatch(/'uniqueItems'/);
    expect(strict({ properties: { not: { const: { not: 1 }, title: 'x' } }, required: ['not'] })).toBe(
      'nothing was thrown',
    );
    expect(() => schemaText({ not: {} }, 'The schema')).not.toThrow();
  });

  it('loses patterns that a grammar ignores, or is refused for them', () => {
    const loose = { properties: { pattern: { type: 'string', pattern: 'a+' }, b: { pattern: '^b$' } } };
    expect(JSON.parse(schemaText(loose, 'The schema'))).toEqual({
      properties: { pattern: { type: 'string' }, b: { pattern: '^b$' } },
    });
    expect(thrown(() => schemaText(loose, 'The schema', true)).message).toMatch(/"a\+" isn't anchored/);
  });

  it('of any kind is written or refused with its code', () => {
    fc.assert(
      fc.property(fc.anything(), (schema) => {
        const { code } = thrown(() => JSON.parse(schemaText(schema, 'The schema')));
        expect([undefined, 'SCHEMA_INVALID']).toContain(code);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('tools', () => {
  it('are offered by the choice', () => {
    const tools = [tool('a'), tool('b', { type: 'object' })];
    expect(offeredTools(tools, 'none')).toEqual([]);
    expect(offeredTools(tools, 'auto').map(({ function: { name } }) => name)).toEqual(['a', 'b']);
    expect(offeredTools(tools, { name: 'b' })).toEqual([tool('b', { type: 'object' })]);
    expect(thrown(() => offeredTools(tools, { name: 'c' }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      hint: 'Name one of: a, b.',
    });
    expect(thrown(() => offeredTools([tool('a', [])], 'auto'))).toMatchObject({
      code: 'SCHEMA_INVALID',
      message: expect.stringContaining("tool 'a'"),
    });
  });

  it('stand in a conversation as OpenAI has them', () => {
    const call = { id: '1', name: 'add', arguments: '{"a":1}' };
    expect(
      JSON.parse(
        messagesText([
          { role: 'assistant', content: '', toolCalls: [call] },
          { role: 'tool', content: '2', toolCallId: '1', name: 'add' },
        ]),
      ),
    ).toEqual([
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ id: '1', type: 'function', function: { name: 'add', arguments: '{"a":1}' } }],
      },
      { role: 'tool', content: '2', tool_call_id: '1', name: 'add' },
    ]);
  });

  it('have their arguments read, where they are JSON', () => {
    expect(toolCall({ id: '', name: 'a', arguments: '{"x":1}' }, 2)).toEqual({
      id: 'call_2',
      name: 'a',
      arguments: '{"x":1}',
      parsed: { x: 1 },
    });
    expect(toolCall({ id: 'q', name: 'a', arguments: '{' }, 0)).toEqual({
      id: 'q',
      name: 'a',
      arguments: '{',
    });
  });
});

describe('tokens that a grammar forces', () => {
  const signals = {
    probabilities: [0.9, 0.9],
    margins: [0.9, 0.9],
    entropies: [0, 0],
    origins: [ORIGIN.grammar, ORIGIN.model],
  };
  const acceptance = { bias: -9, logit: 1, margin: 0, entropy: 0, place: 0 };

  it('cost nothing, and are as probable as they say', () => {
    expect(modelTokensOf(signals.origins)).toBe(1);
    expect(acceptanceOf(acceptance, signals, 0)).toBe(0.9);
    expect(acceptanceOf(acceptance, signals, 1)).toBeLessThan(0.1);
    const stop = { acceptance, value: { tokensPerMs: 1, draftMs: 100, verifyMs: [1, 1.1, 1.2], ahead: 0.5 } };
    expect(draftedBy(stop, signals, 2)).toEqual({ drafted: 1, computed: 0, wantsMore: false });
  });

  it('teach nothing of acceptance', () => {
    const learner = new AcceptanceLearner();
    const surroundings = { kind: 'json', recent: 0.5, isEarly: false } as const;
    const before = learner.model(surroundings);
    for (let i = 0; i < 50; i++) {
      learner.learn(
        stepReport({
          drafted: 1,
          accepted: 0,
          verified: 1,
          probabilities: Float32Array.of(0.9),
          origins: Uint8Array.of(ORIGIN.grammar),
        }),
        surroundings,
      );
    }
    expect(learner.model(surroundings)).toEqual(before);
  });
});

describe('generic tools', () => {
  const tools = [
    tool('a', {
      type: 'object',
      properties: { x: { $ref: '#/$defs/n' } },
      $defs: { n: { type: 'integer' } },
    }),
  ];

  it('are told in the system message, with roles that every template has', () => {
    const call = { id: '1', name: 'a', arguments: '{"x":1}' };
    const told = genericMessages(
      [
        { role: 'system', content: 'Be brief.' },
        { role: 'assistant', content: '', toolCalls: [call] },
        { role: 'tool', content: '42', toolCallId: '1', name: 'a' },
      ],
      tools,
      false,
      false,
    );
    expect(told[0]!.content).toMatch(/^Be brief\.\n\nYou can call.*"name":"a".*"response"/s);
    expect(told.slice(1)).toEqual([
      { role: 'assistant', content: '{"tool_call":{"name":"a","arguments":{"x":1}}}' },
      { role: 'user', content: 'Result of a: 42' },
    ]);
    const [system, user] = genericMessages(messages, tools, true, false);
    expect(system!.role).toBe('system');
    expect(system!.content).not.toMatch(/response/);
    expect(user).toEqual(messages[0]);
  });

  it('keep what their parameters refer to', () => {
    const schema = JSON.stringify(genericSchema(tools, true, false));
    expect(schema).toContain('"$ref":"#/$defs/tool0/$defs/n"');
    expect(schema).not.toContain('response');
    expect(JSON.stringify(genericSchema(tools, false, false))).toContain('response');
  });

  it('are called several at once where that is wanted', () => {
    const call = (id: string, x: number) => ({ id, name: 'a', arguments: `{"x":${x}}` });
    const [, told] = genericMessages(
      [
        { role: 'system', content: 'Be brief.' },
        { role: 'assistant', content: '', toolCalls: [call('1', 1), call('2', 2)] },
      ],
      tools,
      true,
      true,
    );
    const answer = '{"tool_calls":[{"name":"a","arguments":{"x":1}},{"name":"a","arguments":{"x":2}}]}';
    expect(told!.content).toBe(answer);
    expect(genericSchema(tools, true, true)).toMatchObject({
      properties: { tool_calls: { type: 'array', minItems: 1 } },
    });
  });
});
