// Answers and refusals of every route of the server, on an engine without models.
import { afterEach, describe, expect, it } from 'vitest';
import { AdaptiveSpecError } from '../../lib/errors.js';
import { createServer, type Server, type ServerOptions } from '../../lib/serve/index.js';
import { FakeEngine } from './fake-engine.js';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

function serve(options: ServerOptions = {}, engine = new FakeEngine()) {
  const server = createServer(engine, options);
  servers.push(server);
  const post = (url: string, payload: unknown, headers = {}) =>
    server.app.inject({
      method: 'POST',
      url,
      headers: { host: 'localhost', 'content-type': 'application/json', ...headers },
      payload: typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload),
    });
  const get = (url: string, headers = {}) =>
    server.app.inject({ method: 'GET', url, headers: { host: 'localhost', ...headers } });
  return { engine, server, post, get };
}

const CHAT = '/v1/chat/completions';
const HELLO = { messages: [{ role: 'user', content: 'Hello there' }] };

/** The data of a stream's events. */
function eventsOf(body: string): unknown[] {
  return body
    .split('\n\n')
    .filter((event) => event.includes('data: '))
    .map((event) => event.slice(event.indexOf('data: ') + 6))
    .map((data) => (data === '[DONE]' ? data : JSON.parse(data)));
}

