// The counters of speculation in a server's metrics, by the names of llama.cpp, of vLLM, of our server, of the experiment.

import { AdaptiveSpecError } from '../errors.js';
import { parseMetrics, type Sample } from './metrics-text.js';

/** Whose names the counters have. */
export type ServerKind = 'adaptive-spec' | 'vLLM' | 'llama.cpp';

/** What a server counted since it was started. */
export interface SpeculationCounters {
  server: ServerKind;
  /** Drafts verified; missing where only the experiment's two counters are there. */
  drafts?: number;
  drafted: number;
  accepted: number;
  /** Accepted tokens at the first, second, … place of a draft; empty where the server doesn't say. */
  acceptedPerPosition: number[];
  /** Tokens generated; missing where the server doesn't say. */
  tokens?: number;
  running?: number;
  waiting?: number;
  /** Seconds of generating and passes through the target, of a server that counts tokens when their request has ended. */
  byRequest?: { seconds: number; passes: number };
}

/** Names before the stems that all servers share. Ours says both, and one of them must count. */
const FAMILIES: readonly { server: ServerKind; prefix: string }[] = [
  { server: 'vLLM', prefix: 'vllm:' },
  { server: 'llama.cpp', prefix: 'llamacpp:' },
];
/** What tells ours from those whose names it says. */
const OURS = 'adaptive_spec_build_info';
const STEM = 'spec_decode_num_';
/** The experiment's own names, which llama.cpp never had. */
const EXPERIMENT = { drafted: 'llamacpp:draft_drafted_total', accepted: 'llamacpp:draft_accepted_total' };
const TOKENS = [
  'adaptive_spec_generation_tokens_total',
  'vllm:generation_tokens_total',
  'llamacpp:tokens_predicted_total',
];
const RUNNING = [
  'adaptive_spec_requests_running',
  'vllm:num_requests_running',
  'llamacpp:requests_processing',
];
const WAITING = ['adaptive_spec_requests_waiting', 'vllm:num_requests_waiting', 'llamacpp:requests_deferred'];
/** llama-server's; ours says them too, but counts at every step. */
const BY_REQUEST = { seconds: 'llamacpp:tokens_predicted_seconds_total', passes: 'llamacpp:n_decode_total' };
/** Places of a draft that are looked at: no engine drafts deeper than 64, and a label may be any number. */
const MOST_PLACES = 256;

/**
 * Reads the counters out of a text of metrics. Throws NO_SPECULATION where there are none, with what is to be done for
 * the server that it is.
 */
export function speculationCounters(text: string): SpeculationCounters {
  const samples = parseMetrics(text);
  const found = familyOf(samples);
  if (!found) throw noSpeculation(samples);
  const optional = (name: 'tokens' | 'running' | 'waiting', names: readonly string[]) => {
    const value = names.map((one) => sumOf(samples, one)).find((sum) => sum !== undefined);
    return value === undefined ? {} : { [name]: value };
  };
  const seconds = sumOf(samples, BY_REQUEST.seconds);
  const passes = sumOf(samples, BY_REQUEST.passes);
  const isByRequest = found.server === 'llama.cpp' && seconds !== undefined && passes !== undefined;
  return {
    ...found,
    ...optional('tokens', TOKENS),
    ...optional('running', RUNNING),
    ...optional('waiting', WAITING),
    ...(isByRequest ? { byRequest: { seconds, passes } } : {}),
  };
}

function familyOf(
  samples: readonly Sample[],
):
  | Pick<SpeculationCounters, 'server' | 'drafts' | 'drafted' | 'accepted' | 'acceptedPerPosition'>
  | undefined {
  for (const { server, prefix } of FAMILIES) {
    const stem = `${prefix}${STEM}`;
    const drafted = sumOf(samples, `${stem}draft_tokens_total`);
    const accepted = sumOf(samples, `${stem}accepted_tokens_total`);
    if (drafted === undefined || accepted === undefined) continue;
    const drafts = sumOf(samples, `${stem}drafts_total`);
    const acceptedPerPosition = perPosition(samples, `${stem}accepted_tokens_per_pos_total`);
    const kind = samples.some(({ name }) => name === OURS) ? 'adaptive-spec' : server;
    const counted = { drafted, accepted, acceptedPerPosition };
    return { server: kind, ...(drafts === undefined ? {} : { drafts }), ...counted };
  }
  const drafted = sumOf(samples, EXPERIMENT.drafted);
  const accepted = sumOf(samples, EXPERIMENT.accepted);
  if (drafted === undefined || accepted === undefined) return undefined;
  return { server: 'llama.cpp', drafted, accepted, acceptedPerPosition: [] };
}

/** The sum over all labels (models, engines, …); undefined where there is no such sample. */
function sumOf(samples: readonly Sample[], name: string): number | undefined {
  const values = samples.filter((sample) => sample.name === name && Number.isFinite(sample.value));
  return values.length > 0 ? values.reduce((sum, { value }) => sum + value, 0) : undefined;
}

function perPosition(samples: readonly Sample[], name: string): number[] {
  const counts: number[] = [];
  for (const { labels, value } of samples.filter((sample) => sample.name === name)) {
    const place = Number(labels.position);
    if (!Number.isInteger(place) || place < 0 || place >= MOST_PLACES || !Number.isFinite(value)) continue;
    while (counts.length <= place) counts.push(0);
    counts[place]! += value;
  }
  return counts;
}

function noSpeculation(samples: readonly Sample[]): AdaptiveSpecError {
  const has = (prefix: string) => samples.some(({ name }) => name.startsWith(prefix));
  const problem = (message: string, hint: string) => new AdaptiveSpecError('NO_SPECULATION', message, hint);
  if (has('vllm:')) {
    return problem(
      'This vLLM has no counters of speculation',
      'Start it with speculation: vllm serve … --speculative-config \'{"method":"ngram","num_speculative_tokens":5,"prompt_lookup_max":4}\'',
    );
  }
  if (has('llamacpp:')) {
    return problem(
      'This llama-server has no counters of speculation',
      'Take a newer llama-server, and start it with --metrics --spec-type draft-simple --model-draft FILE.',
    );
  }
  return problem(
    samples.length > 0
      ? 'These are the metrics of neither llama-server nor vLLM nor adaptive-spec'
      : 'The answer holds no metrics',
    'Give the address of a server: llama-server --metrics, vllm serve or adaptive-spec serve.',
  );
}
