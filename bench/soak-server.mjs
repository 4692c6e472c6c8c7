// The server that bench/soak.mjs wears down: a process of its own, which tells its memory, handles and loop on request.
import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createEngine } from '../dist/index.js';
import { createServer } from '../dist/serve/index.js';

const [slots, queue] = process.argv.slice(2).map(Number);
const engine = await createEngine({ parallel: slots, contextSize: 1024 * slots });
const server = createServer(engine, { port: 0, queue });
const address = await server.listen();
const loop = monitorEventLoopDelay({ resolution: 1 });
loop.enable();

// Nobody is left to end it.
process.on('disconnect', () => process.exit());
process.on('message', async (message) => {
  if (message === 'end') {
    await server.close();
    await engine.close();
    process.disconnect();
    return;
  }
  // Only what is still held counts, so that a flat line is one.
  if (message === 'collect') globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  const resources = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  process.send({
    rss,
    heapUsed,
    external,
    files: readdirSync('/proc/self/fd').length,
    resources,
    running: server.state.running,
    waiting: server.state.waiting,
    // Above the timer's own millisecond.
    loopDelayMs: {
      p50: loop.percentile(50) / 1e6 - 1,
      p99: loop.percentile(99) / 1e6 - 1,
      most: loop.max / 1e6 - 1,
    },
  });
  loop.reset();
});
const { model, draft } = engine.info;
process.send({ address, models: draft === undefined ? [model] : [model, draft] });
