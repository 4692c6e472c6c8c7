// The command line: what it prints where, and the exit codes that scripts rely on. Runs dist/, as users do.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TinyModels, tinyModels } from '../tiny-models.js';
import { distFile } from './dist.js';
import { BEGINNINGS } from './tiny-engine.js';

const main = distFile('cli/main.js');
const prompt = BEGINNINGS[0]!;
let folder: string;
let models: TinyModels;
/** A pair on which plain and drafted texts are the same. */
let pair: string[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-cli-'));
  models = await tinyModels();
  pair = ['--model', models.target, '--draft', models.draft, '--context-size', '512'];
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Run {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Runs the command to its end. `onStdout` hears all that came so far, and may end it. */
function run(
  args: string[],
  {
    stdin = '',
    env = {},
    onStdout,
  }: {
    stdin?: string;
    env?: Record<string, string>;
    onStdout?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
  } = {},
): Promise<Run> {
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...process.env, ADAPTIVE_SPEC_CACHE: join(folder, 'cache'), ...env },
    cwd: folder,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    stdout += chunk;
    onStdout?.(stdout, (signal) => child.kill(signal));
  });
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdin.on('error', () => {}); // A command that fails at once does not read.
  child.stdin.end(stdin);
  return new Promise((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr })),
  );
}

const generate = (...args: string[]) => run(['generate', ...pair, '--prompt', prompt, ...args]);

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** Wrong usage or a failure: nothing on stdout, `CODE: message` and a hint on stderr, and no stack. */
function expectError(result: Run, exitCode: number, code: string, message: RegExp, hint = /./) {
  expect(result.stdout).toBe('');
  const [first, second, ...rest] = result.stderr.trimEnd().split('\n');
  expect(first).toMatch(new RegExp(`^${code}: `));
  expect(first).toMatch(message);
  expect(second).toMatch(hint);
  expect(rest).toEqual([]);
  expect(result.code).toBe(exitCode);
}

describe('generate --json', () => {
  it('prints one object with every part, and nothing else', async () => {
    const { code, stdout, stderr } = await generate(
      '--json',
      '--steps',
      '--max-tokens',
      '24',
      '--depth',
      '4',
    );
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout.endsWith('}\n')).toBe(true);
    expect(stdout.trimEnd()).not.toContain('\n');
    const result = JSON.parse(stdout);
    expect(result.text).toEqual(expect.any(String));
    expect(result.tokens).toHaveLength(24);
    expect(result.finishReason).toBe('length');
    expect(result.stats.steps).toBe(result.steps.length);
    for (const step of result.steps) {
      expect(Object.keys(step)).toEqual(['depth', 'drafted', 'accepted']);
      expect(step.depth).toBe(4);
      expect(step.drafted).toBeLessThanOrEqual(4);
      expect(step.accepted).toBeLessThanOrEqual(step.drafted);
    }
    const emitted = result.steps.reduce(
      (sum: number, step: { accepted: number }) => sum + step.accepted + 1,
      0,
    );
    expect(emitted).toBeGreaterThanOrEqual(24);
  });

  it('leaves the steps out where they were not asked for', async () => {
    const { stdout } = await generate('--json', '--max-tokens', '4');
    expect(JSON.parse(stdout)).not.toHaveProperty('steps');
  });

  it('gives the same tokens at every depth, plain decoding included', async () => {
    const tokensAt = async (depth: string) =>
      JSON.parse((await generate('--json', '--max-tokens', '24', '--depth', depth)).stdout).tokens;
    const plain = await tokensAt('0');
    for (const depth of ['1', '7', '40']) expect(await tokensAt(depth)).toEqual(plain);
  });

  it('gives the same tokens with a tree, and counts its guesses', async () => {
    const [chain, tree] = await Promise.all(
      [[], ['--tree', '5']].map((args) => generate('--json', '--max-tokens', '24', '--depth', '2', ...args)),
    );
    const { tokens, stats } = JSON.parse(tree!.stdout);
    expect(tokens).toEqual(JSON.parse(chain!.stdout).tokens);
    expect(stats.branchTokens).toBeGreaterThan(0);
  });
});

