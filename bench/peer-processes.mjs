// Runs each engine in a process of its own, one after the other: (prompts, round's work) => figures per prompt.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { root } from '../scripts/steps.mjs';
import {
  serverArguments,
  serverFigures,
  serverRequest,
  simpleArguments,
  simpleFigures,
} from './peer-settings.mjs';

/** @import { Work, Figures, SpecType } from './peer-settings.mjs' */
/** @typedef {{ id: string, kind: string, text: string, ids: number[], file: string }} Prompt */

// Whatever ends us ends them: a server left behind would spoil the next run.
const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

function start(program, args) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  const told = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (told.stdout += text));
  // A server's log grows; its end is what an error message needs.
  child.stderr.setEncoding('utf8').on('data', (text) => (told.stderr = (told.stderr + text).slice(-100_000)));
  const ended = new Promise((done) => {
    child.on('error', (error) => {
      told.stderr += error.message;
      done(null);
    });
    child.on('close', done);
  }).finally(() => running.delete(child));
  return { child, told, ended };
}

/** Runs a program to its end: {stdout, stderr}. */
export async function runToEnd(program, args) {
  const { told, ended } = start(program, args);
  if ((await ended) !== 0) throw new Error(`${program} failed: ${told.stderr.slice(-2000)}`);
  return told;
}

/**
 * A worker of this folder (peer-worker.mjs) with a job.
 * @param {string} script
 * @param {string} folder for the job's file
 * @param {Record<string, unknown>} job
 */
export async function runWorker(script, folder, job) {
  const file = join(folder, 'job.json');
  writeFileSync(file, JSON.stringify(job));
  const { stdout } = await runToEnd(process.execPath, [join(root, 'bench', script), file]);
  return JSON.parse(stdout);
}

/**
 * llama-server at one setting: started, warmed up, asked prompt by prompt, stopped.
 * @param {string} program
 * @param {Work} work
 * @param {{ type?: SpecType, depth?: number, build: 'upstream' | 'ours' }} how
 * @param {Prompt[]} prompts
 */
export async function runServer(program, work, how, prompts) {
  const port = await freePort();
  const { child, told, ended } = start(program, serverArguments(work, { ...how, port }));
  let alive = true;
  const gone = ended.then(() => {
    alive = false;
  });
  const post = async (/** @type {string} */ path, /** @type {unknown} */ body) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`llama-server answers ${response.status}: ${await response.text()}`);
    return response.json();
  };
  try {
    while (!(await fetch(`http://127.0.0.1:${port}/health`).catch(() => ({ ok: false }))).ok) {
      if (!alive) throw new Error(`llama-server ended: ${told.stderr.slice(-2000)}`);
      await new Promise((done) => setTimeout(done, 100));
    }
    // Nonsense, since a drafter that keeps what it has read would know the answer to a prompt that comes again.
    await post('/completion', serverRequest(prompts[0].ids.toReversed(), work.maxTokens));
    const runs = [];
    for (const { id, text, ids } of prompts) {
      const { tokens } = await post('/tokenize', { content: text, add_special: true, parse_special: true });
      if (tokens.join() !== ids.join())
        throw new Error(`${id}: llama-server reads the prompt as ${tokens.length} other tokens`);
      const began = performance.now();
      const answer = await post('/completion', serverRequest(ids, work.maxTokens));
      runs.push({ promptId: id, ...serverFigures(answer), wallMs: performance.now() - began });
    }
    return runs;
  } finally {
    child.kill();
    await gone;
  }
}

/**
 * llama-speculative-simple at one depth: a process per prompt, which warms itself up at load.
 * @param {string} program
 * @param {Work} work
 * @param {{ depth: number, build: 'upstream' | 'ours' }} how
 * @param {Prompt[]} prompts
 */
export async function runSimple(program, work, how, prompts) {
  const runs = [];
  for (const { id, text, file } of prompts) {
    const { stdout, stderr } = await runToEnd(program, simpleArguments(work, { ...how, promptFile: file }));
    runs.push({ promptId: id, ...simpleFigures(stdout, stderr, text) });
  }
  return runs;
}

function freePort() {
  return new Promise((done, failed) => {
    const probe = createServer();
    probe.on('error', failed);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}
