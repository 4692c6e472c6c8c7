// An agent: the model calls tools, their results go into the conversation, and from them it answers.
import { createEngine } from 'adaptive-spec';

const functions = { get_weather: ({ city }) => ({ city, sky: 'sunny', celsius: 21 }) };
const tools = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      description: 'Tells the weather of a city.',
      parameters: {
        type: 'object',
        properties: { city: { type: 'string', maxLength: 20 } },
        required: ['city'],
      },
    },
  },
];

const engine = await createEngine();
const messages = [{ role: 'user', content: 'What is the weather in Paris?' }];
let answer = await ask('required');
while (answer.toolCalls.length > 0) {
  messages.push({ role: 'assistant', content: answer.content, toolCalls: answer.toolCalls });
  for (const { id, name, parsed } of answer.toolCalls) {
    const result = JSON.stringify(functions[name](parsed));
    console.log(name, parsed, '→', result);
    messages.push({ role: 'tool', toolCallId: id, name, content: result });
  }
  // A model as small as the default one would call again and again; to a larger one, leave the choice: 'auto'.
  answer = await ask('none');
}
console.log(answer.text);
await engine.close();

async function ask(toolChoice) {
  const {
    text,
    content,
    toolCalls = [],
  } = await engine.generate({ messages, tools, toolChoice, maxTokens: 64 });
  return { text, content, toolCalls };
}