describe('generate --ngram-store', () => {
  it('drafts from the texts of earlier runs with the same file', async () => {
    const flags = ['--json', '--max-tokens', '60', '--depth', '8', '--drafter', 'ngram'];
    const runs = [];
    for (let i = 0; i < 2; i++)
      runs.push(JSON.parse((await generate(...flags, '--ngram-store', 'answers')).stdout));
    expect(existsSync(join(folder, 'answers'))).toBe(true);
    expect(runs[1].tokens).toEqual(runs[0].tokens);
    expect(runs[1].stats.steps).toBeLessThan(runs[0].stats.steps);
  });

  it('says what is wrong with a file that is none', async () => {
    const path = file('none', 'no store at all, but long enough to be one');
    const result = await generate('--ngram-store', path);
    expectError(result, 1, 'STORE_INVALID', /another kind of file/, /Delete it/);
  });
});

describe('generate', () => {
  it('puts the text on stdout and everything else on stderr', async () => {
    const json = JSON.parse((await generate('--json', '--max-tokens', '24')).stdout);
    const { code, stdout, stderr } = await generate('--steps', '--max-tokens', '24');
    expect(code).toBe(0);
    expect(stdout.replace(/\n$/, '')).toBe(json.text.replace(/\n$/, ''));
    expect(stderr).toMatch(/^step 1: K \d+, drafted \d+, accepted \d+$/m);
    expect(stderr).toMatch(/^24 tokens in \d+ steps, .* t\/s.*\(length\)$/m);
  });

  it.each<Record<string, string>>([{}, { CI: 'true' }, { FORCE_COLOR: '' }, { NO_COLOR: '1' }])(
    'writes no control codes where it is no terminal: %o',
    async (env) => {
      const results = [
        await run(['generate', ...pair, '--prompt', prompt, '--max-tokens', '8'], { env }),
        await run(['generate', '--prompt', prompt, '--model', 'no.gguf'], { env }),
        await run(['models', 'list'], { env }),
      ];
      for (const { stdout, stderr } of results) expect(stdout + stderr).not.toContain('\x1b');
    },
  );

  it('colours its errors where that is forced, unless NO_COLOR is set', async () => {
    const args = ['generate', '--prompt', prompt, '--model', 'no.gguf'];
    expect((await run(args, { env: { FORCE_COLOR: '1' } })).stderr).toContain('\x1b[31m');
    expect((await run(args, { env: { FORCE_COLOR: '1', NO_COLOR: '1' } })).stderr).not.toContain('\x1b');
  });

  it('takes the prompt from a file or from stdin, as from the command line', async () => {
    const text = 'wor é →\n  const x';
    const args = ['generate', ...pair, '--json', '--max-tokens', '8'];
    const results = [
      await run([...args, '--prompt', text]),
      await run([...args, '--prompt-file', file('prompt.txt', text)]),
      await run([...args, '--prompt-file', '-'], { stdin: text }),
    ];
    const [direct, ...others] = results.map(({ stdout }) => JSON.parse(stdout));
    for (const other of others) {
      expect(other.tokens).toEqual(direct.tokens);
      expect(other.usage).toEqual(direct.usage);
    }
  });

  it('puts a message into the chat template where --chat is given', async () => {
    const plain = await generate('--json', '--max-tokens', '4');
    const chat = await generate('--json', '--max-tokens', '4', '--chat');
    const tokens = ({ stdout }: Run) => JSON.parse(stdout).usage.promptTokens;
    expect(tokens(chat)).toBeGreaterThan(tokens(plain));
  });

  it('draws the same text from the same seed', async () => {
    const drawn = ['--json', '--max-tokens', '24', '--temperature', '1', '--top-k', '40', '--seed'];
    const tokensOf = async (seed: string) => JSON.parse((await generate(...drawn, seed)).stdout).tokens;
    const tokens = await tokensOf('5');
    expect(await tokensOf('5')).toEqual(tokens);
    expect(await tokensOf('6')).not.toEqual(tokens);
  });

  it('accepts by rejection sampling where --acceptance says so, which is another text of the same seed', async () => {
    const drawn = ['--json', '--max-tokens', '24', '--temperature', '1', '--seed', '5', '--depth', '4'];
    const tokensOf = async (...more: string[]) =>
      JSON.parse((await generate(...drawn, ...more)).stdout).tokens;
    const compared = await tokensOf();
    expect(await tokensOf('--acceptance', 'compare')).toEqual(compared);
    expect(await tokensOf('--acceptance', 'rejection')).not.toEqual(compared);
  });

  it('ends before a stop text, and says so', async () => {
    const { text } = JSON.parse((await generate('--json', '--max-tokens', '24')).stdout);
    const stop = text.slice(8, 11);
    const { stdout } = await generate('--json', '--max-tokens', '24', '--stop', stop);
    expect(JSON.parse(stdout)).toMatchObject({
      finishReason: 'stop',
      stopString: stop,
      text: text.slice(0, text.indexOf(stop)),
    });
  });
});