describe('chat completions', () => {
  it('are answered with usage, timings and metrics', async () => {
    const { post } = serve();
    const response = await post(CHAT, HELLO);
    expect(response.statusCode).toBe(200);
    expect(response.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(response.json()).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-/),
      object: 'chat.completion',
      model: 'fake-model',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Once upon a time', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
      usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 },
      timings: {
        prompt_n: 3,
        prompt_ms: 5,
        predicted_n: 4,
        predicted_ms: 40,
        predicted_per_token_ms: 10,
        draft_n: 4,
        draft_n_accepted: 2,
      },
      metrics: {
        tokens_per_second: 100,
        speculative_decoding: {
          mean_acceptance_length: 2,
          draft_acceptance_rate: 0.5,
          acceptance_histogram: [0, 2],
          acceptance_histogram_by_draft_length: { 2: [0, 2] },
          num_spec_steps: 2,
          num_accepted_draft_tokens: 2,
          num_draft_tokens: 4,
          num_spec_tokens: 8,
        },
      },
    });
  });

  it('are streamed, with null usage before the last chunk where usage is asked for', async () => {
    const { post } = serve();
    const response = await post(CHAT, { ...HELLO, stream: true, stream_options: { include_usage: true } });
    expect(response.headers['content-type']).toBe('text/event-stream; charset=utf-8');
    expect(response.headers['x-request-id']).toBeDefined();
    const events = eventsOf(response.body) as Record<string, never>[];
    expect(events.pop()).toBe('[DONE]');
    const last = events.pop()!;
    expect(last).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 3, completion_tokens: 4 },
      timings: { draft_n: 4 },
      metrics: { speculative_decoding: { num_draft_tokens: 4 } },
    });
    const chunks = events as unknown as {
      id: string;
      usage: null;
      choices: [{ delta: { role?: string; content?: string | null }; finish_reason: string | null }];
    }[];
    expect(chunks[0]!.choices[0].delta).toEqual({ role: 'assistant', content: null });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks.every(({ usage }) => usage === null)).toBe(true);
    expect(chunks.map(({ choices }) => choices[0].delta.content ?? '').join('')).toBe('Once upon a time');
    expect(chunks.map(({ choices }) => choices[0].finish_reason)).toEqual([
      null,
      null,
      null,
      null,
      null,
      'stop',
    ]);
  });

  it('have no usage in a stream that does not ask for it, but timings at its end', async () => {
    const { post } = serve();
    const events = eventsOf((await post(CHAT, { ...HELLO, stream: true })).body);
    expect(events.pop()).toBe('[DONE]');
    expect(events.every((event) => !('usage' in (event as object)))).toBe(true);
    expect(events.at(-1)).toMatchObject({
      choices: [{ finish_reason: 'stop' }],
      timings: { predicted_n: 4 },
    });
  });

  it('reach the engine with every field', async () => {
    const { post, engine } = serve();
    const response = await post(CHAT, {
      model: 'anything',
      messages: [
        { role: 'developer', content: 'Be brief' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'one' },
            { type: 'text', text: 'two' },
          ],
        },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
        },
        { role: 'tool', tool_call_id: 'a', content: 'done' },
      ],
      max_tokens: 3,
      max_completion_tokens: 2,
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.05,
      frequency_penalty: 0.1,
      presence_penalty: 0.2,
      repeat_penalty: 1.1,
      seed: -2,
      stop: ['END'],
      tools: [
        {
          type: 'function',
          function: { name: 'f', description: null, parameters: { type: 'object' }, strict: true },
        },
      ],
      tool_choice: { type: 'function', function: { name: 'f' } },
      parallel_tool_calls: true,
      adaptive_spec: { controller: 'heuristic', maxDepth: 5, drafter: 'model', share: false },
      n: 1,
      user: 'somebody',
      logit_bias: {},
      logprobs: false,
      an_unknown_field: { deeply: ['ignored'] },
    });
    expect(response.statusCode).toBe(200);
    expect(engine.runs[0]!.options).toEqual({
      messages: [
        { role: 'system', content: 'Be brief' },
        { role: 'user', content: 'one\ntwo' },
        { role: 'assistant', content: '', toolCalls: [{ id: 'a', name: 'f', arguments: '{}' }] },
        { role: 'tool', content: 'done', toolCallId: 'a' },
      ],
      maxTokens: 2,
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      minP: 0.05,
      frequencyPenalty: 0.1,
      presencePenalty: 0.2,
      repeatPenalty: 1.1,
      seed: 2 ** 32 - 2,
      stop: ['END'],
      tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }],
      toolChoice: { name: 'f' },
      parallelToolCalls: true,
      controller: 'heuristic',
      maxDepth: 5,
      drafter: 'model',
      share: false,
      steps: true,
      cache: '',
    });
    expect(response.json().choices[0].finish_reason).toBe('length');
  });

  it('take null for what is not given', async () => {
    const { post, engine } = serve();
    const nulls = Object.fromEntries(
      'model stream n temperature top_p top_k min_p frequency_penalty presence_penalty seed stop cache_prompt max_tokens max_completion_tokens tools tool_choice response_format logprobs top_logprobs logit_bias stream_options adaptive_spec'
        .split(' ')
        .map((name) => [name, null]),
    );
    expect((await post(CHAT, { ...HELLO, ...nulls })).statusCode).toBe(200);
    expect(engine.runs[0]!.options).toEqual({
      messages: [{ role: 'user', content: 'Hello there' }],
      maxTokens: 512,
      controller: 'auto',
      steps: true,
      cache: '',
    });
  });

  it.each([CHAT, '/v1/completions', '/v1/responses'])(
    'go on from what requests with the same key have left, unless they are told not to: %s',
    async (path) => {
      const { post, engine } = serve();
      const body = { ...HELLO, prompt: 'Hi', input: 'Hi' };
      await post(path, { ...body, cache_prompt: false });
      expect(engine.runs[0]!.options).not.toHaveProperty('cache');
      const caches: (string | undefined)[] = [];
      for (const key of ['a', 'a', 'b', undefined]) {
        await post(path, body, key === undefined ? {} : { authorization: `Bearer ${key}` });
        caches.push(engine.runs.at(-1)!.options.cache);
      }
      expect(caches[1]).toBe(caches[0]);
      expect(new Set(caches).size).toBe(3);
      // A key is in nobody's way there.
      expect(caches).not.toContain('a');
      const wrong = await post(path, { ...body, cache_prompt: 'no' });
      expect(wrong.statusCode).toBe(400);
      expect(wrong.json().error.param).toBe('cache_prompt');
    },
  );

  it.each([
    [{ type: 'json_object' }, { type: 'json_object' }],
    [
      { type: 'json_object', schema: { type: 'array' } },
      { type: 'json_schema', schema: { type: 'array' } },
    ],
    [
      { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object' }, strict: true } },
      { type: 'json_schema', name: 'x', schema: { type: 'object' }, strict: true },
    ],
    [{ type: 'text' }, undefined],
  ])('take the response format %j', async (response_format, responseFormat) => {
    const { post, engine } = serve();
    expect((await post(CHAT, { ...HELLO, response_format })).statusCode).toBe(200);
    expect(engine.runs[0]!.options.responseFormat).toEqual(responseFormat);
  });

  const TOOLS = { tools: [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }] };
  const called = {
    content: '',
    finishReason: 'tool_calls' as const,
    toolCalls: [{ id: 'call_0', name: 'look', arguments: '{"a":1}' }],
  };

  it('tell calls of tools, by ids that differ between answers', async () => {
    const { post, engine } = serve();
    engine.automatic = false;
    const answers = [];
    for (let i = 0; i < 2; i++) {
      const answer = post(CHAT, { ...HELLO, ...TOOLS });
      await until(() => engine.runs.length === i + 1);
      engine.runs[i]!.finish(called);
      answers.push((await answer).json().choices[0]);
    }
    expect(answers[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        content: null,
        tool_calls: [{ type: 'function', function: { name: 'look', arguments: '{"a":1}' } }],
      },
    });
    expect(answers[0].message.tool_calls[0].id).not.toBe(answers[1].message.tool_calls[0].id);
  });

  it('stream calls of tools, and not the words that they are made of', async () => {
    const { post, engine } = serve();
    engine.automatic = false;
    const answer = post(CHAT, { ...HELLO, ...TOOLS, stream: true });
    await until(() => engine.runs.length === 1);
    engine.runs[0]!.finish(called);
    const events = eventsOf((await answer).body) as {
      choices: [{ delta: { content?: string; tool_calls?: object[] }; finish_reason: string | null }];
    }[];
    const deltas = events.slice(0, -1).map(({ choices }) => choices[0].delta);
    expect(deltas.map(({ content }) => content ?? '').join('')).toBe('');
    // As OpenAI has them: the call first, then its arguments bit by bit.
    expect(deltas.flatMap(({ tool_calls = [] }) => tool_calls)).toEqual([
      {
        index: 0,
        id: expect.stringMatching(/^call_\w{32}$/),
        type: 'function',
        function: { name: 'look', arguments: '' },
      },
      { index: 0, function: { arguments: '{"a' } },
      { index: 0, function: { arguments: '":1}' } },
    ]);
    expect(events.at(-2)!.choices[0].finish_reason).toBe('tool_calls');
  });

  it('stream an answer that calls no tool, where it might have', async () => {
    const { post } = serve();
    const events = eventsOf((await post(CHAT, { ...HELLO, ...TOOLS, stream: true })).body) as {
      choices: [{ delta: { content?: string } }];
    }[];
    const content = events.slice(0, -1).map(({ choices }) => choices[0].delta.content ?? '');
    expect(content.join('')).toBe('Once upon a time');
  });
});

