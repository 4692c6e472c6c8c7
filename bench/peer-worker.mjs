// The frame of an engine that runs in a process of its own: a job comes as a file, figures go to stdout as JSON.
import { readFileSync } from 'node:fs';

/** @import { Work, Figures } from './peer-settings.mjs' */

/**
 * A setting of one engine and the prompts to run, in this order; the first prompt runs once more before, unmeasured.
 * @typedef {Work & { setting: any, prompts: { id: string, ids: number[], text: string }[] }} Job
 */

/**
 * Runs the job that the command line names and prints its figures, one entry per prompt.
 * @param {(job: Job) => Promise<{ generate(prompt: Job['prompts'][number]): Promise<Figures>, close(): Promise<void> }>} open
 */
export async function serveJob(open) {
  /** @type {Job} */
  const job = JSON.parse(readFileSync(process.argv[2], 'utf8'));
  const engine = await open(job);
  const runs = [];
  for (const [i, prompt] of [job.prompts[0], ...job.prompts].entries()) {
    const start = performance.now();
    const figures = await engine.generate(prompt);
    if (i > 0) runs.push({ promptId: prompt.id, ...figures, wallMs: performance.now() - start });
  }
  await engine.close();
  process.stdout.write(`${JSON.stringify(runs)}\n`);
}
