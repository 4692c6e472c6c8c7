// LangChain's chat model beyond the contract: messages and tools of every kind, methods of structured output, callbacks.
import { AIMessage, ChatMessage, HumanMessage, ToolMessage } from '@langchain/core/messages';
import { StringOutputParser } from '@langchain/core/output_parsers';
import { ChatPromptTemplate } from '@langchain/core/prompts';
import { tool } from '@langchain/core/tools';
import { describe, expect, it } from 'vitest';
import { AdaptiveSpecError, type Engine, type RequestOptions } from '../../lib/index.js';
import { ChatAdaptiveSpec } from '../../lib/langchain/index.js';
import { createTestEngine, type TestReply } from '../../lib/testing/index.js';

const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const call = { toolCalls: [{ name: 'get_weather', arguments: { city: 'Paris' } }] };
const weather = tool(async ({ city }: { city: string }) => `sunny in ${city}`, {
  name: 'get_weather',
  description: "Tells a city's weather.",
  schema,
});

/** A chat model on a test engine that keeps the requests that it gets. */
async function chat(...replies: TestReply[]) {
  const requests: RequestOptions[] = [];
  const engine = await createTestEngine({
    reply: (request, index) => {
      requests.push(request);
      return replies[index] ?? 'Hello there, how are you?';
    },
  });
  return { engine, requests, model: new ChatAdaptiveSpec({ engine, maxRetries: 0, maxTokens: 50 }) };
}