describe('completions', () => {
  it.each([['Hello there'], [[1, 2, 3]], [['Hello there']]])('take the prompt %j', async (prompt) => {
    const { post, engine } = serve();
    const response = await post('/v1/completions', { prompt, max_tokens: 2 });
    expect(response.json()).toMatchObject({
      object: 'text_completion',
      choices: [{ text: 'Once upon', finish_reason: 'length', logprobs: null }],
      usage: { completion_tokens: 2 },
    });
    expect(engine.runs[0]!.options.prompt).toEqual(
      Array.isArray(prompt) && prompt.length === 1 ? prompt[0] : prompt,
    );
  });

  it('are streamed', async () => {
    const { post } = serve();
    const events = eventsOf((await post('/v1/completions', { prompt: 'Hi', stream: true })).body);
    expect(events.pop()).toBe('[DONE]');
    expect((events as { choices: [{ text: string }] }[]).map(({ choices }) => choices[0].text).join('')).toBe(
      'Once upon a time',
    );
  });
});

const LOGPROBS = 'message.output_text.logprobs';
const LOOK = { type: 'function', name: 'look', parameters: { type: 'object' } };

describe('responses', () => {
  it('ask the engine for log-probabilities where they are to be included', async () => {
    const { post, engine } = serve();
    const ask = async (body: object) => (await post('/v1/responses', { input: 'Hi', ...body })).json();
    expect(await ask({ include: [LOGPROBS], top_logprobs: 3 })).toMatchObject({ top_logprobs: 3 });
    expect(await ask({ include: [LOGPROBS], tools: [LOOK], tool_choice: 'none' })).toMatchObject({
      top_logprobs: 0,
    });
    await ask({ include: ['reasoning.encrypted_content'], top_logprobs: 0 });
    await ask({ include: null, top_logprobs: null });
    expect(engine.runs.map(({ options }) => options.logprobs)).toEqual([3, 0, undefined, undefined]);
  });

  it('are answered, and repeat what was asked', async () => {
    const { post, engine } = serve();
    const response = await post('/v1/responses', {
      input: [
        { role: 'user', content: [{ type: 'input_text', text: 'Look' }] },
        { type: 'reasoning', summary: [] },
        { type: 'function_call', call_id: 'a', name: 'look', arguments: '{}' },
        { type: 'function_call_output', call_id: 'a', output: 'a cat' },
      ],
      instructions: 'Be brief',
      max_output_tokens: 2,
      metadata: { a: 'b' },
    });
    expect(response.json()).toMatchObject({
      id: expect.stringMatching(/^resp_[0-9a-f]+$/),
      object: 'response',
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      output: [{ type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Once upon' }] }],
      usage: { input_tokens: expect.any(Number), output_tokens: 2 },
      instructions: 'Be brief',
      metadata: { a: 'b' },
      timings: { predicted_n: 2 },
    });
    expect(engine.runs[0]!.options.messages).toEqual([
      { role: 'system', content: 'Be brief' },
      { role: 'user', content: 'Look' },
      { role: 'assistant', content: '', toolCalls: [{ id: 'a', name: 'look', arguments: '{}' }] },
      { role: 'tool', content: 'a cat', toolCallId: 'a' },
    ]);
  });

  it('are streamed as events that are numbered and build the response', async () => {
    const { post } = serve();
    const events = eventsOf((await post('/v1/responses', { input: 'Hi', stream: true })).body) as {
      type: string;
      sequence_number: number;
      delta?: string;
      response?: { output: { content: { text: string }[] }[] };
    }[];
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, i) => i));
    expect(events.map(({ type }) => type.replace('response.', ''))).toEqual([
      'created',
      'in_progress',
      'output_item.added',
      'content_part.added',
      ...Array(4).fill('output_text.delta'),
      'output_text.done',
      'content_part.done',
      'output_item.done',
      'completed',
    ]);
    expect(events.map(({ delta = '' }) => delta).join('')).toBe('Once upon a time');
    expect(events.at(-1)!.response!.output[0]!.content[0]!.text).toBe('Once upon a time');
  });

  it('call tools, in a stream too', async () => {
    const { post, engine } = serve();
    engine.automatic = false;
    const tools = [{ type: 'function', name: 'look', parameters: { type: 'object' } }];
    const answer = post('/v1/responses', { input: 'Hi', tools, tool_choice: 'required', stream: true });
    await until(() => engine.runs.length === 1);
    engine.runs[0]!.finish({
      content: '',
      finishReason: 'tool_calls',
      toolCalls: [{ id: 'call_0', name: 'look', arguments: '{}' }],
    });
    const events = eventsOf((await answer).body) as {
      type: string;
      item?: { type: string };
      delta?: string;
    }[];
    expect(events.map(({ type }) => type.replace(/^response\./, ''))).toEqual([
      'created',
      'in_progress',
      'output_item.added',
      'function_call_arguments.delta',
      'function_call_arguments.delta',
      'function_call_arguments.done',
      'output_item.done',
      'completed',
    ]);
    expect(events.map(({ delta = '' }) => delta).join('')).toBe('{}');
    expect(events.find(({ type }) => type === 'response.output_item.done')!.item).toMatchObject({
      type: 'function_call',
      name: 'look',
      arguments: '{}',
    });
    expect(events.at(-1)!.type).toBe('response.completed');
  });
});

