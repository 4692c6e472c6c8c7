// An agent: the model calls tools until it knows enough, and answers. `node 05-agent-with-tools.mjs MODEL.gguf` asks a model
// of yours; the default one is too small for it, so that without one the answers are given.
import { createEngine } from 'adaptive-spec';
import { createTestEngine } from 'adaptive-spec/testing';

const functions = { get_weather: ({ city }) => ({ sky: 'sunny', celsius: city === 'Rome' ? 24 : 21 }) };
const tools = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'Tells the weather of a city.',
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  },
];

const model = process.argv[2];
const engine = await (model ? createEngine({ model }) : createTestEngine({ replies: given() }));
const messages = [{ role: 'user', content: 'Is it warmer in Paris or in Rome?' }];
for (;;) {
  const { content, toolCalls } = await engine.generate({ messages, tools });
  messages.push({ role: 'assistant', content, toolCalls });
  if (toolCalls.length === 0) break;
  for (const { id, name, parsed } of toolCalls) {
    const result = JSON.stringify(functions[name](parsed));
    console.log(name, parsed, '→', result);
    messages.push({ role: 'tool', toolCallId: id, name, content: result });
  }
}
console.log(messages.at(-1).content);
await engine.close();

function given() {
  const call = (city) => ({ toolCalls: [{ name: 'get_weather', arguments: { city } }] });
  return [call('Paris'), call('Rome'), 'It is warmer in Rome, by three degrees.'];
}