describe('a controller', () => {
  const depths = ({ stdout }: Run) => JSON.parse(stdout).steps.map(({ depth }: { depth: number }) => depth);
  const json = ['--json', '--steps', '--max-tokens', '24'];

  it('may be a function or an object of a module', async () => {
    const counting = file('function.mjs', 'export default ({ step }) => step % 3;');
    const object = file('object.mjs', "export default { name: 'mine', nextPlan: () => ({ depth: 2 }) };");
    const [a, b] = [await generate(...json, '-c', counting), await generate(...json, '-c', object)];
    expect(new Set(depths(a))).toEqual(new Set([0, 1, 2]));
    expect(JSON.parse(b.stdout).stats.controller.name).toBe('mine');
    expect(depths(b).at(-1)).toBe(2);
    expect(JSON.parse(b.stdout).tokens).toEqual(JSON.parse(a.stdout).tokens);
  });

  it('may be given by a path from the current folder, in CommonJS too', async () => {
    file('here.cjs', 'module.exports = () => 3;');
    const result = await generate(...json, '-c', 'here.cjs');
    expect(depths(result).at(-1)).toBe(3);
  });

  it.each([
    ['off', 0],
    ['adaptive', undefined],
  ])('may be a name: %s', async (name, depth) => {
    const result = await generate(...json, '-c', name);
    expect(result.code).toBe(0);
    if (depth !== undefined) expect(new Set(depths(result))).toEqual(new Set([depth]));
  });

  it('that cannot be loaded is named with the reason, before any model is', async () => {
    const load = (path: string) => run(['generate', '-p', 'a', '-m', 'no.gguf', '-c', path]);
    const hint = /export default|default export/;
    expectError(await load('./no.mjs'), 2, 'INVALID_ARGUMENT', /no\.mjs/, hint);
    const broken = file('broken.mjs', 'export default (');
    expectError(await load(broken), 2, 'INVALID_ARGUMENT', /broken\.mjs/, hint);
    const throwing = file('throwing.mjs', "throw new Error('mine')");
    expectError(await load(throwing), 2, 'INVALID_ARGUMENT', /throwing\.mjs.*mine/, hint);
    const empty = file('empty.mjs', 'export const depth = 8;');
    expectError(await load(empty), 2, 'INVALID_ARGUMENT', /empty\.mjs has no default export/, hint);
  });

  it.each([
    ['a number', 'export default 8;'],
    ['an object without nextPlan', 'export default {};'],
    ['a class', 'export default class { nextPlan() { return 1; } }'],
  ])('that is %s is refused, before any model is loaded', async (_, text) => {
    const result = await run(['generate', '-p', 'a', '-m', 'no.gguf', '-c', file('wrong.mjs', text)]);
    expectError(result, 2, 'INVALID_ARGUMENT', /controller/, /Give/);
  });

  it('with a name that there is not is refused with the nearest, before any model is loaded', async () => {
    const result = await run(['generate', '-p', 'a', '-m', 'no.gguf', '-c', 'adaptve']);
    expectError(result, 2, 'INVALID_ARGUMENT', /adaptve/, /'adaptive'/);
  });

  it('that throws costs a warning, not the text', async () => {
    const path = file('throws.mjs', "export default () => { throw new Error('mine'); };");
    const { code, stdout, stderr } = await generate(...json, '-c', path);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: CONTROLLER_INVALID: .*mine/m);
    const plain = await generate(...json, '-c', 'off');
    expect(JSON.parse(stdout).tokens).toEqual(JSON.parse(plain.stdout).tokens);
  });
});

