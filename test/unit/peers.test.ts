// What peers are asked and how their figures are read; what is made of samples.
import { describe, expect, it } from 'vitest';
import { spreadOverKinds } from '../../bench/peer-prompts.mjs';
import {
  SPEC_TYPES,
  type SpecType,
  serverArguments,
  serverFigures,
  serverRequest,
  simpleArguments,
  simpleFigures,
} from '../../bench/peer-settings.mjs';
import { agreement, bestSetting, byKind, comparison, rows } from '../../bench/peer-summary.mjs';

const work = { target: 't.gguf', draft: 'd.gguf', threads: 3, maxTokens: 32 };
const after = (args: string[], flag: string) => args[args.indexOf(flag) + 1];

describe("llama.cpp's programs", () => {
  it('draft to a fixed depth with the same threads for both models', () => {
    const simple = simpleArguments(work, { depth: 8, build: 'upstream', promptFile: 'p.txt' });
    const server = serverArguments(work, { type: 'draft-simple', depth: 8, build: 'upstream', port: 99 });
    for (const args of [simple, server]) {
      expect(after(args, '--spec-draft-n-max')).toBe('8');
      expect(after(args, '--spec-draft-n-min')).toBe('0');
      expect(after(args, '--spec-draft-p-min')).toBe('0');
      for (const flag of ['-t', '-tb', '-td', '-tbd']) expect(after(args, flag)).toBe('3');
    }
    expect(after(simple, '-n')).toBe('32');
    expect(after(server, '--port')).toBe('99');
  });

  it('get no draft for plain decoding, and let threads sleep only in the build without OpenMP', () => {
    const plain = serverArguments(work, { build: 'ours', port: 99 });
    expect(plain).not.toContain('-md');
    expect(plain).not.toContain('--spec-type');
    expect(plain).not.toContain('--poll');
    const type = 'draft-simple';
    expect(serverArguments(work, { type, depth: 1, build: 'ours', port: 99 })).toContain('--poll');
    expect(serverArguments(work, { type, depth: 1, build: 'upstream', port: 99 })).not.toContain('--poll');
  });

  it('draft with n-grams without a draft model, as they come or to a depth', () => {
    for (const type of SPEC_TYPES.filter((each) => each !== 'draft-simple')) {
      const asItComes = serverArguments(work, { type, build: 'upstream', port: 99 });
      expect(after(asItComes, '--spec-type')).toBe(type);
      expect(asItComes).not.toContain('-md');
      expect(asItComes.filter((arg) => arg.startsWith('--spec-'))).toEqual(['--spec-type']);
    }
    const to = (type: SpecType) => serverArguments(work, { type, depth: 4, build: 'upstream', port: 99 });
    expect(after(to('ngram-map-k4v'), '--spec-ngram-map-k4v-size-m')).toBe('4');
    expect(after(to('ngram-mod'), '--spec-ngram-mod-n-max')).toBe('4');
    expect(after(to('ngram-mod'), '--spec-ngram-mod-n-min')).toBe('0');
    expect(() => to('ngram-cache')).toThrow('8 tokens');
  });

  it('keep no prompt', () => {
    expect(serverRequest([1, 2], 32)).toMatchObject({ prompt: [1, 2], n_predict: 32, cache_prompt: false });
    expect(serverArguments(work, { build: 'upstream', port: 99 })).toContain('--no-cache-prompt');
  });
});

describe("the server's answer", () => {
  const timings = {
    cache_n: 0,
    predicted_ms: 500,
    predicted_per_second: 62,
    draft_n: 40,
    draft_n_accepted: 10,
  };
  const answer = { content: 'x', tokens: [5, 6], tokens_evaluated: 9, tokens_predicted: 2, timings };

  it('becomes figures', () => {
    expect(serverFigures(answer)).toEqual({
      promptTokens: 9,
      tokensPerSecond: 62,
      decodeMs: 500,
      emitted: 2,
      drafted: 40,
      accepted: 10,
      tokens: [5, 6],
      text: 'x',
    });
  });

  it('is refused without timings, and with a prompt from the cache', () => {
    expect(() => serverFigures({ ...answer, timings: undefined })).toThrow('no timings');
    expect(() => serverFigures({ ...answer, timings: { ...timings, cache_n: 8 } })).toThrow('cache');
  });
});

