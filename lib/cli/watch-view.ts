// How a reading of `adaptive-spec watch` looks: a line of a log, or a block on a terminal.

import type { LiveTokens } from '../observe/running-slots.js';
import type { WatchReading } from '../observe/server-watch.js';
import { percent } from '../percent.js';
import { coloursFor } from './console.js';

const BARS = '▁▂▃▄▅▆▇█';
/** Readings that the block's curve shows. */
const CURVE = 40;
/** Places of a draft that the block names. */
const PLACES = 10;

/** One reading as one line without colours. */
export function lineOf(reading: WatchReading): string {
  return [reading.ts.slice(11, 19), ...partsOf(reading), choiceOf(reading)].join('  ');
}

/** The last readings as lines that fit on a terminal of so many columns. */
export function blockOf(
  url: URL,
  readings: readonly WatchReading[],
  columns: number,
  stream: NodeJS.WriteStream,
): string[] {
  const { bold, dim, green, yellow } = coloursFor(stream);
  const reading = readings[readings.length - 1]!;
  const { total, acceptancePerPosition, serverDepth } = reading;
  const curve = readings
    .slice(-Math.min(CURVE, Math.max(0, columns - 12)))
    .map(({ acceptance }) => (acceptance === undefined ? ' ' : bar(acceptance)))
    .join('');
  const change = readings.findLast(({ changedFrom }) => changedFrom !== undefined);
  const fit = (text: string) => text.slice(0, Math.max(1, columns - 1));
  const lines: [string, (text: string) => string][] = [
    [`${reading.server}  ${url.host}  ${reading.ts.slice(11, 19)}`, bold],
    [`accepted   ${curve}`, green],
    [`           ${partsOf(reading).join('  ')}`, String],
    [
      `by place   ${
        (acceptancePerPosition ?? [])
          .slice(0, PLACES)
          .map((share) => percent(share))
          .join(' ') || '–'
      }`,
      String,
    ],
    [
      `in all     ${total.acceptance === undefined ? 'nothing drafted since it was started' : `${percent(total.acceptance)} of ${whole(total.drafted)}`}`,
      dim,
    ],
    [`adaptive   ${choiceOf(reading)}`, bold],
  ];
  if (change)
    lines.push([`           K ${change.changedFrom} -> ${change.k} at ${change.ts.slice(11, 19)}`, yellow]);
  if (serverDepth !== undefined && serverDepth !== reading.k)
    lines.push([`           ${advice(reading)}`, dim]);
  return lines.map(([text, paint]) => paint(fit(text)));
}

/** What happened since the reading before. */
function partsOf(reading: WatchReading): string[] {
  const { first, restarted, acceptance, drafted, drafts, meanAcceptanceLength, tokens, tokensPerSecond } =
    reading;
  const { total, running, waiting, live } = reading;
  const parts: string[] = [];
  if (restarted) parts.push('the server was restarted');
  if (first) {
    parts.push(
      total.acceptance === undefined
        ? 'nothing drafted since it was started'
        : `${percent(total.acceptance)} of ${whole(total.drafted)} accepted since it was started`,
    );
  } else if (acceptance !== undefined) {
    parts.push(`${percent(acceptance)} of ${whole(drafted)} accepted`);
    if (drafts !== undefined && meanAcceptanceLength !== undefined)
      parts.push(`${meanAcceptanceLength.toFixed(2)} tokens a step`);
  } else if ((tokens ?? 0) > 0) parts.push(withoutDrafts(reading));
  else if (!live) parts.push('idle');
  if (tokensPerSecond !== undefined && !first) parts.push(`${tokensPerSecond.toFixed(1)} t/s`);
  if (live) parts.push(soFar(live));
  if (running !== undefined) parts.push(`running ${running}, waiting ${waiting ?? 0}`);
  return parts;
}

/** Of requests that run: what they drafted is counted when they have ended. */
function soFar({ tokens, tokensPerStep, tokensPerSecond }: LiveTokens): string {
  const parts = [
    ...(tokens === undefined ? [] : [`${whole(tokens)} tokens so far`]),
    ...(tokensPerStep === undefined ? [] : [`${tokensPerStep.toFixed(2)} a step`]),
    ...(tokensPerSecond === undefined ? [] : [`${tokensPerSecond.toFixed(1)} t/s`]),
  ];
  return [...parts, 'drafts counted at the end'].join(', ');
}

/** Tokens without drafts: the counters are there, but speculation is off. */
function withoutDrafts({ server }: WatchReading): string {
  if (server === 'llama.cpp')
    return 'tokens without drafts: start llama-server with --spec-type draft-simple --model-draft FILE';
  if (server === 'vLLM') return 'tokens without drafts: start vLLM with --speculative-config';
  return 'tokens without drafts';
}

function choiceOf({ k, changedFrom, reason }: WatchReading): string {
  const depth = changedFrom === undefined ? `K ${k}` : `K ${changedFrom} -> ${k}`;
  return reason === 'start' ? depth : `${depth} (${reason})`;
}

/** How the server would be told: K is a flag there, which only a restart changes. */
function advice({ server, k, serverDepth }: WatchReading): string {
  const flag = {
    'llama.cpp': `restart it with --spec-draft-n-max ${k}`,
    vLLM: `restart it with "num_speculative_tokens": ${k}`,
    'adaptive-spec': 'it chooses K at every step itself',
  }[server];
  return `the server drafts up to ${serverDepth}: ${flag}`;
}

function bar(share: number): string {
  return BARS[Math.min(BARS.length - 1, Math.floor(share * BARS.length))]!;
}

function whole(count: number): string {
  return count.toLocaleString('en');
}