describe('wrong usage', () => {
  const CASES: [what: string, args: string[], message: RegExp, hint: RegExp][] = [
    ['an option that there is not', ['generate', '--dept', '4'], /--dept/, /--depth/],
    ['a command that there is not', ['genrate'], /genrate/, /generate/],
    ['a subcommand that there is not', ['models', 'pul'], /pul/, /pull/],
    ['an option without its value', ['generate', '--prompt'], /--prompt/, /./],
    ['a word too many', ['generate', 'hello'], /argument/, /./],
    ['no prompt', ['generate'], /no prompt/, /--prompt/],
    ['two prompts', ['generate', '-p', 'a', '-f', 'b'], /both/, /--prompt/],
    ['a prompt file that is not there', ['generate', '-f', 'no.txt'], /no\.txt/, /stdin/],
    ['a depth that is no number', ['generate', '-p', 'a', '--depth', 'four'], /--depth is "four"/, /number/],
    ['a depth below nothing', ['generate', '-p', 'a', '--depth', '-1'], /depth is -1/, /0 to 64/],
    ['a tree that is too big', ['generate', '-p', 'a', '--tree', '65'], /tree is 65/, /0 to 64/],
    ['an empty number', ['generate', '-p', 'a', '--max-tokens', ''], /--max-tokens/, /number/],
    ['half a token', ['generate', '-p', 'a', '--max-tokens', '1.5'], /maxTokens is 1\.5/, /whole/],
    ['a cache type that there is not', ['generate', '-p', 'a', '--kv-cache-type', 'f17'], /f17/, /'f16'/],
    [
      'an acceptance that there is not',
      ['generate', '-p', 'a', '--acceptance', 'typical'],
      /acceptance is "typical"/,
      /'rejection'/,
    ],
    ['rows that are no number', ['calibrate', '--rows', '1,x'], /--rows is "x"/, /number/],
    ['half a repeat', ['calibrate', '--repeats', '1.5'], /repeats is 1\.5/, /whole/],
    ['less than no time', ['calibrate', '--budget', '-1'], /--budget is -1/, /seconds/],
    [
      'a time for costs that there is not',
      ['generate', '-p', 'a', '--calibrate', 'now'],
      /calibrate is "now"/,
      /'load'/,
    ],
    ['kernels that there are not', ['calibrate', '--kernels', 'avx1024'], /avx1024/, /'avx512'/],
    ['threads that are no number', ['doctor', '--threads', 'all'], /--threads is "all"/, /number/],
    ['a word too many for models', ['models', 'list', 'all'], /argument/, /adaptive-spec models list --help/],
    ['a flag that generate has not', ['generate', '--colour'], /--colour/, /adaptive-spec generate --help/],
    ['a log of K where K is not chosen', ['calibrate', '--audit', 'a'], /unknown option '--audit'/, /./],
    ['a port that there is not', ['serve', '--port', '99999'], /port is 99999/, /65535/],
  ];

  it.each(CASES)('is exit code 2 with a hint: %s', async (_, args, message, hint) => {
    expectError(await run(args), 2, 'INVALID_ARGUMENT', message, hint);
  });

  it.each([[[]], [['models']]])(
    'is exit code 2 with the help on stderr where no command is given: %j',
    async (args) => {
      const { code, stdout, stderr } = await run(args);
      expect(stderr).toMatch(/^Usage: adaptive-spec/);
      expect(stderr).toMatch(/\nINVALID_ARGUMENT: There is no command\n.*--help.*\n$/);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    },
  );

  it('is no help or version that was asked for', async () => {
    for (const args of [['--help'], ['generate', '--help'], ['help', 'models']]) {
      const { code, stdout, stderr } = await run(args);
      expect(stdout).toMatch(/^Usage: adaptive-spec/);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    }
    const { stdout } = await run(['--version']);
    expect(stdout).toBe(`${JSON.parse(readFileSync('package.json', 'utf8')).version}\n`);
  });
});

