// Watches a server's counters of speculation, and asks the experiment's controller what K it would choose on them.

import { AdaptiveSpecController } from '../control/adaptive-spec-controller.js';
import { AdaptiveSpecError } from '../errors.js';
import type { AuditLog } from './audit-log.js';
import { type LiveTokens, liveTokens, type RunningSlots, runningSlots } from './running-slots.js';
import { type ServerKind, type SpeculationCounters, speculationCounters } from './speculation-counters.js';

/** A server that hasn't answered by then doesn't. */
const TIMEOUT_MS = 10_000;
/** Metrics of a server with many models are some hundred kilobytes. */
const MOST_BYTES = 16 * 2 ** 20;

export interface WatchOptions {
  /** Address of the server, or of its metrics. */
  url: URL;
  apiKey?: string | undefined;
  /** Range of K. Default 4 to 24, as the experiment has it. */
  kMin?: number | undefined;
  kMax?: number | undefined;
  audit?: AuditLog | undefined;
}

/** What happened between two readings, and what the controller makes of it. Rates are missing where nothing was drafted. */
export interface WatchReading {
  /** ISO 8601, UTC. */
  ts: string;
  server: ServerKind;
  /** Of the first reading: nothing is known of the time before it but its sums. */
  first: boolean;
  /** The server began to count anew: it was restarted. */
  restarted: boolean;
  drafts?: number;
  drafted: number;
  accepted: number;
  /** Accepted / drafted, 0 to 1. */
  acceptance?: number;
  /** Emitted tokens per step: accepted per draft, and the target's own. */
  meanAcceptanceLength?: number;
  /** Accepted at the first, second, … place, of all drafts. */
  acceptancePerPosition?: number[];
  tokens?: number;
  /** By this clock; of a server that counts a request when it has ended, by the time that it generated. */
  tokensPerSecond?: number;
  /** Of such a server's requests that run, which are in none of the counts yet. */
  live?: LiveTokens;
  running?: number;
  waiting?: number;
  /** Since the server was started. */
  total: { drafts?: number; drafted: number; accepted: number; acceptance?: number };
  /** Places that the server has counted: it drafts, or has drafted, so deep. */
  serverDepth?: number;
  /** What the controller would choose now, and why. */
  k: number;
  reason: string;
  /** Acceptance rate over the readings in its window, 0 to 1. */
  rollingAcceptance: number;
  /** K before, where this reading changed it. */
  changedFrom?: number;
}

/** The address of a server's metrics. Throws INVALID_ARGUMENT where it is none. */
export function metricsUrl(text: string): URL {
  const problem = (message: string) =>
    new AdaptiveSpecError('INVALID_ARGUMENT', message, 'Give an address, such as http://localhost:8080.');
  let url: URL;
  try {
    url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  } catch {
    throw problem(`${JSON.stringify(text.slice(0, 200))} is no address`);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw problem(`${url.protocol} can't be watched`);
  if (url.username !== '' || url.password !== '') {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      'The address has a password in it',
      'Leave it out, and give --api-key.',
    );
  }
  if (!url.pathname.endsWith('/metrics')) url.pathname = `${url.pathname.replace(/\/+$/, '')}/metrics`;
  url.hash = '';
  return url;
}

/** Keeps the last reading, so that the next tells what happened in between. */
export class ServerWatch {
  readonly #options: WatchOptions;
  #controller: AdaptiveSpecController;
  #last: { counters: SpeculationCounters; slots: RunningSlots | undefined; atMs: number } | undefined;
  #k = 0;

