// `trimDraft` from files to a file: the engine drafts with it, and proposes what the whole draft would among its tokens.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEngine } from '../../lib/index.js';
import { readGguf } from '../../lib/models/gguf-read-raw.js';
import { type GgufFile, type GgufTensor, writeGguf } from '../../lib/models/gguf-write.js';
import { type TrimDraftOptions, trimDraft } from '../../lib/models/trim-draft.js';
import { TINY_VOCABULARY_SIZE, type TinyModels, tinyModels } from '../tiny-models.js';
import { BEGINNINGS } from './tiny-engine.js';

const size = 300;
let folder: string;
let models: TinyModels;
let corpus: string;
let trim: (more?: Partial<TrimDraftOptions>) => ReturnType<typeof trimDraft>;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-trim-'));
  models = await tinyModels();
  corpus = at('corpus');
  mkdirSync(corpus);
  writeFileSync(join(corpus, 'a.txt'), BEGINNINGS.join('\n').repeat(50));
  trim = (more) =>
    trimDraft({
      ...{
        draft: models.draft,
        target: models.target,
        corpus: [corpus],
        size,
        out: at('out.gguf'),
        offline: true,
      },
      ...more,
    });
});
afterAll(() => rmSync(folder, { recursive: true }));

const ids = (file: GgufFile, name: string) => file.metadata.get(`adaptive_spec.${name}`)?.value as number[];

/** Text and proposals of one greedy request. */
async function proposals(draft: string) {
  const engine = await createEngine({ model: models.target, draft, contextSize: 512, calibrate: 'off' });
  const drafted: number[][] = [];
  engine.on('step', ({ draftTokens }) => drafted.push([...draftTokens]));
  const tokens: number[][] = [];
  for (const prompt of BEGINNINGS) {
    const result = await engine.generate({ prompt, depth: 4, maxTokens: 60, ignoreEos: true });
    tokens.push([...result.tokens]);
  }
  await engine.close();
  return { drafted, tokens };
}

/**
 * The whole draft made to say what it would say with the trimmed one's tokens alone: each other token reads as it does
 * there, and has the row of the lowest kept id, which wins ties. Its argmax over all is then that over the kept ones.
 */
function restricted(draft: GgufFile, trimmed: GgufFile): GgufFile {
  const kept = ids(trimmed, 'draft_to_target');
  const reading = ids(trimmed, 'target_to_draft');
  const rows = (tensor: GgufTensor, from: (id: number) => number): GgufTensor => {
    const width = tensor.data.byteLength / tensor.shape[1]!;
    const data = new Uint8Array(tensor.data.byteLength);
    for (let id = 0; id < TINY_VOCABULARY_SIZE; id++)
      data.set(tensor.data.subarray(from(id) * width, (from(id) + 1) * width), id * width);
    return { ...tensor, data };
  };
  const tensors = draft.tensors.map((tensor) => {
    if (tensor.name === 'token_embd.weight') return rows(tensor, (id) => kept[reading[id]!]!);
    if (tensor.name === 'output.weight') return rows(tensor, (id) => (kept.includes(id) ? id : kept[0]!));
    return tensor;
  });
  return { metadata: draft.metadata, tensors };
}

