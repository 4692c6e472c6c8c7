// llama-server's own routes and fields, on an engine without models.
import { afterEach, describe, expect, it } from 'vitest';
import { AdaptiveSpecError } from '../../lib/errors.js';
import { httpErrorOf } from '../../lib/serve/http-error.js';
import { createServer, type Server, type ServerOptions } from '../../lib/serve/index.js';
import type { RequestDefaults } from '../../lib/serve/options.js';
import { FakeEngine } from './fake-engine.js';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

function serve(options: ServerOptions = {}, engine = new FakeEngine()) {
  const server = createServer(engine, options);
  servers.push(server);
  const headers = { host: 'localhost', 'content-type': 'application/json' };
  const post = (url: string, payload: object) =>
    server.app.inject({ method: 'POST', url, headers, payload: JSON.stringify(payload) });
  const get = (url: string) => server.app.inject({ method: 'GET', url, headers: { host: 'localhost' } });
  return { engine, server, post, get };
}

const CHAT = '/chat/completions';
const eventsOf = (body: string) =>
  body
    .split('\n\n')
    .filter((event) => event.startsWith('data: '))
    .map((event) => JSON.parse(event.slice(6)));

describe("llama-server's own completions", () => {
  it.each(['/completion', '/completions'])('are answered at %s', async (path) => {
    const { post, engine } = serve();
    const response = await post(path, {
      prompt: 'Hello there',
      n_predict: 3,
      return_tokens: true,
      stop: ['x'],
    });
    expect(response.statusCode).toBe(200);
    expect(response.json()).toMatchObject({
      index: 0,
      content: 'Once upon a',
      tokens: [1, 2, 3],
      stop: true,
      model: 'fake-model',
      tokens_predicted: 3,
      tokens_evaluated: 3,
      tokens_cached: 6,
      prompt: 'Hello there',
      has_new_line: false,
      truncated: false,
      stop_type: 'limit',
      stopping_word: '',
      generation_settings: {
        n_predict: 3,
        temperature: 0,
        seed: 1,
        stop: ['x'],
        stream: false,
        logit_bias: [],
      },
      timings: { predicted_n: 3 },
    });
    expect(engine.runs[0]!.options).toMatchObject({ prompt: 'Hello there', maxTokens: 3 });
  });

  it('say how a text has ended', async () => {
    const { post, engine } = serve();
    engine.automatic = false;
    const ask = async (changes: Parameters<(typeof engine.runs)[0]['finish']>[0], body = {}) => {
      const before = engine.runs.length;
      const answer = post('/completion', { prompt: 'a', ...body });
      while (engine.runs.length === before) await new Promise((resolve) => setImmediate(resolve));
      engine.runs.at(-1)!.finish(changes);
      return (await answer).json();
    };
    expect(await ask({})).toMatchObject({ stop_type: 'eos', truncated: false, tokens: [] });
    expect(await ask({ stopString: 'END' })).toMatchObject({ stop_type: 'word', stopping_word: 'END' });
    // Neither the request nor a default has a limit: the context has ended it.
    expect(await ask({ finishReason: 'length' })).toMatchObject({ stop_type: 'limit', truncated: true });
    expect(await ask({ text: 'a\nb' })).toMatchObject({ has_new_line: true });
  });

  it('are streamed piece by piece, and the last event has everything but the text', async () => {
    const { post } = serve();
    const response = await post('/completion', { prompt: 'a', stream: true });
    expect(response.body).not.toContain('[DONE]');
    const events = eventsOf(response.body);
    const end = events.pop();
    expect(events.map(({ content }) => content)).toEqual(['Once', ' upon', ' a', ' time']);
    expect(events.map(({ tokens }) => tokens)).toEqual([[1], [2], [3], [4]]);
    expect(events.every(({ stop, index }) => stop === false && index === 0)).toBe(true);
    expect(end).toMatchObject({ content: '', tokens: [], stop: true, stop_type: 'eos', tokens_predicted: 4 });
  });

  it.each([
    ['a text', 'Hello', ['Hello']],
    ['a text in an object', { prompt_string: 'Hello' }, ['Hello']],
    ['tokens', [1, 2, 3], [[1, 2, 3]]],
    ['tokens and texts in turn', [7, 'ab c', 9], [[7, 2, 1, 9]]],
    ['texts and tokens in turn', ['ab c', 9], [[0, 2, 1, 9]]],
    ['several', ['Hello', [1, 2], { prompt_string: 'you' }], ['Hello', [1, 2], 'you']],
  ])('take as prompt %s', async (_what, prompt, read) => {
    const { post, engine } = serve();
    const answer = (await post('/completion', { prompt })).json();
    expect(engine.runs.map(({ options }) => options.prompt)).toEqual(read);
    if (read.length === 1) expect(answer.index).toBe(0);
    else expect(answer.map(({ index }: { index: number }) => index)).toEqual(read.map((_, i) => i));
  });

  it('answer several prompts in one stream, one after the other', async () => {
    const { post, engine, server } = serve();
    const ids: string[] = [];
    server.state.on('begin', ({ id }) => ids.push(id));
    const events = eventsOf((await post('/completion', { prompt: ['a', 'b'], stream: true })).body);
    expect(ids).toEqual([expect.stringMatching(/^[0-9a-f-]{36}\.0$/), expect.stringMatching(/\.1$/)]);
    expect(events.map(({ index }) => index)).toEqual([0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
    expect(events.filter(({ stop }) => stop)).toHaveLength(2);
    expect(engine.runs).toHaveLength(2);
  });

  it('tell of the fields that are asked for', async () => {
    const { post } = serve();
    const response_fields = ['content', 'generation_settings/n_predict', 'none', 'timings/none'];
    const body = { prompt: 'a', n_predict: 2, response_fields };
    expect((await post('/completion', body)).json()).toEqual({
      content: 'Once upon',
      'generation_settings/n_predict': 2,
    });
    const stream = eventsOf((await post('/completion', { ...body, stream: true })).body);
    expect(stream.at(-1)).toEqual({ content: '', 'generation_settings/n_predict': 2 });
  });

  it.each([
    [{}, 400, 'prompt'],
    [{ prompt: [] }, 400, 'prompt'],
    [{ prompt: 5 }, 400, 'prompt'],
    [{ prompt: {} }, 400, 'prompt'],
    [{ prompt: [1, {}] }, 400, 'prompt'],
    [{ prompt: Array(65).fill('a') }, 400, 'prompt'],
    [{ prompt: [['a', null]] }, 400, 'prompt'],
    [{ prompt: { prompt_string: 'a', multimodal_data: 'b' } }, 501, 'prompt'],
    [{ prompt: 'a', post_sampling_probs: true }, 501, 'post_sampling_probs'],
    [{ prompt: 'a', n_probs: 21 }, 400, 'n_probs'],
    [{ prompt: 'a', n_predict: 0 }, 400, 'max_tokens'],
    [{ prompt: 'a', json_schema: 'x' }, 400, 'json_schema'],
    [{ prompt: 'a', response_fields: [1] }, 400, 'response_fields[0]'],
  ])('refuse %j', async (body, status, param) => {
    const { post, engine } = serve();
    const response = await post('/completion', body);
    expect([response.statusCode, response.json().error.param]).toEqual([status, param]);
    expect(engine.runs).toHaveLength(0);
  });

  it('refuse the whole request where one of several prompts is wrong', async () => {
    const { post } = serve();
    const response = await post('/completion', { prompt: ['a', Array(600).fill(1)] });
    expect([response.statusCode, response.json().error.type]).toEqual([400, 'exceed_context_size_error']);
  });
});

it.each([
  [
    { 5: -1, ' ab c': 2 },
    [
      [5, -1],
      [0, 2],
      [2, 2],
      [1, 2],
    ],
  ],
  [
    [
      [5, false],
      ['ab', -100],
    ],
    [
      [5, Number.NEGATIVE_INFINITY],
      [2, -100],
    ],
  ],
])('logit_bias %j reaches the engine', async (logit_bias, pairs) => {
  const { post, engine } = serve();
  await post('/completion', { prompt: 'a', logit_bias });
  await post(CHAT, { messages: [{ role: 'user', content: 'a' }], logit_bias });
  for (const { options } of engine.runs) expect(options.logitBias).toEqual(pairs);
});

describe("the server's defaults", () => {
  const defaults = {
    maxTokens: 3,
    temperature: 0.5,
    topK: 4,
    topP: 0.9,
    minP: 0.1,
    seed: 7,
    enableThinking: false,
    drafter: 'ngram',
  };
  const serveBy = (defaults: RequestDefaults) =>
    serve({ defaults }, new FakeEngine({ drafters: ['model', 'ngram'] }));

  it('hold for requests that say nothing', async () => {
    const { post, engine } = serveBy(defaults);
    await post('/v1/completions', { prompt: 'a' });
    await post('/v1/completions', { prompt: 'a', max_tokens: 2, temperature: 0, seed: 9, top_k: -1 });
    await post('/v1/completions', { prompt: 'a', max_tokens: -1, adaptive_spec: { drafter: 'model' } });
    expect(engine.runs[0]!.options).toMatchObject(defaults);
    expect(engine.runs[1]!.options).toMatchObject({
      maxTokens: 2,
      temperature: 0,
      seed: 9,
      topK: 0,
      topP: 0.9,
    });
    expect(engine.runs[2]!.options).toMatchObject({ maxTokens: 512, drafter: 'model' });
  });

  it('are what responses and /props say', async () => {
    const { post, get } = serveBy(defaults);
    const response = (await post('/v1/responses', { input: 'a' })).json();
    expect(response).toMatchObject({ temperature: 0.5, top_p: 0.9 });
    expect((await get('/props')).json()).toMatchObject({
      total_slots: 1,
      model_path: '/models/fake-model.gguf',
      default_generation_settings: {
        n_ctx: 512,
        params: { n_predict: 3, temperature: 0.5, seed: 7, adaptive_spec: { drafter: 'ngram' } },
      },
    });
  });

  it.each([
    { maxTokens: 0 },
    { temperature: -1 },
    { seed: 1.5 },
    { enableThinking: 1 },
    { drafter: 1 },
    { topQ: 1 },
  ])('may not be %j', (wrong) => {
    expect(() => serveBy(wrong as object)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
  });

  it('may not have a drafter that the engine lacks', () => {
    expect(() => serveBy({ drafter: 'hybrid' })).toThrow(
      expect.objectContaining({
        code: 'INVALID_ARGUMENT',
        message: 'This engine has no drafter named "hybrid"',
        hint: 'It has: model, ngram.',
      }),
    );
  });
});

describe('chats', () => {
  const user = { role: 'user', content: 'Hi' };
  const answer = { role: 'assistant', content: 'Well' };

  it("go on from an assistant's message at the end", async () => {
    const { post, engine } = serve();
    const parts = { role: 'assistant', content: ['Wh', 'ill'].map((text) => ({ type: 'text', text })) };
    await post(CHAT, { messages: [user, answer] });
    await post(CHAT, { messages: [user, parts], continue_final_message: true, add_generation_prompt: false });
    await post(CHAT, { messages: [user, answer], continue_final_message: false });
    await post(CHAT, { messages: [user] });
    const options = engine.runs.map(({ options: { continueFinalMessage } }) => continueFinalMessage);
    expect(options).toEqual([true, true, undefined, undefined]);
    expect(engine.runs[1]!.options.messages!.at(-1)!.content).toBe('Wh\n\nill');
  });

  it('refuse to go on where it is not said from what', async () => {
    const { post } = serve();
    for (const [body, param] of [
      [{ messages: [user, answer, answer] }, 'messages'],
      [
        { messages: [user, answer], continue_final_message: true, add_generation_prompt: true },
        'continue_final_message',
      ],
      [
        { messages: [user], continue_final_message: true, add_generation_prompt: false },
        'continue_final_message',
      ],
    ] as const) {
      const response = await post(CHAT, body);
      expect([response.statusCode, response.json().error.param]).toEqual([400, param]);
    }
  });

  it('may keep the model from thinking', async () => {
    const { post, engine } = serve();
    await post(CHAT, { messages: [user], chat_template_kwargs: { enable_thinking: false } });
    await post(CHAT, { messages: [user], reasoning_effort: 'none' });
    await post(CHAT, { messages: [user], reasoning_effort: 'high' });
    expect(engine.runs.map(({ options }) => options.enableThinking)).toEqual([false, false, undefined]);
  });

  it('take a schema in json_schema, unless response_format has one', async () => {
    const { post, engine } = serve();
    await post(CHAT, { messages: [user], json_schema: { const: 1 } });
    await post(CHAT, {
      messages: [user],
      json_schema: { const: 1 },
      response_format: { type: 'json_object' },
    });
    expect(engine.runs.map(({ options }) => options.responseFormat)).toEqual([
      { type: 'json_schema', schema: { const: 1 } },
      { type: 'json_object' },
    ]);
  });

  it("have llama-server's own form beside OpenAI's where that is asked for", async () => {
    const { post } = serve();
    const body = { messages: [user] };
    expect((await post(CHAT, body)).json()).not.toHaveProperty('__verbose');
    const told = { content: 'Once upon a time', prompt: 'user: Hi>', tokens: [1, 2, 3, 4] };
    expect((await post(CHAT, { ...body, verbose: true })).json().__verbose).toMatchObject(told);
    const loud = serve({ verbose: true });
    expect((await loud.post(CHAT, body)).json().__verbose).toMatchObject(told);
  });

  it('are put into words by /apply-template, and counted', async () => {
    const { post } = serve();
    const tools = [{ type: 'function', function: { name: 'look' } }];
    const ask = async (body: object) =>
      (await post('/apply-template', { messages: [user], ...body })).json().prompt;
    expect(await ask({})).toBe('user: Hi>');
    expect(await ask({ add_generation_prompt: false })).toBe('user: Hi.');
    expect(await ask({ tools })).toBe('[look]user: Hi>');
    expect(await ask({ chat_template_kwargs: { enable_thinking: false } })).toBe('user: Hi!>');
    expect(await ask({ messages: [user, answer] })).toBe('user: Hi|assistant: Well');
    const counted = await post('/v1/chat/completions/input_tokens', { messages: [user] });
    expect(counted.json()).toEqual({ input_tokens: 3 });
  });
});

it.each([
  ['A prompt of 300 tokens', 300],
  ['300 tokens', 300],
  ['A text of 300 characters', undefined],
])("what is too long is told in llama-server's words: %s", (what, tokens) => {
  const message = `${what} exceeds the available context size of 256 tokens`;
  const { body } = httpErrorOf(new AdaptiveSpecError('CONTEXT_OVERFLOW', message, 'Shorten it.'), 256);
  expect(body.error).toMatchObject({ type: 'exceed_context_size_error', n_ctx: 256 });
  expect(body.error.n_prompt_tokens).toBe(tokens);
});

it('/tokenize answers a long list whole, though it is written in pieces', async () => {
  const content = 'abc '.repeat(9000);
  const { engine, post } = serve();
  const tokens = Array.from(engine.tokenize(content, { addSpecial: false }));
  expect(tokens.length).toBeGreaterThan(8192);
  const response = await post('/tokenize', { content });
  expect(response.headers['content-type']).toMatch(/^application\/json/);
  expect(response.json()).toEqual({ tokens });
  const told = (await post('/tokenize', { content, with_pieces: true })).json().tokens;
  expect(told.map(({ id }: { id: number }) => id)).toEqual(tokens);
});

it('/tokenize tells the pieces, as bytes where they are no whole characters', async () => {
  const { post } = serve();
  const response = await post('/tokenize', { content: 'abc a', with_pieces: true });
  expect(response.json().tokens).toEqual([
    { id: 3, piece: 'xxx' },
    { id: 1, piece: [0xf0, 0x9f] },
  ]);
});

describe('/slots', () => {
  it('tells which slots run what, and how far they are', async () => {
    const { post, get, engine } = serve({}, new FakeEngine({ parallel: 2 }));
    engine.automatic = false;
    const idle = {
      is_processing: false,
      next_token: [{ n_decoded: 0, n_remain: -1, has_next_token: false }],
    };
    expect((await get('/slots')).json()).toMatchObject([
      { id: 0, n_ctx: 512, speculative: true, ...idle },
      { id: 1, ...idle },
    ]);
    const answers = [
      post('/completion', { prompt: 'a', n_predict: 4 }),
      post('/completion', { prompt: 'b' }),
    ];
    while (engine.runs.length < 2) await new Promise((resolve) => setImmediate(resolve));
    engine.runs[0]!.step();
    await new Promise((resolve) => setImmediate(resolve));
    const [first, second] = (await get('/slots')).json();
    expect(first).toMatchObject({
      is_processing: true,
      n_prompt_tokens: 2,
      next_token: [{ n_decoded: 1, n_remain: 3 }],
    });
    expect(second).toMatchObject({ is_processing: true, next_token: [{ n_decoded: 0, n_remain: 512 }] });
    expect(JSON.stringify([first, second])).not.toContain('Once');
    engine.runs[0]!.finish();
    const answered = await answers[0]!;
    expect(answered.statusCode).toBe(200);
    expect((await get('/slots')).json()).toMatchObject([idle, { is_processing: true }]);
    engine.runs[1]!.finish();
    await answers[1];
    expect((await get('/slots')).json()).toMatchObject([idle, idle]);
  });

  it('tells nothing where that is switched off', async () => {
    const { get } = serve({ slots: false });
    const response = await get('/slots');
    expect([response.statusCode, response.json().error.type]).toEqual([501, 'not_supported_error']);
  });
});
