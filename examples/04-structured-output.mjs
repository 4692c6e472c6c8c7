// JSON by a schema, and a tool that the model calls: both are forced by a grammar, so that they can't go wrong in form.
import { createEngine } from 'adaptive-spec';

const engine = await createEngine();

const { json } = await engine.generate({
  messages: [{ role: 'user', content: 'Describe Ada, a 36-year-old teacher, as JSON.' }],
  responseFormat: {
    type: 'json_schema',
    schema: {
      type: 'object',
      properties: {
        name: { type: 'string', maxLength: 20 },
        age: { type: 'integer', minimum: 0, maximum: 120 },
      },
      required: ['name', 'age'],
    },
  },
});
console.log(json);

const { toolCalls } = await engine.generate({
  messages: [{ role: 'user', content: 'What is the weather in Paris?' }],
  tools: [
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
  ],
  toolChoice: 'required',
});
for (const { name, parsed } of toolCalls) console.log(name, parsed);

await engine.close();