describe('a trimmed draft', () => {
  it('proposes what the whole one would among its tokens, and the text stays the same', async () => {
    const result = await trim();
    expect(result).toMatchObject({
      path: at('out.gguf'),
      size,
      from: TINY_VOCABULARY_SIZE,
      coverageBefore: 1,
    });
    expect(result.coverage).toBe(1); // these texts use few tokens
    const trimmed = await readGguf(at('out.gguf'));
    expect(ids(trimmed, 'draft_to_target')[0]).toBe(0);
    await writeGguf(at('restricted.gguf'), restricted(await readGguf(models.draft), trimmed));
    const own = await proposals(at('out.gguf'));
    const wanted = await proposals(at('restricted.gguf'));
    expect(own.drafted.flat().length).toBeGreaterThan(100);
    expect(own).toEqual(wanted);
    expect(own.tokens).toEqual((await proposals(models.draft)).tokens);
  });

  it('has special tokens and bytes whatever the corpus has, then what is frequent, the lowest id first', async () => {
    writeFileSync(
      at('ids.jsonl'),
      '{"tokens":[300,300,299,299,290]}\n\n{"tokens":[290,290,1,298],"loop":2}\n',
    );
    await trim({ corpus: [at('ids.jsonl')], size: 259 + 4, out: at('few.gguf') });
    const kept = ids(await readGguf(at('few.gguf')), 'draft_to_target');
    expect(kept.slice(0, 259)).toEqual(Array.from({ length: 259 }, (_, id) => id));
    // 290 came three times before the loop, 299 and 300 twice; then the lowest of those that never came.
    expect(kept.slice(259)).toEqual([259, 290, 299, 300]);
  });

  it('is the same, byte for byte, every time', async () => {
    await trim({ out: at('one.gguf') });
    await trim({ out: at('two.gguf') });
    expect(readFileSync(at('one.gguf')).equals(readFileSync(at('two.gguf')))).toBe(true);
    expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('counts text in JSON lines as it counts text files', async () => {
    writeFileSync(at('text.jsonl'), `${JSON.stringify({ text: ' the the the world' })}\n`);
    writeFileSync(at('text.txt'), ' the the the world');
    const lines = await trim({ corpus: [at('text.jsonl')], out: at('lines.gguf') });
    const text = await trim({ corpus: [at('text.txt')], out: at('text.gguf') });
    expect(lines.corpusTokens).toBe(text.corpusTokens);
    expect(readFileSync(at('lines.gguf')).equals(readFileSync(at('text.gguf')))).toBe(true);
  });
});

describe('refused, with nothing written', () => {
  const cases: [what: string, change: () => Partial<TrimDraftOptions>, code: string, message: RegExp][] = [
    [
      'no fewer tokens',
      () => ({ size: TINY_VOCABULARY_SIZE }),
      'INVALID_ARGUMENT',
      /the draft has \d+ tokens/,
    ],
    [
      'no room for bytes',
      () => ({ size: 100 }),
      'INVALID_ARGUMENT',
      /special tokens and bytes alone are 259/,
    ],
    ['half a token', () => ({ size: 270.5 }), 'INVALID_ARGUMENT', /^size is 270.5/],
    ['no corpus', () => ({ corpus: [] }), 'INVALID_ARGUMENT', /^corpus/],
    [
      'a corpus that is not there',
      () => ({ corpus: [at('nowhere')] }),
      'INVALID_ARGUMENT',
      /nowhere can't be read/,
    ],
    ['an empty corpus', () => ({ corpus: [fileOf('empty.txt', '')] }), 'INVALID_ARGUMENT', /no tokens/],
    [
      'lines of something else',
      () => ({ corpus: [fileOf('bad.jsonl', '{"text":"a"}\n{"prompt":1}\n')] }),
      'INVALID_ARGUMENT',
      /bad\.jsonl:2 has neither/,
    ],
    [
      "another tokenizer's ids",
      () => ({ corpus: [fileOf('far.jsonl', '{"tokens":[99999]}')] }),
      'INVALID_ARGUMENT',
      /the token 99999/,
    ],
    ["another target's draft", () => ({ draft: models.draftOtherTexts }), 'VOCAB_MISMATCH', /token \d+ is/],
    ['a draft that is no chain', () => ({ draft: models.recurrent }), 'UNSUPPORTED', /can't draft for/],
    ['a file that is read', () => ({ out: models.draft }), 'INVALID_ARGUMENT', /would be overwritten/],
    [
      'a folder that is not there',
      () => ({ out: at('no/where.gguf') }),
      'INVALID_ARGUMENT',
      /can't be written/,
    ],
    ['an option that is none', () => ({ threads: 1 }) as object, 'INVALID_ARGUMENT', /threads/],
  ];
  const fileOf = (name: string, content: string) => {
    writeFileSync(at(name), content);
    return at(name);
  };
  it.each(cases)('%s', async (_, change, code, message) => {
    rmSync(at('refused.gguf'), { force: true });
    const before = readFileSync(models.draft);
    await expect(trim({ out: at('refused.gguf'), ...change() })).rejects.toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
    expect(existsSync(at('refused.gguf'))).toBe(false);
    expect(readFileSync(models.draft).equals(before)).toBe(true);
  });
});
