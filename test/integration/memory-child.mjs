// A process that loads one engine and says how much memory that took, in bytes.
import { readFileSync } from 'node:fs';

const { createEngine } = await import(process.env.ADAPTIVE_SPEC_INDEX);

/** Numbers of /proc/self/status that are sizes, in bytes. */
function sizes() {
  const lines = readFileSync('/proc/self/status', 'utf8').matchAll(/^(\w+):\s+(\d+) kB$/gm);
  return Object.fromEntries([...lines].map(([, name, kib]) => [name, kib * 1024]));
}

const before = sizes();
const engine = await createEngine(JSON.parse(process.argv[2]));
// Buffers count when they were written to.
await engine.generate({ prompt: 'Once', maxTokens: 8, ignoreEos: true, controller: 'off' });
const after = sizes();
process.stdout.write(
  JSON.stringify({
    kernels: engine.info.kernels,
    resident: after.RssAnon + after.RssFile - before.RssAnon - before.RssFile,
    locked: after.VmLck - before.VmLck,
  }),
);
await engine.close();
