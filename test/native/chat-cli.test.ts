// `adaptive-spec chat` with a pipe for a keyboard: answers on stdout, all else on stderr, and how it ends.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tinyModels } from '../tiny-models.js';
import { distFile } from './dist.js';
import { tinyEngine } from './tiny-engine.js';

let folder: string;
let pair: string[];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-chat-'));
  const models = await tinyModels();
  pair = ['--model', models.target, '--draft', models.draft, '--context-size', '512'];
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Chat {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Types `lines` and the end of the input; with `onStdout` the input stays open, for signals to end the chat. */
function chat(
  args: string[],
  lines: string[],
  onStdout?: (text: string, kill: () => void) => void,
): Promise<Chat> {
  const child = spawn(process.execPath, [distFile('cli/main.js'), 'chat', ...pair, ...args], {
    env: { ...process.env, ADAPTIVE_SPEC_CACHE: join(folder, 'cache') },
    cwd: folder,
  });
  const told = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    told.stdout += text;
    onStdout?.(told.stdout, () => child.kill('SIGINT'));
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    told.stderr += text;
  });
  child.stdin.on('error', () => {});
  child.stdin.write(lines.map((line) => `${line}\n`).join(''));
  if (!onStdout) child.stdin.end();
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, ...told })));
}

describe('a chat', () => {
  it("gives the engine's own answers, each to all that was said before", async () => {
    await using engine = await tinyEngine('target', 'draft');
    const messages = [{ role: 'user', content: 'hello' }];
    const first = await engine.generate({ messages, maxTokens: 12 });
    messages.push({ role: 'assistant', content: first.text }, { role: 'user', content: 'world' });
    const second = await engine.generate({ messages, maxTokens: 12 });
    const ended = (text: string) => (text === '' || text.endsWith('\n') ? text : `${text}\n`);

    const { code, stdout, stderr } = await chat(
      ['--max-tokens', '12'],
      ['hello', '', '/depth 3', 'world', '/save said.json', '/exit', 'never said'],
    );
    expect(stdout).toBe(ended(first.text) + ended(second.text));
    expect(code).toBe(0);
    expect(stderr).toMatch(/^12 tokens \(length\) .* t\/s {3}K .* by auto$/m);
    expect(stderr).toMatch(/t\/s {3}K \d\.\d {3}accepted \d+ % of \d+ {3}by fixed$/m);
    const saved = JSON.parse(readFileSync(join(folder, 'said.json'), 'utf8'));
    expect(saved.messages).toEqual([...messages, { role: 'assistant', content: second.text }]);
  });

  it('goes on after what failed, and says so in its exit code', async () => {
    const { code, stdout, stderr } = await chat(
      ['--max-tokens', '4', '--system', 'Be brief.'],
      ['/dept 3', 'word '.repeat(600), 'hello'],
    );
    expect(stderr).toContain('Did you mean /depth?');
    expect(stderr).toContain('CONTEXT_OVERFLOW');
    expect(stderr).toContain('/reset');
    expect(stdout.length).toBeGreaterThan(0);
    expect(code).toBe(1);
  });

  it('drafts with whom it was told to, also from what earlier chats have left in a file', async () => {
    const flags = [
      '--drafter',
      'ngram',
      '--ngram-store',
      'chats.ngrams',
      '--depth',
      '8',
      '--max-tokens',
      '60',
    ];
    const first = await chat(flags, ['hello']);
    const second = await chat(flags, ['hello']);
    expect([first.code, second.code, second.stdout]).toEqual([0, 0, first.stdout]);
    const verified = ({ stderr }: Chat) => Number(/K (\d+\.\d) {3}accepted/.exec(stderr)![1]);
    expect(verified(second)).toBeGreaterThan(verified(first));
  });

  it('does not begin with a drafter that its models lack', async () => {
    const { code, stdout, stderr } = await chat(['--drafter', 'eagle3'], ['hello']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^INVALID_ARGUMENT: This engine has no drafter named "eagle3"/);
  });

  it('is refused before a model is loaded where a flag is wrong', async () => {
    const { code, stdout, stderr } = await chat(['--controller', 'nobody'], ['hello']);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^INVALID_ARGUMENT: There is no controller named/);
    expect(code).toBe(2);
  });

  it('breaks an answer off at the first Ctrl-C, and ends at the second', async () => {
    let signals = 0;
    const { code, signal, stdout, stderr } = await chat(
      ['--max-tokens', '480', '--depth', '0'],
      ['hello'],
      (text, kill) => {
        // The newline that ends the answer tells that it was broken off.
        if (signals === 0 || (signals === 1 && text.endsWith('\n'))) {
          signals++;
          kill();
        }
      },
    );
    expect(signal).toBeNull();
    expect(code).toBe(130);
    expect(stdout.length).toBeGreaterThan(0);
    expect(stderr).not.toMatch(/Error|NATIVE_FAILURE/);
  });
});
