// OpenAI's own client against the server: what it reads is what it asked for, and what it throws is of the right class.
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../lib/index.js';
import { createServer, type Server } from '../../lib/serve/index.js';
import { tinyEngine } from './tiny-engine.js';

const KEY = 'sk-a-key';
let engine: Engine;
let server: Server;
let client: OpenAI;
let baseURL: string;

beforeAll(async () => {
  engine = await tinyEngine('targetWithEog', 'draftWithEog');
  server = createServer(engine, { port: 0, apiKey: KEY, modelName: 'tiny' });
  baseURL = `${await server.listen()}/v1`;
  client = new OpenAI({ apiKey: KEY, baseURL, maxRetries: 0 });
});
afterAll(async () => {
  await server.close();
  await engine.close();
});

const chat = {
  model: 'tiny',
  messages: [{ role: 'user' as const, content: 'the world is a' }],
  max_tokens: 30,
};

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

const TOOLS: OpenAI.Chat.ChatCompletionTool[] = [
  {
    type: 'function',
    function: {
      name: 'look',
      description: 'Looks.',
      parameters: {
        type: 'object',
        properties: { far: { type: 'boolean' } },
        required: ['far'],
        additionalProperties: false,
      },
      strict: true,
    },
  },
];

describe('chat completions', () => {
  it('are read whole', async () => {
    const { data, request_id } = await client.chat.completions.create(chat).withResponse();
    expect(request_id).toMatch(/^[0-9a-f-]{36}$/);
    expect(data.choices[0]!.message.content!.length).toBeGreaterThan(0);
    expect(data.usage!.total_tokens).toBe(data.usage!.prompt_tokens + data.usage!.completion_tokens);
  });

  it('are streamed to the same text, with usage', async () => {
    const whole = await client.chat.completions.create(chat);
    const stream = await client.chat.completions.create({
      ...chat,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      usage = chunk.usage;
    }
    expect(text).toBe(whole.choices[0]!.message.content);
    expect(usage).toEqual(whole.usage);
  });

  it('are put together by its runner of streams', async () => {
    const whole = await client.chat.completions.create(chat);
    const runner = client.chat.completions.stream(chat);
    expect(await runner.finalContent()).toBe(whole.choices[0]!.message.content);
  });

  it('keep to a JSON schema', async () => {
    const schema = {
      type: 'object',
      properties: { far: { type: 'boolean' } },
      required: ['far'],
      additionalProperties: false,
    };
    const made = await client.chat.completions.create({
      ...chat,
      max_tokens: 200,
      response_format: { type: 'json_schema', json_schema: { name: 'far', schema, strict: true } },
    });
    expect(JSON.parse(made.choices[0]!.message.content!)).toEqual({ far: expect.any(Boolean) });
  });

  it('call tools, whose answers go back', async () => {
    const first = await client.chat.completions.create({
      ...chat,
      max_tokens: 200,
      tools: TOOLS,
      tool_choice: 'required',
    });
    const { message, finish_reason } = first.choices[0]!;
    expect(finish_reason).toBe('tool_calls');
    const [call] = message.tool_calls!;
    expect(call).toMatchObject({ type: 'function', function: { name: 'look' } });
    expect(
      JSON.parse((call as OpenAI.Chat.ChatCompletionMessageFunctionToolCall).function.arguments),
    ).toEqual({
      far: expect.any(Boolean),
    });
    const second = await client.chat.completions.create({
      ...chat,
      messages: [...chat.messages, message, { role: 'tool', tool_call_id: call!.id, content: 'a cat' }],
    });
    expect(second.usage!.prompt_tokens).toBeGreaterThan(first.usage!.completion_tokens);
  });

  it('call tools in a stream', async () => {
    const asked = { ...chat, max_tokens: 200, tools: TOOLS, tool_choice: 'required' } as const;
    const runner = client.chat.completions.stream(asked);
    const { choices } = await runner.finalChatCompletion();
    const whole = await client.chat.completions.create(asked);
    const [streamed, called] = [choices, whole.choices].map(([choice]) => choice!.message.tool_calls![0]!);
    if (streamed!.type !== 'function' || called!.type !== 'function')
      throw new Error('no function is called');
    expect(streamed!.function.arguments).toBe(called!.function.arguments);
    expect(choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: { tool_calls: [{ type: 'function', function: { name: 'look' } }] },
    });
  });

  it('end at an abort, on both sides', async () => {
    const stream = await client.chat.completions.create({
      ...chat,
      max_tokens: 400,
      stream: true,
      // What is no part of OpenAI's interface goes through as it is.
      ...{ ignore_eos: true, adaptive_spec: { controller: 'off' } },
    });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    await until(() => server.state.running === 0 && engine.pending === 0);
    const abort = new AbortController();
    const whole = client.chat.completions.create(
      { ...chat, max_tokens: 400, ...{ ignore_eos: true } },
      { signal: abort.signal },
    );
    await until(() => server.state.running === 1);
    abort.abort();
    await expect(whole).rejects.toThrow(OpenAI.APIUserAbortError);
    await until(() => server.state.running === 0 && engine.pending === 0);
  });
});