describe('what llama-speculative-simple prints', () => {
  const log = [
    '0.14.177.766 I encoded   11 tokens in    0.170 seconds, speed:   64.826 t/s',
    '0.14.177.784 I decoded   26 tokens in   12.955 seconds, speed:    2.007 t/s',
    '0.14.177.807 I n_draft   = 4',
    '0.14.177.830 I n_drafted = 76',
    '0.14.177.842 I n_accept  = 6',
  ].join('\n');

  it('becomes figures, with the text after the prompt', () => {
    expect(simpleFigures('\n\nAsk.\nThe answer\n\n\n', log, 'Ask.\n')).toEqual({
      promptTokens: 11,
      tokensPerSecond: 2.007,
      decodeMs: 12955,
      emitted: 26,
      drafted: 76,
      accepted: 6,
      text: 'The answer',
    });
  });

  it('is refused where a figure is missing', () => {
    expect(() => simpleFigures('Ask.', log.replace(/.*decoded.*/, ''), 'Ask.')).toThrow('does not tell');
  });
});

const sample = (setting: string, promptId: string, tokensPerSecond: number, more = {}) => ({
  name: 'e',
  setting,
  promptId,
  kind: promptId.startsWith('c') ? 'code' : 'prose',
  round: 1,
  promptTokens: 3,
  tokensPerSecond,
  decodeMs: 1000 / tokensPerSecond,
  emitted: 1,
  ...more,
});

describe('samples', () => {
  const samples = [
    sample('slow', 'c1', 10),
    sample('slow', 'p1', 20),
    sample('fast', 'c1', 20),
    sample('fast', 'p1', 40, { wallMs: 50, drafted: 4, accepted: 1 }),
  ];

  it('become a row for all kinds and one for each, tokens over time', () => {
    const slow = rows(samples).filter(({ setting }) => setting === 'slow');
    expect(slow.map(({ kind }) => kind)).toEqual(['all', 'code', 'prose']);
    expect(slow[0]!.tokensPerSecond).toBeCloseTo(2 / (0.1 + 0.05));
    const prose = rows(samples, () => 'mind').find((row) => row.setting === 'fast' && row.kind === 'prose');
    expect(prose?.note).toBe('20.0 t/s of whole requests, 1 of 4 draft tokens accepted');
  });

  it('tell the best setting and the ratio to it, prompt by prompt', () => {
    expect(bestSetting(samples, 'e')).toBe('fast');
    expect(bestSetting(samples, 'e', (setting) => setting !== 'fast')).toBe('slow');
    expect(bestSetting(samples, 'nobody')).toBeUndefined();
    const { ratio, prompts } = comparison(
      samples,
      { name: 'e', setting: 'fast' },
      { name: 'e', setting: 'slow' },
    );
    expect(prompts).toBe(2);
    expect(ratio.value).toBeCloseTo(2);
    expect(ratio.low).toBeCloseTo(2);
  });

  it("are held against a peer's fastest setting of each kind", () => {
    const theirs = [
      sample('fast on code', 'c1', 8, { name: 'peer' }),
      sample('fast on code', 'p1', 2, { name: 'peer' }),
      sample('fast on prose', 'c1', 1, { name: 'peer' }),
      sample('fast on prose', 'p1', 5, { name: 'peer' }),
    ];
    const found = byKind([...samples, ...theirs], { name: 'e', setting: 'fast' }, 'peer');
    expect(found.map(({ kind, peer, ratio }) => [kind, peer.setting, ratio.value])).toEqual([
      ['code', 'fast on code', expect.closeTo(2.5)],
      ['prose', 'fast on prose', expect.closeTo(8)],
    ]);
    expect(byKind(samples, { name: 'e', setting: 'fast' }, 'nobody')).toEqual([]);
  });

  it('agree as far as both outputs go, by ids where there are any', () => {
    const found = agreement(
      [
        sample('plain', 'c1', 1, { tokens: [1, 2, 3], text: 'abc' }),
        sample('longer', 'c1', 1, { tokens: [1, 2, 3, 4], text: 'abcd' }),
        sample('other', 'c1', 1, { tokens: [1, 9, 3], text: 'abc' }),
        sample('text only', 'c1', 1, { text: 'abX' }),
      ],
      { name: 'e', setting: 'plain' },
    );
    expect(
      found.map(({ setting, equal, differing }) => [setting, equal, differing.map(({ at }) => at)]),
    ).toEqual([
      ['plain', 1, []],
      ['longer', 1, []],
      ['other', 0, [1]],
      ['text only', 0, [2]],
    ]);
  });
});

it('prompts are taken from every kind in turn', () => {
  const all = ['a1', 'a2', 'a3', 'b1', 'c1'].map((id) => ({ id, context: id[0]! }));
  expect(spreadOverKinds(all, 4).map(({ id }) => id)).toEqual(['a1', 'b1', 'c1', 'a2']);
  expect(spreadOverKinds(all, 99)).toHaveLength(5);
});
