// What Prometheus gets of a server: counters that move at every step, under the names of llama.cpp and of vLLM.
// 09-prometheus.yml beside this file has Prometheus read them from `adaptive-spec serve`; docs/server.md has queries.
import { createEngine } from 'adaptive-spec';
import { createServer } from 'adaptive-spec/server';

const engine = await createEngine();
const server = createServer(engine, { port: 0 });
const address = await server.listen();

const answer = await fetch(`${address}/v1/completions`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ prompt: 'The sea is', max_tokens: 48 }),
});
console.log((await answer.json()).choices[0].text);
const metrics = await (await fetch(`${address}/metrics`)).text();
for (const line of metrics.split('\n'))
  if (/^\w+:spec_decode_num_\w+_tokens_total/.test(line)) console.log(line);

await server.close();
await engine.close();