describe('a model', () => {
  it('that is not there is exit code 1', async () => {
    const result = await run(['generate', '-p', 'a', '-m', 'no.gguf']);
    expectError(result, 1, 'MODEL_NOT_FOUND', /no\.gguf/);
  });

  it('that is none is exit code 1', async () => {
    const path = file('text.gguf', 'this is some text and no model at all');
    expectError(await run(['generate', '-p', 'a', '-m', path]), 1, 'MODEL_INVALID', /text\.gguf/);
  });

  it('that was cut off is exit code 1', async () => {
    const whole = readFileSync(models.target);
    writeFileSync(join(folder, 'cut.gguf'), whole.subarray(0, whole.length / 2));
    const result = await run(['generate', '-p', 'a', '-m', 'cut.gguf']);
    expectError(result, 1, 'MODEL_INVALID', /cut\.gguf/, /download/);
  });

  it('that does not fit its target is exit code 1', async () => {
    const result = await run(['generate', '-p', 'a', '-m', models.target, '-d', models.draftTooBig]);
    expectError(result, 1, 'VOCAB_MISMATCH', /vocabulary/);
  });

  it('that is the default and not there is exit code 1 offline', async () => {
    const result = await run(['generate', '-p', 'a', '--offline']);
    expectError(result, 1, 'MODEL_NOT_FOUND', /offline/, /models pull/);
  });

  it('without a draft model drafts by n-grams, and knows no other drafter', async () => {
    const args = ['generate', '-p', prompt, '-m', models.target, '--max-tokens', '4', '--depth', '4'];
    expect((await run(args)).code).toBe(0);
    expect((await run([...args, '--drafter', 'ngram'])).code).toBe(0);
    expectError(
      await run([...args, '--drafter', 'hybrid']),
      2,
      'INVALID_ARGUMENT',
      /no drafter named "hybrid"/,
    );
  });
});

describe('an interrupt', () => {
  it('ends the text where it is, with exit code 130', async () => {
    const long = ['generate', ...pair.slice(0, 4), '-p', prompt, '--context-size', '2048', '-n', '2000'];
    const whole = await run([...long, '--depth', '0']);
    let sent = false;
    const cut = await run([...long, '--depth', '0'], {
      onStdout: (_, kill) => {
        if (!sent) kill('SIGINT');
        sent = true;
      },
    });
    expect(cut.code).toBe(130);
    expect(cut.stdout.length).toBeGreaterThan(1);
    expect(cut.stdout.length).toBeLessThan(whole.stdout.length);
    expect(whole.stdout.startsWith(cut.stdout.replace(/\n$/, ''))).toBe(true);
    expect(cut.stderr).toMatch(/\(aborted\)$/m);
  });
});

