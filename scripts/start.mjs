// `npm start`: from a fresh clone to text that streams, and a summary of what adaptive drafting gained.
import { join } from 'node:path';
import { prepare } from './prepare.mjs';
import { main, root, run } from './steps.mjs';

await main(async () => {
  await prepare();
  process.exitCode =
    (await run(process.execPath, [join(root, 'scripts/demo.mjs'), ...process.argv.slice(2)])) ?? 1;
});
