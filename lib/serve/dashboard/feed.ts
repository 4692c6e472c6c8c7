// What the dashboard is told: requests, steps with their text cut into what was drafted and what not, figures twice a second.

import { type ContextKind, ContextKindClassifier } from '../../control/context-kind.js';
import type { StepReport } from '../../control/controller.js';
import { controllerSummaries } from '../../control/controllers.js';
import { CostModel } from '../../control/costs.js';
import type { GenerationResult } from '../../result.js';
import type { ServedEngine } from '../served-engine.js';
import type { BegunRequest, ServerState } from '../state.js';
import { type Regret, RegretEstimate } from './regret.js';

/** Steps that a page which is opened later still gets. */
const KEPT_STEPS = 500;
/** Requests that it still gets. */
const KEPT_REQUESTS = 12;
/** Speeds that it still gets: two minutes. */
const KEPT_SPEEDS = 240;
/** Steps that acceptance and the like are averaged over. */
const WINDOW = 256;
/** Steps are sent together this often: as smooth as eyes need. */
const BATCH_MS = 100;
const FIGURES_MS = 500;
/** Figures that are taken after the last step, so that speed is seen to fall to 0. */
const QUIET_FIGURES = 4;
/** Rows of the cost curve that are shown. */
const CURVE_ROWS = 33;
/** Characters of rejected tokens that are sent. */
const MOST_REJECTED = 80;

/** One step, as the page gets it. */
export interface FeedStep {
  /** Its request's number. */
  request: number;
  step: number;
  depth: number;
  drafted: number;
  verified: number;
  accepted: number;
  text: string;
  /** Characters at the text's end that the target wrote itself; -1 where that can't be told. */
  own: number;
  /** The draft's text from the first wrong token on; '' where nothing was wrong. */
  rejected: string;
  kind: ContextKind;
  ms: number;
  drafter: string;
  late: boolean;
}

export interface FeedRequest {
  number: number;
  endpoint: BegunRequest['kind'];
  controller: string;
  depth?: number;
  promptTokens: number;
  maxTokens: number;
  tokens: number;
  /** Time of its steps. */
  ms: number;
  /** How it ended; missing while it runs. */
  end?: string;
}

export interface FeedSpeed {
  /** Milliseconds since the feed began. */
  at: number;
  /** Of all requests, since the speed before. */
  tokensPerSecond: number;
  /** What one sequence would have by plain decoding, by the cost table. */
  plainPerSecond?: number;
}

/** How things stand. Rates are missing where nothing was drafted. */
export interface FeedFigures extends FeedSpeed {
  /** Over the last steps, as all that follows. */
  acceptance?: number;
  meanLength?: number;
  /** Tokens drafted per step: a stop rule ends drafts before the K that was planned. */
  meanDrafted?: number;
  /** Verified and accepted at the first, second, … place. */
  places: [verified: number, accepted: number][];
  regret?: Regret;
  costs?: {
    /** v(1), v(2), … in milliseconds, at `contextLength`. */
    verifyMs: number[];
    /** Where it was measured. */
    rows: number[];
    draftMs: number;
    contextLength: number;
  };
}

/** Where the page begins. */
export interface FeedSnapshot {
  model: { description: string; kernels: string; threads: number; contextSize: number; maxDepth: number };
  policy: { controller: string; depth?: number };
  controllers: { name: string; summary: string }[];
  queue: { running: number; waiting: number; parallel: number };
  requests: FeedRequest[];
  steps: FeedStep[];
  speeds: FeedSpeed[];
  figures?: FeedFigures;
}

export interface FeedEvents {
  request: FeedRequest;
  steps: FeedStep[];
  figures: FeedFigures;
  queue: { running: number; waiting: number };
  policy: { controller: string; depth?: number };
}

export type FeedListener = <Name extends keyof FeedEvents>(event: Name, data: FeedEvents[Name]) => void;

interface Running {
  request: FeedRequest;
  classifier: ContextKindClassifier;
}