describe('a reader that goes away', () => {
  /** Runs a shell line with $NODE and $MAIN in it; the last line of stderr is the command's own exit code. */
  const shell = (line: string) =>
    new Promise<Run>((resolve) => {
      const child = spawn('bash', ['-c', line], {
        env: { ...process.env, NODE: process.execPath, MAIN: main, TARGET: models.target, PROMPT: prompt },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (chunk) => {
        stdout += chunk;
      });
      child.stderr.on('data', (chunk) => {
        stderr += chunk;
      });
      child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
    });

  it('ends the command quietly', async () => {
    const command = '"$NODE" "$MAIN" generate -m "$TARGET" -p "$PROMPT" -n 2000 --context-size 2048';
    const { stdout, stderr } = await shell(`{ ${command}; echo "code $?" >&2; } | head -c 10`);
    expect(stdout).toHaveLength(10);
    expect(stderr).toBe('code 0\n');
  });

  it.skipIf(!existsSync('/dev/full'))('that is a full disk is said in a line', async () => {
    const { stderr } = await shell(
      '"$NODE" "$MAIN" generate -m "$TARGET" -p "$PROMPT" -n 8 --context-size 512 > /dev/full; echo "code $?" >&2',
    );
    expect(stderr).toMatch(/^The output can't be written: .*ENOSPC.*\ncode 1\n$/);
  });
});

describe('models', () => {
  it('lists the catalogue as one line of JSON, present or not', async () => {
    const { code, stdout, stderr } = await run(['models', 'list', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trimEnd()).not.toContain('\n');
    const all = JSON.parse(stdout);
    expect(all.map(({ role }: { role: string }) => role).sort()).toEqual(['draft', 'target']);
    for (const model of all) {
      expect(model.present).toBe(existsSync(model.path));
      expect(model.licence).toBe('Apache-2.0');
    }
    const target = all.find(({ role }: { role: string }) => role === 'target');
    expect(target.present).toBe(false);
    expect(target.path.startsWith(join(folder, 'cache'))).toBe(true);
  });

  it('lists a line for each for people', async () => {
    const { stdout } = await run(['models', 'list']);
    expect(stdout.trimEnd().split('\n')).toHaveLength(2);
    expect(stdout).toMatch(/^smollm2-135m-instruct .*not downloaded$/m);
  });

  it('has no path while nothing is there, and says what gets it', async () => {
    const result = await run(['models', 'path']);
    expectError(result, 1, 'MODEL_NOT_FOUND', /not here/, /models pull/);
  });

  it('gives the paths one a line, for other programs', async () => {
    const { stdout: list } = await run(['models', 'list', '--json']);
    const expected = JSON.parse(list).map(({ path }: { path: string }) => path);
    // The command looks only whether the file is there.
    const cache = join(folder, 'cache', 'models');
    mkdirSync(cache, { recursive: true });
    writeFileSync(expected[0], '');
    const { code, stdout, stderr } = await run(['models', 'path']);
    rmSync(join(folder, 'cache'), { recursive: true });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe(`${expected.join('\n')}\n`);
  });

  it('refuses to pull what there is not', async () => {
    expectError(await run(['models', 'pull', 'smollm3']), 1, 'MODEL_NOT_FOUND', /smollm3/, /smollm2/);
    const plain = await run(['models', 'pull', 'http://example.com/a.gguf?token=hush']);
    expectError(plain, 2, 'INVALID_ARGUMENT', /encryption/);
    expect(plain.stderr).not.toContain('hush');
  });
});

describe('calibrate', () => {
  it('measures each number of rows that is asked for, as JSON and as a table', async () => {
    const args = ['calibrate', '-m', pair[1]!, '--rows', '1,2,9,40', '--repeats', '2', '--at', '20'];
    const { code, stdout } = await run([...args, '--json', '--kernels', 'ggml']);
    expect(code).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      kernels: 'ggml',
      draft: { msPerToken: 0 },
      vocabularySize: expect.any(Number),
    });
    const rows = result.target.map((point: object) =>
      Object.entries(point).map(([name, value]) => (name === 'ms' ? name : value)),
    );
    expect(rows).toEqual([1, 2, 9, 40].map((n) => [n, 20, 'ms']));
    const table = await run(args);
    expect(table.stdout).toMatch(/^after 20 tokens:\nrows +ms.*\n +1 .*1\.00.*\n +2 .*\n +9 .*\n +40 /);
    expect(table.stdout).toMatch(/^a changed number of rows costs \d+\.\d+ ms more, once$/m);
    expect(table.stderr).toMatch(/kernels/);
  });

  it('gives the whole cost table in its own form, within the time it may take', async () => {
    const { code, stdout, stderr } = await run(['calibrate', ...pair, '--json', '--budget', '2']);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^measuring what a step costs: \d+ %$/m);
    const result = JSON.parse(stdout);
    expect(Object.keys(result).slice(0, 7)).toEqual([
      ...['target', 'draft', 'overheadMs', 'rebuildMs', 'callbackMs', 'samplingMs', 'staircase'],
    ]);
    // Whole steps tell `startMs`, which a busy machine leaves out; test/unit/calibrate.test.ts says when.
    const { startMs = 0, ...draft } = result.draft;
    expect(draft).toEqual({ msPerToken: expect.any(Number), threads: expect.any(Number) });
    expect(startMs).toBeGreaterThanOrEqual(0);
    expect(result.draft.msPerToken).toBeGreaterThan(0);
    for (const name of ['overheadMs', 'rebuildMs', 'callbackMs', 'samplingMs', 'milliseconds'])
      expect(result[name]).toEqual(expect.any(Number));
    expect(result.target.map(({ rows }: { rows: number }) => rows)).toEqual(
      expect.arrayContaining([1, 2, 5, 9, 17]),
    );
    expect(Date.parse(result.measuredAt)).not.toBeNaN();
  });

  it('says that nothing was kept where the cache is no folder that can be written', async () => {
    const env = { ADAPTIVE_SPEC_CACHE: file('no-folder', '') };
    const { code, stderr } = await run(['calibrate', '-m', pair[1]!, '--rows', '1,2'], { env });
    expect(stderr).toMatch(/^not kept for later engines: /m);
    expect(code).toBe(0);
  });

  it('says in words what else a step costs', async () => {
    const { stdout } = await run(['calibrate', ...pair, '--budget', '2']);
    expect(stdout).toMatch(
      /^a draft token costs \d+\.\d+ ms(, a step's first one \d+\.\d+ ms more)?, on \d+ threads?$/m,
    );
    expect(stdout).toMatch(/^a step costs .* besides, .* for the choice among \d+ tokens$/m);
    expect(stdout).toMatch(/^asking a controller costs /m);
  });
});

describe('trim-draft', () => {
  const trim = (...args: string[]) => run(['trim-draft', models.draft, '--target', models.target, ...args]);

  it('writes a draft that generate takes, and says what it kept', async () => {
    const corpus = file('corpus.txt', BEGINNINGS.join('\n'));
    const out = join(folder, 'small.gguf');
    const { code, stdout, stderr } = await trim('--corpus', corpus, '--size', '280', '--out', out);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /small\.gguf: 280 tokens of \d+\nit can propose \d+\.\d % of the corpus's \d+ tokens/,
    );
    const small = ['--model', models.target, '--draft', out, '--context-size', '512', '--prompt', prompt];
    const drafted = await run(['generate', ...small, '-n', '40', '--depth', '4']);
    const plain = await run(['generate', ...small, '-n', '40', '--depth', '0']);
    expect(drafted.stdout).toBe(plain.stdout);
  });

  it('needs a corpus, a size and a file', async () => {
    const corpus = file('corpus.txt', 'the world');
    expectError(await trim('--size', '280', '--out', 'x'), 2, 'INVALID_ARGUMENT', /corpus/);
    const bad = await trim('--corpus', corpus, '--size', 'many', '--out', 'x');
    expectError(bad, 2, 'INVALID_ARGUMENT', /--size is "many"/);
  });
});

