// LangChain on an engine in this process: `npm install @langchain/core`.
import { StringOutputParser } from '@langchain/core/output_parsers';
import { ChatPromptTemplate } from '@langchain/core/prompts';
import { ChatAdaptiveSpec } from 'adaptive-spec/langchain';

const model = new ChatAdaptiveSpec({ maxTokens: 48 }); // The default pair; { model, draft } or { engine } for your own.

const chain = ChatPromptTemplate.fromTemplate('Tell me about {subject}.')
  .pipe(model)
  .pipe(new StringOutputParser());
for await (const text of await chain.stream({ subject: 'the sea' })) process.stdout.write(text);
console.log();

const person = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 20 }, age: { type: 'integer', minimum: 0, maximum: 120 } },
  required: ['name', 'age'],
};
const described = model.withStructuredOutput(person);
console.log(await described.invoke('Describe Ada, a 36-year-old teacher, as JSON.'));
