// OpenAI's client against a server in this process: `npm install openai`. `adaptive-spec serve` is the same on its own.
import { createEngine } from 'adaptive-spec';
import { createServer } from 'adaptive-spec/server';
import OpenAI from 'openai';

const engine = await createEngine();
const server = createServer(engine, { port: 0 });
const client = new OpenAI({ baseURL: `${await server.listen()}/v1`, apiKey: 'none needed' });

const stream = await client.chat.completions.create({
  model: 'default',
  messages: [{ role: 'user', content: 'Tell me about the sea.' }],
  max_tokens: 48,
  stream: true,
  stream_options: { include_usage: true },
  // Fixed depths and controllers side by side, without a restart.
  adaptive_spec: { controller: 'auto' },
});
for await (const { choices, usage } of stream) {
  process.stdout.write(choices[0]?.delta.content ?? '');
  if (usage) console.log(`\n${usage.completion_tokens} tokens`);
}

await server.close();
await engine.close();
