// Calls of tools while they are written: all that is told of them, bit by bit, is what the result says, wherever the text
// ends, in our own form of calls and in a template's.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine, type Engine, type GenerationResult, type RequestOptions } from '../../lib/index.js';
import { readGguf } from '../../lib/models/gguf-read-raw.js';
import { writeGguf } from '../../lib/models/gguf-write.js';
import { tinyModels } from '../tiny-models.js';
import { tinyEngine } from './tiny-engine.js';

const tools = [
  {
    type: 'function',
    function: {
      name: 'say',
      parameters: {
        type: 'object',
        properties: { words: { type: 'string', maxLength: 30 }, times: { type: 'integer', maximum: 99 } },
        required: ['words', 'times'],
      },
    },
  },
  { type: 'function', function: { name: 'say_more' } },
] as const;
const messages = [{ role: 'user', content: 'the world' }];
const request: RequestOptions = { messages, tools, temperature: 0.9, toolChoice: 'required' };

/** The result, and what was told before it, put together. */
async function streamed(engine: Engine, options: RequestOptions) {
  let content = '';
  const calls: { id: string; name: string; arguments: string }[] = [];
  let pieces = 0;
  let result: GenerationResult | undefined;
  for await (const part of engine.generate(options).events()) {
    if (part.type === 'content') content += part.text;
    else if (part.type === 'call') {
      expect(part.index).toBe(calls.length);
      calls.push({ id: part.id, name: part.name, arguments: '' });
    } else if (part.type === 'arguments') {
      calls[part.index]!.arguments += part.text;
      pieces++;
    } else if (part.type === 'finish') result = part.result;
  }
  return { content, calls, pieces, result: result! };
}

async function engineWith(folder: string, template: string): Promise<Engine> {
  const path = join(folder, `${template}.gguf`);
  const file = resolve(import.meta.dirname, '../../llama.cpp/models/templates', `${template}.jinja`);
  const gguf = await readGguf((await tinyModels()).target);
  const metadata = new Map(gguf.metadata);
  metadata.set('tokenizer.chat_template', { type: 'string', value: readFileSync(file, 'utf8') });
  // A token for nearly every character, and templates are long.
  metadata.set('llama.context_length', { type: 'uint32', value: 8192 });
  await writeGguf(path, { ...gguf, metadata });
  return createEngine({
    ...{ model: path, draft: (await tinyModels()).draft, contextSize: 6144, calibrate: 'off' },
  });
}

describe.each([['our own form'], ['meta-llama-Llama-3.2-3B-Instruct']])('in %s', (form) => {
  const folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-tools-'));
  let engine: Engine;
  beforeAll(async () => {
    engine =
      form === 'our own form'
        ? await tinyEngine('target', 'draft', { contextSize: 2048 })
        : await engineWith(folder, form);
  });
  afterAll(async () => {
    await engine.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('a call is told as it is in the result, and the same without a stream', async () => {
    let called = 0;
    for (let seed = 0; seed < 6; seed++) {
      const options = { ...request, seed, depth: seed, maxTokens: 700 };
      const { content, calls, result } = await streamed(engine, options);
      expect({ content, calls }).toEqual({
        content: result.content,
        calls: result.toolCalls!.map(({ id, name, arguments: text }) => ({ id, name, arguments: text })),
      });
      const { toolCalls, content: said } = await engine.generate(options);
      expect({ toolCalls, said }).toEqual({ toolCalls: result.toolCalls, said: result.content });
      if (result.finishReason !== 'tool_calls') continue;
      called++;
      expect(JSON.parse(calls[0]!.arguments)).toEqual(result.toolCalls![0]!.parsed);
    }
    expect(called).toBeGreaterThan(0);
  });

  it('a call that a limit has cut is told as far as it goes, and is no reason to call', async () => {
    const options = { ...request, toolChoice: { name: 'say' }, seed: 3 } as const;
    let cut = 0;
    for (let maxTokens = 1; maxTokens < 120; maxTokens += 7) {
      const { content, calls, result } = await streamed(engine, { ...options, maxTokens });
      if (result.finishReason !== 'length') break;
      expect({ content, calls: calls.map(({ arguments: text }) => text) }).toEqual({
        content: result.content,
        calls: result.toolCalls!.map(({ arguments: text }) => text),
      });
      for (const call of result.toolCalls!) {
        expect(call.name).toBe('say');
        // The limit may also stand behind the arguments.
        if (call.parsed === undefined) cut++;
        else expect(JSON.parse(call.arguments)).toEqual(call.parsed);
      }
    }
    expect(cut).toBeGreaterThan(0);
  });
});

it('several calls are told one behind the other', async () => {
  await using engine = await tinyEngine('target', 'draft', { contextSize: 2048 });
  const numbers: number[] = [];
  const parameters = {
    type: 'object',
    properties: { place: { enum: ['Berlin', 'Rome'] }, days: { type: 'integer', minimum: 1, maximum: 9 } },
    required: ['place', 'days'],
  };
  const short = [
    {
      type: 'function',
      function: { name: 'weather', description: 'Tells the weather of a place.', parameters },
    },
    { type: 'function', function: { name: 'time' } },
  ] as const;
  for (let seed = 0; seed < 6; seed++) {
    const options = { ...request, tools: short, temperature: 0.8, parallelToolCalls: true, seed, depth: 4 };
    const { calls, result } = await streamed(engine, { ...options, maxTokens: 1000 });
    expect(calls.map(({ arguments: text }) => text)).toEqual(
      result.toolCalls!.map(({ arguments: text }) => text),
    );
    numbers.push(calls.length);
  }
  expect(Math.max(...numbers)).toBeGreaterThan(1);
});