describe('messages', () => {
  it('of every kind reach the engine', async () => {
    const { model, requests } = await chat();
    await model.invoke([
      new ChatMessage('Be brief.', 'developer'),
      new HumanMessage({
        content: [
          { type: 'text', text: 'One ' },
          { type: 'text', text: 'two' },
        ],
      }),
      new AIMessage({
        content: [
          { type: 'reasoning', reasoning: 'Hm.' },
          { type: 'text', text: 'Let me look.' },
        ],
        tool_calls: [{ id: 'x', name: 'get_weather', args: { city: 'Paris' } }],
      }),
      new ToolMessage({ content: 'sunny', tool_call_id: 'x' }),
    ]);
    expect(requests[0]!.messages).toEqual([
      { role: 'developer', content: 'Be brief.' },
      { role: 'user', content: 'One two' },
      {
        role: 'assistant',
        content: 'Let me look.',
        toolCalls: [{ id: 'x', name: 'get_weather', arguments: '{"city":"Paris"}' }],
      },
      { role: 'tool', content: 'sunny', toolCallId: 'x' },
    ]);
  });

  it('that are no text are refused', async () => {
    const { model } = await chat();
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
    const asked = model.invoke([new HumanMessage({ content: [image] })]);
    await expect(asked).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});

describe('settings', () => {
  it("of the model hold where a call says nothing, and the call's own come first", async () => {
    const { model, requests } = await chat();
    await model
      .withConfig({ controller: 'off', temperature: 0.5 })
      .invoke('Hi', { temperature: 0.9, stop: ['x'] });
    expect(requests[0]).toMatchObject({ maxTokens: 50, controller: 'off', temperature: 0.9, stop: ['x'] });
  });

  it('that are none are refused', async () => {
    const { engine } = await chat();
    const model = new ChatAdaptiveSpec({ engine, temprature: 1 } as never);
    await expect(model.invoke('Hi')).rejects.toMatchObject({ hint: "Did you mean 'temperature'?" });
    expect(() => new ChatAdaptiveSpec({ engine: {} as Engine })).toThrow('The engine is none');
  });
});

describe('tools', () => {
  it("are LangChain's own, are called, and answer", async () => {
    const { model, requests } = await chat(call, 'It is sunny.');
    const bound = model.bindTools([weather], { tool_choice: 'any' });
    const question = new HumanMessage('What is the weather in Paris?');
    const answer = await bound.invoke([question]);
    expect(requests[0]!.toolChoice).toBe('required');
    expect(requests[0]!.tools).toMatchObject([{ function: { name: 'get_weather', parameters: schema } }]);
    const result = await weather.invoke({ ...answer.tool_calls![0]!, type: 'tool_call' });
    const { text } = await model.invoke([question, answer, result]);
    expect(text).toBe('It is sunny.');
    expect(requests[1]!.messages!.at(-1)).toMatchObject({ role: 'tool', content: 'sunny in Paris' });
  });

  it('are called in a stream as the call is written, and a call that a limit has cut is invalid', async () => {
    const written = '{"city": "a long name of a city"}';
    const reply = { text: 'Let me look.', toolCalls: [{ name: 'get_weather', arguments: written }] };
    const { model } = await chat(reply, reply);
    const bound = model.bindTools([weather]);
    const chunks = [];
    for await (const { tool_call_chunks = [] } of await bound.stream('How is it?'))
      chunks.push(...tool_call_chunks);
    expect(chunks[0]).toMatchObject({
      index: 0,
      name: 'get_weather',
      args: '',
      id: expect.stringMatching(/^call_/),
    });
    expect(chunks.map(({ args }) => args).join('')).toBe(written);
    const cut = await bound.invoke('How is it?', { maxTokens: 8 });
    expect(cut.tool_calls).toEqual([]);
    expect(cut.invalid_tool_calls).toMatchObject([
      { name: 'get_weather', args: expect.stringMatching(/^\{"city": "a/) },
    ]);
  });

  it('of other kinds are refused', async () => {
    const { model } = await chat();
    expect(() => model.bindTools([{ web_search: {} }])).toThrow('A tool is neither');
  });
});

describe('structured output', () => {
  it.each([
    ['jsonSchema', { json: { city: 'Paris' } }],
    ['jsonMode', { json: { city: 'Paris' } }],
    ['functionCalling', { toolCalls: [{ name: 'extract', arguments: { city: 'Paris' } }] }],
  ])('is a value: %s', async (method, reply) => {
    const { model, requests } = await chat(reply, reply);
    expect(await model.withStructuredOutput(schema, { method }).invoke('Where?')).toEqual({ city: 'Paris' });
    const raw = await model.withStructuredOutput(schema, { method, includeRaw: true }).invoke('Where?');
    expect(raw.parsed).toEqual({ city: 'Paris' });
    expect(raw.raw.response_metadata.stats.steps).toBeGreaterThan(0);
    const { responseFormat, toolChoice } = requests[0]!;
    const format = { jsonSchema: 'json_schema', jsonMode: 'json_object', functionCalling: undefined }[method];
    expect(responseFormat?.type).toBe(format);
    if (method === 'functionCalling') expect(toolChoice).toEqual({ name: 'extract' });
  });

  it('by another method is refused', async () => {
    const { model } = await chat();
    expect(() => model.withStructuredOutput(schema, { method: 'prayer' })).toThrow(
      'There is no method "prayer"',
    );
  });
});

describe('a stream', () => {
  it('tells callbacks of every token, in chains as well', async () => {
    const { model } = await chat();
    const tokens: string[] = [];
    const chain = ChatPromptTemplate.fromTemplate('Say {what}').pipe(model).pipe(new StringOutputParser());
    let text = '';
    const callbacks = [{ handleLLMNewToken: (token: string) => void tokens.push(token) }];
    for await (const piece of await chain.stream({ what: 'hello' }, { callbacks })) text += piece;
    expect(text).toBe('Hello there, how are you?');
    expect(tokens.join('')).toBe(text);
  });

  it('throws the error in its middle', async () => {
    const error = new AdaptiveSpecError('BAD_LOGITS', 'A row is NaN', 'Use another model.');
    const { model } = await chat({ text: 'So far so', error });
    let text = '';
    const reading = (async () => {
      for await (const chunk of await model.stream('Hi')) text += chunk.text;
    })();
    await expect(reading).rejects.toMatchObject({ code: 'BAD_LOGITS' });
    expect(text).toBe('So far so');
  });

  it('that is left ends its generation', async () => {
    const engine = await createTestEngine({ reply: () => 'word '.repeat(200) });
    const model = new ChatAdaptiveSpec({ engine, controller: 'off' });
    for await (const chunk of await model.stream('Hi')) if (chunk.text !== '') break;
    await expect.poll(() => engine.pending).toBe(0);
  });
});
