// The AI SDK on an engine in this process: `npm install ai`, versions 6 and 7.
import { adaptiveSpec } from 'adaptive-spec/ai-sdk';
import { jsonSchema, Output, streamText } from 'ai';

const model = adaptiveSpec(); // The default pair; { model, draft } or { engine } for your own.

const answer = streamText({ model, prompt: 'Tell me about the sea.', maxOutputTokens: 48 });
for await (const text of answer.textStream) process.stdout.write(text);

const { stats } = (await answer.providerMetadata).adaptiveSpec;
console.log(`\n${stats.steps} steps, ${Math.round(stats.acceptanceRate * 100)} % of the drafts accepted`);

const person = jsonSchema({
  type: 'object',
  properties: { name: { type: 'string', maxLength: 20 }, age: { type: 'integer', minimum: 0, maximum: 120 } },
  required: ['name', 'age'],
});
const described = streamText({
  model,
  prompt: 'Describe Ada, a 36-year-old teacher, as JSON.',
  output: Output.object({ schema: person }),
  // What the AI SDK has no words for.
  providerOptions: { adaptiveSpec: { controller: 'fixed', depth: 4 } },
});
console.log(await described.output);