  /** Throws INVALID_ARGUMENT for a range of K, or a key, that can't be meant. */
  constructor(options: WatchOptions) {
    this.#options = options;
    this.#controller = this.#begin(undefined);
    if (options.apiKey !== undefined && !/^[\x21-\x7e]+$/.test(options.apiKey)) {
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        'The API key has characters that no header can carry',
        'Give the key as the server has it, without spaces or line ends.',
      );
    }
  }

  /**
   * Reads the counters. Throws UNREACHABLE, REFUSED, NO_SPECULATION, AUDIT_FAILED (under `onError: 'fail'`), or the
   * signal's reason.
   */
  async read(signal: AbortSignal): Promise<WatchReading> {
    const counters = speculationCounters(await this.#fetch(signal));
    const runs = counters.byRequest !== undefined && (counters.running ?? 0) > 0;
    return this.#take(counters, runs ? await this.#slots(signal) : undefined, performance.now());
  }

  #take(counters: SpeculationCounters, slots: RunningSlots | undefined, atMs: number): WatchReading {
    const last = this.#last;
    this.#last = { counters, slots, atMs };
    const serverDepth = counters.acceptedPerPosition.length;
    // llama-server tells its places with the first request that has drafted. Ours has as many as were drafted by then.
    const isNew = !last || (last.counters.drafted === 0 && counters.server !== 'adaptive-spec');
    if (isNew && serverDepth > 0) this.#controller = this.#begin(serverDepth);
    const restarted = last !== undefined && counters.drafted < last.counters.drafted;
    const before = last && !restarted ? last.counters : undefined;
    const since = (name: 'drafts' | 'drafted' | 'accepted' | 'tokens') =>
      // Before the first reading everything is "since the start", of which the first reading has the sums.
      last ? Math.max(0, (counters[name] ?? 0) - (before?.[name] ?? 0)) : 0;
    const [drafts, drafted, tokens] = [since('drafts'), since('drafted'), since('tokens')];
    // llama.cpp prints six digits: of large counters a difference may be off.
    const accepted = Math.min(since('accepted'), drafted);
    const change = this.#decide(accepted, drafted);
    const seconds = last ? (atMs - last.atMs) / 1000 : 0;
    const { byRequest } = counters;
    const generating = byRequest ? byRequest.seconds - (before?.byRequest?.seconds ?? 0) : seconds;
    const runs = byRequest !== undefined && (counters.running ?? 0) > 0;
    const totalPasses = byRequest?.passes ?? 0;
    const passes = totalPasses - (before?.byRequest?.passes ?? 0);
    const { k, reason } = this.#controller.explain();
    return {
      ts: new Date().toISOString(),
      server: counters.server,
      first: last === undefined,
      restarted,
      ...(counters.drafts === undefined ? {} : { drafts }),
      drafted,
      accepted,
      ...(drafted > 0 ? { acceptance: accepted / drafted } : {}),
      ...(drafts > 0
        ? {
            meanAcceptanceLength: 1 + accepted / drafts,
            acceptancePerPosition: counters.acceptedPerPosition.map((count, place) =>
              Math.min(1, Math.max(0, count - (before?.acceptedPerPosition[place] ?? 0)) / drafts),
            ),
          }
        : {}),
      ...(counters.tokens === undefined || seconds <= 0 ? {} : { tokens }),
      ...(counters.tokens === undefined || seconds <= 0 || generating <= 0
        ? {}
        : { tokensPerSecond: tokens / generating }),
      ...(runs ? { live: liveTokens(slots, last?.slots, { passes, totalPasses, seconds }) } : {}),
      ...(counters.running === undefined ? {} : { running: counters.running }),
      ...(counters.waiting === undefined ? {} : { waiting: counters.waiting }),
      total: {
        ...(counters.drafts === undefined ? {} : { drafts: counters.drafts }),
        drafted: counters.drafted,
        accepted: counters.accepted,
        ...(counters.drafted > 0 ? { acceptance: counters.accepted / counters.drafted } : {}),
      },
      ...(serverDepth > 0 ? { serverDepth } : {}),
      k,
      reason,
      rollingAcceptance: this.#controller.rollingAcceptance(),
      ...change,
    };
  }

  /** A reading counts as a step of the experiment's wrapper did: one acceptance rate, and so many drafted tokens. */
  #decide(accepted: number, drafted: number): { changedFrom?: number } {
    const controller = this.#controller;
    controller.recordAcceptance(accepted, drafted);
    if (!controller.shouldAdjust()) return {};
    const from = this.#k;
    this.#k = controller.computeNewK();
    if (this.#k === from) return {};
    const { k, reason, acceptance } = controller.explain();
    this.#options.audit?.kChanged({ from, to: k, acceptance, reason });
    return { changedFrom: from };
  }

  /** K starts at what the server drafts, where that is known, as near as the range allows. */
  #begin(serverDepth: number | undefined): AdaptiveSpecController {
    const { kMin = 4, kMax = 24 } = this.#options;
    const start = serverDepth === undefined ? {} : { kCurrent: Math.min(Math.max(serverDepth, kMin), kMax) };
    const controller = new AdaptiveSpecController({ kMin, kMax, ...start });
    this.#k = controller.explain().k;
    return controller;
  }

  /** What runs now; undefined where the server doesn't say (`--no-slots`). */
  async #slots(signal: AbortSignal): Promise<RunningSlots | undefined> {
    const url = new URL(this.#options.url);
    url.pathname = url.pathname.replace(/metrics$/, 'slots');
    try {
      const response = await this.#get(url, signal);
      return response.ok ? runningSlots(JSON.parse(await bounded(response))) : undefined;
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }

  #get(url: URL, signal: AbortSignal): Promise<Response> {
    const { apiKey } = this.#options;
    return fetch(url, {
      headers: apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` },
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
  }

  async #fetch(signal: AbortSignal): Promise<string> {
    const { url, apiKey } = this.#options;
    try {
      const response = await this.#get(url, signal);
      if (!response.ok) throw refused(url, response.status, apiKey !== undefined);
      return await bounded(response);
    } catch (error) {
      if (error instanceof AdaptiveSpecError) throw error;
      signal.throwIfAborted();
      throw new AdaptiveSpecError(
        'UNREACHABLE',
        `${url.origin} can't be reached (${reasonOf(error)})`,
        'Check the address and that the server runs; `curl` it from here.',
        { cause: error },
      );
    }
  }
}

async function bounded(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MOST_BYTES) {
      throw new AdaptiveSpecError(
        'NO_SPECULATION',
        `The answer is longer than ${MOST_BYTES / 2 ** 20} MiB: these are no metrics`,
        'Give the address of a server, or of its /metrics.',
      );
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function refused({ origin, pathname }: URL, status: number, hasKey: boolean): AdaptiveSpecError {
  const problem = (hint: string) =>
    new AdaptiveSpecError('REFUSED', `${origin}${pathname} answers with HTTP ${status}`, hint);
  if (status === 401 || status === 403) {
    return problem(hasKey ? 'The key is not the right one: give another --api-key.' : 'Give --api-key.');
  }
  if (status === 501) return problem('Start llama-server with --metrics.');
  if (status === 404) {
    return problem(
      'There are no metrics at this address: is it the right port? llama-server needs --metrics.',
    );
  }
  return problem(
    status === 503 ? 'The server is loading or ending: try again.' : "See the server's own log.",
  );
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  if (error.name === 'TimeoutError') return `no answer within ${TIMEOUT_MS / 1000} s`;
  const cause = error.cause as { code?: unknown; message?: unknown } | undefined;
  return String(cause?.code ?? cause?.message ?? error.message);
}