/** Listens from when it is made until `close`; no timer runs while nothing is generated. */
export class DashboardFeed {
  readonly #engine: ServedEngine;
  readonly #state: ServerState;
  readonly #began = performance.now();
  readonly #off: (() => void)[];
  readonly #listeners = new Set<FeedListener>();
  readonly #running = new Map<string, Running>();
  readonly #requests: FeedRequest[] = [];
  readonly #steps: FeedStep[] = [];
  readonly #speeds: FeedSpeed[] = [];
  #figures: FeedFigures | undefined;
  readonly #regret = new RegretEstimate();
  #number = 0;
  #batch: FeedStep[] = [];
  #batchTimer: NodeJS.Timeout | undefined;
  #figuresTimer: NodeJS.Timeout | undefined;
  #quiet = 0;
  #tokens = 0;
  #tokensAt = 0;
  #contextLength = 0;

  constructor(engine: ServedEngine, state: ServerState) {
    this.#engine = engine;
    this.#state = state;
    this.#off = [
      state.on('begin', (request) => this.#begin(request)),
      state.on('step', (id, report) => this.#step(id, report)),
      state.on('end', (id, result, error) => this.#end(id, result, error)),
      state.on('queue', (running, waiting) => this.#tell('queue', { running, waiting })),
      state.on('policy', () => this.#tell('policy', this.#policy)),
    ];
  }

  /** Adds a listener; answers a function that takes it off again. */
  listen(listener: FeedListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  snapshot(): FeedSnapshot {
    // What waits in the batch is in the snapshot already, and must not come twice.
    this.#flush();
    const { description, kernels, threads, contextSize, maxDepth, parallel } = this.#engine.info;
    return {
      model: { description, kernels, threads, contextSize, maxDepth },
      policy: this.#policy,
      controllers: Object.entries(controllerSummaries).map(([name, summary]) => ({ name, summary })),
      queue: { running: this.#state.running, waiting: this.#state.waiting, parallel },
      requests: this.#requests,
      steps: this.#steps,
      speeds: this.#speeds,
      ...(this.#figures ? { figures: this.#figures } : {}),
    };
  }

  close(): void {
    for (const off of this.#off) off();
    clearTimeout(this.#batchTimer);
    clearInterval(this.#figuresTimer);
    this.#listeners.clear();
  }

  get #policy(): FeedSnapshot['policy'] {
    const { controller, depth } = this.#state;
    return depth === undefined ? { controller } : { controller: 'fixed', depth };
  }

  #begin({ id, kind, controller, depth, promptTokens, maxTokens }: BegunRequest): void {
    const request: FeedRequest = {
      number: ++this.#number,
      endpoint: kind,
      controller,
      ...(depth === undefined ? {} : { depth }),
      promptTokens,
      maxTokens,
      tokens: 0,
      ms: 0,
    };
    this.#running.set(id, { request, classifier: new ContextKindClassifier() });
    keep(this.#requests, request, KEPT_REQUESTS);
    this.#tell('request', request);
  }

  #step(id: string, report: StepReport): void {
    const running = this.#running.get(id);
    if (!running || report.step === 0) return;
    const { request, classifier } = running;
    classifier.push(report.text);
    const ms = report.draftMs + report.verifyMs + report.catchUpMs + report.otherMs;
    request.tokens += report.tokens.length;
    request.ms += ms;
    this.#tokens += report.tokens.length;
    this.#contextLength = report.contextLength;
    this.#regret.learn(report, this.#engine.costs);
    const { step, depth, drafted, verified, accepted, text, drafter, late } = report;
    const told: FeedStep = {
      ...{ request: request.number, step, depth, drafted, verified, accepted, text },
      own: this.#ownCharacters(report),
      rejected: this.#rejectedText(report),
      ...{ kind: classifier.kind, ms, drafter, late },
    };
    keep(this.#steps, told, KEPT_STEPS);
    this.#batch.push(told);
    this.#batchTimer ??= setTimeout(() => this.#flush(), BATCH_MS).unref();
    this.#quiet = 0;
    if (this.#figuresTimer) return;
    this.#tokensAt = performance.now();
    this.#figuresTimer = setInterval(() => this.#measure(), FIGURES_MS).unref();
  }

  #end(id: string, result: GenerationResult | undefined, error: unknown): void {
    const running = this.#running.get(id);
    if (!running) return;
    this.#running.delete(id);
    this.#flush();
    running.request.end = result?.finishReason ?? (error === undefined ? 'aborted' : 'error');
    this.#tell('request', running.request);
  }

  /** The last token of a step is the target's. Text that is held back, or whose tokens are parts of characters, can't be cut. */
  #ownCharacters({ text, tokens, accepted, branches }: StepReport): number {
    const taken = accepted + (branches?.accepted ?? 0);
    if (taken === 0) return text.length;
    if (taken >= tokens.length) return 0;
    const [whole, drafted] = [this.#textOf(tokens), this.#textOf(tokens.subarray(0, taken))];
    return whole === text && text.startsWith(drafted) ? text.length - drafted.length : -1;
  }

  #rejectedText({ verified, accepted, draftTokens }: StepReport): string {
    if (accepted >= verified) return '';
    return this.#textOf(draftTokens.subarray(accepted, verified)).slice(0, MOST_REJECTED);
  }

  #textOf(tokens: Int32Array): string {
    try {
      return this.#engine.detokenize(tokens);
    } catch {
      // The engine is closing: nobody will miss it.
      return '';
    }
  }

  #flush(): void {
    clearTimeout(this.#batchTimer);
    this.#batchTimer = undefined;
    if (this.#batch.length === 0) return;
    this.#tell('steps', this.#batch);
    this.#batch = [];
  }

  #measure(): void {
    if (this.#quiet++ >= QUIET_FIGURES) {
      clearInterval(this.#figuresTimer);
      this.#figuresTimer = undefined;
      return;
    }
    const now = performance.now();
    const tokensPerSecond = (1000 * this.#tokens) / Math.max(1, now - this.#tokensAt);
    this.#tokens = 0;
    this.#tokensAt = now;
    const { costs, plainPerSecond } = this.#costFigures();
    const plain = plainPerSecond === undefined ? {} : { plainPerSecond };
    const speed: FeedSpeed = { at: Math.round(now - this.#began), tokensPerSecond, ...plain };
    keep(this.#speeds, speed, KEPT_SPEEDS);
    const regret = this.#regret.estimate(this.#engine.info.maxDepth);
    const figures: FeedFigures = {
      ...speed,
      ...windowFigures(this.#steps.slice(-WINDOW)),
      ...(costs ? { costs } : {}),
      ...(regret ? { regret } : {}),
    };
    this.#figures = figures;
    this.#tell('figures', figures);
  }

  #costFigures(): Pick<FeedFigures, 'costs' | 'plainPerSecond'> {
    const { costs: table } = this.#engine;
    if (!table) return {};
    const contextLength = this.#contextLength;
    const verifyMs = Array.from(new CostModel(table, CURVE_ROWS).curve(CURVE_ROWS, contextLength));
    const rows = [...new Set(table.target.map((point) => point.rows))].filter((n) => n <= CURVE_ROWS);
    return {
      costs: { verifyMs, rows: rows.sort((a, b) => a - b), draftMs: table.draft.msPerToken, contextLength },
      plainPerSecond: 1000 / (verifyMs[0]! + table.overheadMs),
    };
  }

  #tell<Name extends keyof FeedEvents>(event: Name, data: FeedEvents[Name]): void {
    for (const listener of this.#listeners) listener(event, data);
  }
}

/** Sums over some steps. */
export function windowFigures(
  steps: readonly FeedStep[],
): Pick<FeedFigures, 'acceptance' | 'meanLength' | 'meanDrafted' | 'places'> {
  const places: [number, number][] = [];
  let [drafted, accepted] = [0, 0];
  for (const step of steps) {
    drafted += step.drafted;
    accepted += step.accepted;
    // Places behind the first wrong one were never asked about.
    const seen = Math.min(step.verified, step.accepted + 1);
    for (let place = 0; place < seen; place++) {
      places[place] ??= [0, 0];
      places[place]![0]++;
      if (place < step.accepted) places[place]![1]++;
    }
  }
  return {
    ...(drafted > 0 ? { acceptance: accepted / drafted } : {}),
    ...(steps.length > 0
      ? { meanLength: 1 + accepted / steps.length, meanDrafted: drafted / steps.length }
      : {}),
    places,
  };
}

function keep<T>(list: T[], item: T, most: number): void {
  list.push(item);
  if (list.length > most) list.shift();
}