describe('what is wrong with a request', () => {
  it.each<[string, unknown, number, string | null, string?]>([
    [CHAT, {}, 400, 'messages'],
    [CHAT, { messages: [] }, 400, 'messages'],
    [CHAT, { messages: 'Hi' }, 400, 'messages'],
    [CHAT, { messages: [{ role: 'user' }] }, 400, 'messages[0].content'],
    [CHAT, { messages: [{ role: 'user', content: 1 }] }, 400, 'messages[0].content'],
    [CHAT, { messages: [{ role: 1, content: '' }] }, 400, 'messages[0].role'],
    [
      CHAT,
      { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
      501,
      'messages[0].content[0].type',
    ],
    [CHAT, { messages: [{ role: 'user', content: [{ type: 'text' }] }] }, 400, 'messages[0].content[0].text'],
    [CHAT, { messages: Array(2000).fill({ role: 'user', content: '' }) }, 400, 'messages'],
    [CHAT, { ...HELLO, n: 1e9 }, 400, 'n'],
    [CHAT, { ...HELLO, n: 2 }, 400, 'n'],
    [CHAT, { ...HELLO, temperature: 'hot' }, 400, 'temperature'],
    [CHAT, { ...HELLO, temperature: -1 }, 400, 'temperature'],
    [CHAT, '{"messages":[{"role":"user","content":"a"}],"temperature":1e999}', 400, 'temperature'],
    [CHAT, { ...HELLO, top_p: 2 }, 400, 'top_p'],
    [CHAT, { ...HELLO, max_tokens: 1.5 }, 400, 'max_tokens'],
    [CHAT, { ...HELLO, max_tokens: 0 }, 400, 'max_tokens'],
    [CHAT, { ...HELLO, max_tokens: -2 }, 400, 'max_tokens'],
    [CHAT, { ...HELLO, seed: 'x' }, 400, 'seed'],
    [CHAT, { ...HELLO, stop: [1] }, 400, 'stop'],
    [CHAT, { ...HELLO, stop: '' }, 400, 'stop'],
    [CHAT, { ...HELLO, stream: 'yes' }, 400, 'stream'],
    [CHAT, { ...HELLO, stream_options: { include_usage: 1 } }, 400, 'stream_options.include_usage'],
    [CHAT, { ...HELLO, response_format: { type: 'xml' } }, 400, 'response_format.type'],
    [CHAT, { ...HELLO, response_format: { type: 'json_schema' } }, 400, 'response_format.json_schema'],
    [CHAT, { ...HELLO, tools: [{ type: 'function' }] }, 400, 'tools[0].function'],
    [CHAT, { ...HELLO, tools: [{ type: 'browser', function: { name: 'x' } }] }, 400, 'tools[0].type'],
    [CHAT, { ...HELLO, tool_choice: 'required' }, 400, 'tool_choice'],
    [CHAT, { ...HELLO, logprobs: 1 }, 400, 'logprobs'],
    [CHAT, { ...HELLO, top_logprobs: 3 }, 400, 'top_logprobs'],
    [CHAT, { ...HELLO, logprobs: true, top_logprobs: 21 }, 400, 'top_logprobs'],
    [CHAT, { ...HELLO, n_probs: 3 }, 501, 'n_probs'],
    [CHAT, { ...HELLO, logit_bias: { 1000: 1 } }, 400, 'logit_bias'],
    [CHAT, { ...HELLO, logit_bias: [[5]] }, 400, 'logit_bias'],
    [CHAT, { ...HELLO, logit_bias: [[5, true]] }, 400, 'logit_bias'],
    [CHAT, { ...HELLO, logit_bias: [[5, 1001]] }, 400, 'logit_bias'],
    [CHAT, { ...HELLO, logit_bias: 'x' }, 400, 'logit_bias'],
    [CHAT, { ...HELLO, logit_bias: Array(4097).fill([5, 1]) }, 400, 'logit_bias'],
    [CHAT, { ...HELLO, logit_bias: [['a '.repeat(5000), 1]] }, 400, 'logit_bias'],
    [CHAT, { ...HELLO, add_generation_prompt: false }, 501, 'add_generation_prompt'],
    [CHAT, { ...HELLO, continue_final_message: true }, 400, 'continue_final_message'],
    [CHAT, { ...HELLO, json_schema: 5 }, 400, 'json_schema'],
    [CHAT, { ...HELLO, adaptive_spec: { depth: 'deep' } }, 400, 'adaptive_spec.depth'],
    [CHAT, { ...HELLO, adaptive_spec: { depth: 65 } }, 400, 'adaptive_spec.depth'],
    [CHAT, { ...HELLO, adaptive_spec: { share: 'no' } }, 400, 'adaptive_spec.share'],
    [CHAT, { ...HELLO, adaptive_spec: { max_depth: 3 } }, 400, 'adaptive_spec.max_depth'],
    [CHAT, { ...HELLO, adaptive_spec: { controller: 'nobody' } }, 400, null],
    [CHAT, { ...HELLO, adaptive_spec: { controller: 'auto', depth: 3 } }, 400, null],
    [CHAT, [], 400, null],
    [CHAT, 'null', 400, null],
    [CHAT, '', 400, null],
    [CHAT, '{', 400, null],
    [CHAT, `${'['.repeat(10_000)}${']'.repeat(10_000)}`, 400, null],
    [CHAT, '['.repeat(100_000), 400, null],
    [CHAT, `{"messages":[${'{},'.repeat(300_000)}{}]}`, 400, null],
    [CHAT, `{"a":[${'[],'.repeat(300_000)}1]}`, 400, null],
    [
      CHAT,
      Buffer.concat([Buffer.from('{"messages":"'), Buffer.of(0xff, 0xfe), Buffer.from('"}')]),
      400,
      null,
    ],
    [
      CHAT,
      { messages: [{ role: 'user', content: 'a '.repeat(600) }] },
      400,
      null,
      'exceed_context_size_error',
    ],
    ['/v1/completions', {}, 400, 'prompt'],
    ['/v1/completions', { prompt: ['a', 'b'] }, 400, 'prompt'],
    ['/v1/completions', { prompt: [[1], [2]] }, 400, 'prompt'],
    ['/v1/completions', { prompt: [null] }, 400, 'prompt'],
    ['/v1/completions', { prompt: 'a', best_of: 3 }, 400, 'best_of'],
    ['/v1/completions', { prompt: 'a', echo: true }, 501, 'echo'],
    ['/v1/completions', { prompt: 'a', suffix: 'b' }, 501, 'suffix'],
    ['/v1/completions', { prompt: 'a', logprobs: 6 }, 400, 'logprobs'],
    ['/v1/responses', { input: 'a', top_logprobs: 2 }, 400, 'top_logprobs'],
    ['/v1/responses', { input: 'a', include: [LOGPROBS], top_logprobs: 21 }, 400, 'top_logprobs'],
    ['/v1/responses', { input: 'a', include: LOGPROBS }, 400, 'include'],
    ['/v1/responses', { input: 'a', include: [LOGPROBS, 'logprobs'] }, 400, 'include[1]'],
    [
      '/v1/responses',
      { input: 'a', include: ['reasoning.encrypted_content', LOGPROBS], tools: [LOOK] },
      400,
      'include[1]',
    ],
    ['/v1/responses', {}, 400, 'input'],
    ['/v1/responses', { input: [] }, 400, 'input'],
    ['/v1/responses', { input: [{ content: 'a' }] }, 400, 'input[0].role'],
    ['/v1/responses', { input: [{ role: 'user' }] }, 400, 'input[0].content'],
    ['/v1/responses', { input: [{ type: 'computer_call' }] }, 501, 'input[0].type'],
    ['/v1/responses', { input: [{ type: 'function_call' }] }, 400, 'input[0]'],
    ['/v1/responses', { input: [{ type: 'reasoning' }] }, 400, 'input'],
    ['/v1/responses', { input: Array(2000).fill({ role: 'user', content: '' }) }, 400, 'input'],
    ['/v1/responses', { input: 'a', previous_response_id: 'resp_1' }, 501, 'previous_response_id'],
    ['/v1/responses', { input: 'a', conversation: 'c' }, 501, 'conversation'],
    ['/v1/responses', { input: 'a', background: true }, 501, 'background'],
    ['/v1/responses', { input: 'a', tools: [{ type: 'web_search' }] }, 501, 'tools[0].type'],
    ['/v1/responses', { input: 'a', tool_choice: 'required' }, 400, 'tool_choice'],
    ['/tokenize', {}, 400, 'content'],
    ['/tokenize', { content: 5 }, 400, 'content'],
    ['/tokenize', { content: 'a', with_pieces: 1 }, 400, 'with_pieces'],
    ['/detokenize', {}, 400, 'tokens'],
    ['/detokenize', { tokens: ['a'] }, 400, 'tokens[0]'],
    ['/detokenize', { tokens: [1e9] }, 400, null],
    ['/v1/embeddings', { input: 'a' }, 501, null],
    ['/v1/nothing', {}, 404, null],
  ])('is told: %s, case %#', async (url, body, status, param, type) => {
    const { post, engine } = serve();
    const response = await post(url, body);
    expect([response.statusCode, response.body]).toEqual([status, expect.any(String)]);
    const types = { 400: 'invalid_request_error', 404: 'not_found_error', 501: 'not_supported_error' };
    expect(response.json()).toEqual({
      error: expect.objectContaining({
        type: type ?? types[status as 400],
        param,
        message: expect.stringMatching(/^.{5,}/),
        code: expect.any(String),
      }),
    });
    expect(response.headers['x-request-id']).toBeDefined();
    expect(engine.runs).toEqual([]);
    // Whatever was refused has left its slot.
    expect((await post(CHAT, HELLO)).statusCode).toBe(200);
  });

  it('tells the numbers of a prompt that is too long', async () => {
    const { post } = serve();
    const response = await post(CHAT, {
      messages: [{ role: 'user', content: 'a '.repeat(600) }],
      stream: true,
    });
    expect(response.statusCode).toBe(400);
    expect(response.json().error).toMatchObject({
      code: 'context_length_exceeded',
      n_prompt_tokens: 602,
      n_ctx: 512,
    });
  });

  it('refuses bodies that are too large, or no JSON', async () => {
    const { post } = serve({ bodyLimit: 1000 });
    const large = await post(CHAT, { messages: [{ role: 'user', content: 'a'.repeat(1000) }] });
    expect([large.statusCode, large.json().error.type]).toEqual([413, 'invalid_request_error']);
    const form = await post(CHAT, 'messages=', { 'content-type': 'application/x-www-form-urlencoded' });
    expect([form.statusCode, form.json().error.type]).toEqual([415, 'invalid_request_error']);
  });

  it('keeps quiet about defects, and tells them to the owner', async () => {
    const told: unknown[] = [];
    const engine = new FakeEngine();
    engine.tokenize = () => {
      throw new TypeError('a secret');
    };
    const { post } = serve({ onError: (error) => told.push(error) }, engine);
    const response = await post('/tokenize', { content: 'a' });
    expect(response.statusCode).toBe(500);
    expect(response.headers['x-should-retry']).toBe('false');
    expect(response.body).not.toContain('secret');
    expect(told).toEqual([expect.objectContaining({ message: 'a secret' })]);
  });
});

describe('a generation that fails', () => {
  const failure = () => new AdaptiveSpecError('BAD_LOGITS', 'The model gave NaN', 'Use another.');

  it('is a 500 that is not tried again', async () => {
    const { post, engine } = serve();
    engine.automatic = false;
    const answer = post(CHAT, HELLO);
    await until(() => engine.runs.length === 1);
    engine.runs[0]!.fail(failure());
    const response = await answer;
    expect(response.statusCode).toBe(500);
    expect(response.headers['x-should-retry']).toBe('false');
    expect(response.json().error).toMatchObject({ type: 'server_error', code: 'BAD_LOGITS' });
  });

  it.each([CHAT, '/v1/completions', '/v1/responses'])('ends the stream of %s with an error', async (url) => {
    const { post, engine, server } = serve();
    engine.automatic = false;
    const answer = post(url, { ...HELLO, prompt: 'a', input: 'a', stream: true });
    await until(() => engine.runs.length === 1);
    engine.runs[0]!.step();
    engine.runs[0]!.fail(failure());
    const response = await answer;
    expect(response.statusCode).toBe(200);
    const last = eventsOf(response.body).at(-1) as { error?: unknown };
    expect(last.error ?? last).toMatchObject({
      code: 'BAD_LOGITS',
      message: 'The model gave NaN. Use another.',
    });
    expect(server.state.running).toBe(0);
  });
});

describe('models, tokens, health', () => {
  it('lists the model, and tells of it alone', async () => {
    const { get } = serve({ modelName: 'org/a model' });
    expect((await get('/v1/models')).json()).toMatchObject({
      object: 'list',
      data: [{ id: 'org/a model', object: 'model' }],
    });
    expect((await get('/v1/models/org%2Fa%20model')).json()).toMatchObject({ id: 'org/a model' });
    expect((await get('/v1/models/org/a%20model')).json()).toMatchObject({ id: 'org/a model' });
    const other = await get('/v1/models/other');
    expect([other.statusCode, other.json().error.code]).toEqual([404, 'model_not_found']);
  });

  it('turns text into tokens and back', async () => {
    const { post } = serve();
    expect((await post('/tokenize', { content: 'ab c' })).json()).toEqual({ tokens: [2, 1] });
    expect((await post('/tokenize', { prompt: 'ab c', add_special: true })).json()).toEqual({
      tokens: [0, 2, 1],
    });
    expect((await post('/detokenize', { tokens: [2, 1] })).json()).toEqual({ content: 'xx x' });
  });

  it.each(['/livez', '/readyz', '/health', '/v1/health'])('%s is well', async (path) => {
    const { get } = serve();
    expect((await get(path)).json()).toEqual({ status: 'ok' });
  });
});

describe('the default controller', () => {
  it('is taken by requests that name none, and can be changed while serving', async () => {
    const { post, engine, server } = serve({ controller: 'fixed', depth: 3 });
    await post(CHAT, HELLO);
    server.state.set({ controller: 'goodput' });
    await post(CHAT, HELLO);
    await post(CHAT, { ...HELLO, adaptive_spec: { depth: 2 } });
    await post(CHAT, { ...HELLO, adaptive_spec: { controller: 'off' } });
    expect(engine.runs.map(({ options: { controller, depth } }) => [controller, depth])).toEqual([
      ['fixed', 3],
      ['goodput', undefined],
      [undefined, 2],
      ['off', undefined],
    ]);
    expect(() => server.state.set({ controller: 'nobody' })).toThrow(/no controller named/);
    expect(() => server.state.set({ controller: 'fixed', depth: 1.5 })).toThrow(/depth is 1.5/);
    expect(server.state.controller).toBe('goodput');
  });

  it('is told, as are requests, to who listens', async () => {
    const { post, server } = serve();
    const heard: unknown[] = [];
    server.state.on('begin', ({ kind, promptTokens, controller }) =>
      heard.push([kind, promptTokens, controller]),
    );
    server.state.on('step', (_id, { step, text }) => heard.push([step, text]));
    server.state.on('end', (_id, result) => heard.push(result?.finishReason));
    server.state.on('queue', (running, waiting) => heard.push([running, waiting]));
    await post('/v1/completions', { prompt: 'one two', max_tokens: 2 });
    expect(heard).toEqual([
      [1, 0],
      ['completion', 3, 'auto'],
      [0, ''],
      [1, 'Once'],
      [2, ' upon'],
      'length',
      [0, 0],
    ]);
  });
});

/** Waits for what other code does within this process. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
