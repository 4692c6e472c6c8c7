// How llama.cpp's own programs are asked to do the same work as this engine, and how their figures are read.
// Nothing here starts a process.

/** Tokens of context on every side. */
export const CONTEXT = 4096;

/**
 * What a run of any engine needs.
 * @typedef {{ target: string, draft: string, threads: number, maxTokens: number }} Work
 */

/**
 * One generation. `tokensPerSecond` is the engine's own figure for decoding, `decodeMs` the time it stands for; `wallMs`
 * is the whole request as its client sees it, prompt included. Engines without ids give text only.
 * @typedef {{ promptTokens: number, tokensPerSecond: number, decodeMs: number, emitted: number, wallMs?: number,
 *   drafted?: number, accepted?: number, tokens?: number[], text?: string }} Figures
 */

/** @typedef {'draft-simple' | 'ngram-simple' | 'ngram-map-k' | 'ngram-map-k4v' | 'ngram-mod' | 'ngram-cache'} SpecType */

/**
 * llama-server's drafters by the names of its --spec-type. Those of n-grams need no draft model.
 * @type {SpecType[]}
 */
export const SPEC_TYPES = [
  'draft-simple',
  'ngram-simple',
  'ngram-map-k',
  'ngram-map-k4v',
  'ngram-mod',
  'ngram-cache',
];

/**
 * Arguments that both programs take.
 * @param {Work} work
 */
function common({ target, threads }) {
  return ['-m', target, '-c', CONTEXT, '-t', threads, '-tb', threads, '--offline'];
}

/**
 * What makes either program draft with the draft model at one depth.
 * @param {Work} work
 * @param {number} depth
 * @param {'upstream' | 'ours'} build
 */
function draftSimple({ draft, threads }, depth, build) {
  const args = ['-md', draft, '--spec-type', 'draft-simple', '--spec-draft-n-max', depth];
  // Neither may end a draft early: the depth is fixed, as it is on our side.
  args.push('--spec-draft-n-min', 0, '--spec-draft-p-min', 0, '-td', threads, '-tbd', threads);
  // Without OpenMP the two thread pools spin against each other, at a tenth of the speed: let them sleep instead.
  return build === 'ours' ? [...args, '--poll', 0, '--spec-draft-poll', 0] : args;
}

/**
 * What makes llama-server draft with n-grams: as it comes, or with at most `depth` tokens.
 * @param {SpecType} type
 * @param {number} [depth]
 */
function ngrams(type, depth) {
  const args = ['--spec-type', type];
  if (depth === undefined) return args;
  if (type === 'ngram-cache')
    throw new Error('ngram-cache drafts 8 tokens, and cannot be asked for another number');
  // Its shortest draft is longer than what is asked for: 48 tokens.
  if (type === 'ngram-mod') return [...args, '--spec-ngram-mod-n-max', depth, '--spec-ngram-mod-n-min', 0];
  return [...args, `--spec-${type}-size-m`, depth];
}

/**
 * llama-server's arguments: one request at a time, nothing kept between requests. Without `type` it decodes plainly; a
 * draft model needs a depth, n-grams are as they come without one.
 * @param {Work} work
 * @param {{ type?: SpecType, depth?: number, build: 'upstream' | 'ours', port: number }} how
 * @returns {string[]}
 */
export function serverArguments(work, { type, depth, build, port }) {
  const listen = ['--host', '127.0.0.1', '--port', port, '-np', 1, '--cache-ram', 0, '--no-cache-prompt'];
  const drafting =
    type === undefined
      ? []
      : type === 'draft-simple'
        ? draftSimple(work, depth ?? 0, build)
        : ngrams(type, depth);
  return [...common(work), ...drafting, ...listen].map(String);
}

/**
 * The body of a request to llama-server's /completion. The prompt goes as ids, so that it is ours token for token.
 * @param {number[]} ids
 * @param {number} maxTokens
 */
export function serverRequest(ids, maxTokens) {
  return {
    prompt: ids,
    n_predict: maxTokens,
    temperature: 0,
    ignore_eos: true,
    cache_prompt: false,
    return_tokens: true,
    stream: false,
  };
}

/**
 * Figures from llama-server's answer. Throws where it says nothing of its time.
 * @param {any} answer
 * @returns {Figures}
 */
export function serverFigures(answer) {
  const { timings, tokens, content } = answer;
  if (!(timings?.predicted_per_second > 0) || !(timings.predicted_ms > 0))
    throw new Error(`llama-server's answer has no timings: ${JSON.stringify(answer).slice(0, 300)}`);
  if (timings.cache_n > 0)
    throw new Error(`llama-server took ${timings.cache_n} prompt tokens from its cache`);
  return {
    promptTokens: answer.tokens_evaluated,
    tokensPerSecond: timings.predicted_per_second,
    decodeMs: timings.predicted_ms,
    emitted: answer.tokens_predicted,
    drafted: timings.draft_n ?? 0,
    accepted: timings.draft_n_accepted ?? 0,
    tokens,
    text: content,
  };
}

/**
 * llama-speculative-simple's arguments. It has no plain decoding: `depth` is at least 1.
 * @param {Work} work
 * @param {{ depth: number, build: 'upstream' | 'ours', promptFile: string }} how
 * @returns {string[]}
 */
export function simpleArguments(work, { depth, build, promptFile }) {
  const what = ['-n', work.maxTokens, '--ignore-eos', '--temp', 0, '-bf', promptFile];
  return [...common(work), ...draftSimple(work, depth, build), ...what].map(String);
}

/**
 * Figures from what llama-speculative-simple prints, on either stream; its text is on stdout, after the prompt.
 * @param {string} stdout
 * @param {string} stderr
 * @param {string} prompt
 * @returns {Figures}
 */
export function simpleFigures(stdout, stderr, prompt) {
  const told = `${stdout}\n${stderr}`;
  const numbers = (/** @type {RegExp} */ pattern) => {
    const found = pattern.exec(told);
    if (!found)
      throw new Error(`llama-speculative-simple does not tell ${pattern}; it says: ${told.slice(-600)}`);
    return found.slice(1).map(Number);
  };
  const [promptTokens] = numbers(/encoded\s+(\d+) tokens/);
  const [emitted, seconds, tokensPerSecond] = numbers(
    /decoded\s+(\d+) tokens in\s+([\d.]+) seconds, speed:\s+([\d.]+)/,
  );
  const [drafted] = numbers(/n_drafted = (\d+)/);
  const [accepted] = numbers(/n_accept\s+= (\d+)/);
  const figures = { promptTokens, tokensPerSecond, decodeMs: seconds * 1000, emitted, drafted, accepted };
  const start = stdout.indexOf(prompt);
  if (start < 0) return figures;
  // It ends with line breaks of its own.
  return { ...figures, text: stdout.slice(start + prompt.length).replace(/\n+$/, '') };
}