describe('completions, responses, models', () => {
  it('are read', async () => {
    const prompt = 'def hello(x):\n  return';
    const whole = await client.completions.create({ model: 'tiny', prompt, max_tokens: 20 });
    let text = '';
    const stream = await client.completions.create({ model: 'tiny', prompt, max_tokens: 20, stream: true });
    for await (const chunk of stream) text += chunk.choices[0]?.text ?? '';
    expect(text).toBe(whole.choices[0]!.text);
  });

  it('are read as responses', async () => {
    const asked = { model: 'tiny', input: 'the world is a', max_output_tokens: 20 };
    const whole = await client.responses.create(asked);
    expect(whole.id).toMatch(/^resp_/);
    expect(whole.output[0]!.id).toMatch(/^msg_/);
    expect(whole.output_text.length).toBeGreaterThan(0);
    const runner = client.responses.stream(asked);
    let text = '';
    for await (const event of runner) if (event.type === 'response.output_text.delta') text += event.delta;
    expect(text).toBe(whole.output_text);
    expect((await runner.finalResponse()).output_text).toBe(whole.output_text);
  });

  it('tell log-probabilities as responses, streamed or not', async () => {
    const asked: OpenAI.Responses.ResponseCreateParamsNonStreaming = {
      ...{ model: 'tiny', input: 'the world is a', max_output_tokens: 10, top_logprobs: 2 },
      include: ['message.output_text.logprobs'],
    };
    const whole = await client.responses.create(asked);
    const logprobsOf = ({ output }: OpenAI.Responses.Response) => {
      const [item] = output as OpenAI.Responses.ResponseOutputMessage[];
      return (item!.content[0] as OpenAI.Responses.ResponseOutputText).logprobs!;
    };
    const told = logprobsOf(whole);
    expect(told.map(({ token }) => token).join('')).toBe(whole.output_text);
    expect(told.every(({ top_logprobs }) => top_logprobs.length === 2)).toBe(true);
    const { stream: _, ...same } = asked;
    expect(logprobsOf(await client.responses.stream(same).finalResponse())).toEqual(told);
  });

  it('call tools as responses', async () => {
    const made = await client.responses.create({
      model: 'tiny',
      input: 'the world is a',
      tools: [
        {
          type: 'function',
          name: 'look',
          strict: true,
          parameters: { type: 'object', properties: {}, additionalProperties: false },
        },
      ],
      tool_choice: 'required',
    });
    expect(made.output).toEqual([expect.objectContaining({ type: 'function_call', name: 'look' })]);
  });

  it('are listed', async () => {
    const listed: string[] = [];
    for await (const model of client.models.list()) listed.push(model.id);
    expect(listed).toEqual(['tiny']);
    expect((await client.models.retrieve('tiny')).id).toBe('tiny');
    await expect(client.models.retrieve('other')).rejects.toThrow(OpenAI.NotFoundError);
  });
});

describe('errors', () => {
  it('are of the classes that the client has for them', async () => {
    const wrong = new OpenAI({ apiKey: 'wrong', baseURL, maxRetries: 0 });
    await expect(wrong.models.list()).rejects.toThrow(OpenAI.AuthenticationError);
    await expect(client.chat.completions.create({ ...chat, temperature: -1 })).rejects.toThrow(
      expect.objectContaining({ status: 400, param: 'temperature', type: 'invalid_request_error' }),
    );
    const long = [{ role: 'user' as const, content: 'x y '.repeat(400) }];
    await expect(client.chat.completions.create({ ...chat, messages: long, stream: true })).rejects.toThrow(
      expect.objectContaining({ status: 400, code: 'context_length_exceeded' }),
    );
    await expect(client.chat.completions.create({ ...chat, logit_bias: { 1e9: 1 } })).rejects.toThrow(
      expect.objectContaining({ status: 400, param: 'logit_bias' }),
    );
  });

  it('within a stream are thrown by it', async () => {
    const nan = await tinyEngine('targetNan');
    const other = createServer(nan, { port: 0 });
    try {
      const second = new OpenAI({ apiKey: 'none', baseURL: `${await other.listen()}/v1`, maxRetries: 0 });
      const messages = [{ role: 'user' as const, content: 'the ~ world' }];
      const stream = await second.chat.completions.create({ model: 'x', messages, stream: true });
      const read = async () => {
        for await (const _ of stream);
      };
      await expect(read()).rejects.toThrow(OpenAI.APIError);
    } finally {
      await other.close();
      await nan.close();
    }
  });
});