describe('doctor', () => {
  it('examines a pair and tries it, as JSON', async () => {
    const { code, stdout, stderr } = await run(['doctor', '--json', ...pair]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const findings: { check: string; status: string; detail: string }[] = JSON.parse(stdout);
    const checks = ['node', 'addon', 'cpu', 'threads', 'memory', 'pair', 'self-test'];
    expect(findings.map(({ check }) => check)).toEqual(checks);
    for (const { check, status, detail } of findings) {
      if (check !== 'cpu' && check !== 'threads')
        expect({ check, status, detail }).toMatchObject({ status: 'ok' });
    }
    expect(findings.at(-1)!.detail).toMatch(/drafted as plain/);
  });

  it('says what is wrong with a model, with exit code 1', async () => {
    const path = file('bad.gguf', 'this is some text and no model at all');
    const { code, stdout } = await run(['doctor', '--json', '-m', path]);
    expect(code).toBe(1);
    expect(JSON.parse(stdout).at(-1)).toMatchObject({
      check: 'model',
      status: 'failed',
      detail: expect.stringMatching(/^MODEL_INVALID: .*bad\.gguf/),
      hint: expect.stringMatching(/./),
    });
  });

  it('says for people that the default model is not there, and the command that gets it', async () => {
    const { code, stdout } = await run(['doctor']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^advice {2}models: .*\n +Run: adaptive-spec models pull$/m);
  });
});
