// `adaptive-spec watch` as a process: it ends at Ctrl-C, without a word of complaint.
import { spawn } from 'node:child_process';
import { expect, it } from 'vitest';
import { fileServer } from '../unit/file-server.js';
import { distFile } from './dist.js';

it.each(['an hour', 'an answer that never comes'])('ends at Ctrl-C while it waits for %s', async (what) => {
  const counters =
    'llamacpp:spec_decode_num_draft_tokens_total 8\nllamacpp:spec_decode_num_accepted_tokens_total 4\n';
  await using server = await fileServer((_, response, index) => {
    if (index === 0) response.end(counters);
    else child.kill('SIGINT');
  });
  const interval = what === 'an hour' ? '3600' : '0.05';
  const child = spawn(process.execPath, [
    distFile('cli/main.js'),
    'watch',
    server.origin,
    '--interval',
    interval,
  ]);
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
    if (what === 'an hour') child.kill('SIGINT');
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  expect(stderr).toBe('');
  expect(stdout).toContain('50 % of 8 accepted since it was started');
  expect(code).toBe(130);
});
