// `adaptive-spec watch`: the acceptance of a running server, live, and the K that the experiment's controller would choose.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { AdaptiveSpecError } from '../errors.js';
import { openAuditLog } from '../observe/audit-log.js';
import { metricsUrl, ServerWatch, type WatchReading } from '../observe/server-watch.js';
import { note, print } from './console.js';
import { numberOf } from './engine-flags.js';
import { Interruption } from './interruption.js';
import { blockOf, lineOf } from './watch-view.js';

interface Flags {
  interval?: string;
  count?: string;
  apiKey?: string;
  kMin?: string;
  kMax?: string;
  audit?: string;
  json?: boolean;
}

export function addWatch(program: Command): void {
  program
    .command('watch')
    .argument('<url>', 'address of a llama-server (with --metrics), a vLLM or an adaptive-spec serve')
    .description(
      "a running server's acceptance, live, and the K that the experiment's controller would choose",
    )
    .option('--interval <seconds>', 'time between two readings (default: 2)')
    .option('--count <n>', 'end after so many readings (default: at Ctrl-C)')
    .option('--api-key <key>', "the server's key (default: the environment variable ADAPTIVE_SPEC_API_KEY)")
    .option('--k-min <k>', 'smallest K to choose (default: 4)')
    .option('--k-max <k>', 'largest K to choose (default: 24)')
    .option('--audit <file>', 'append changes of K to this file')
    .option('--json', 'one JSON object per reading')
    .action(run);
}

async function run(address: string, flags: Flags): Promise<void> {
  const url = metricsUrl(address);
  const seconds = inRange('--interval', flags.interval ?? '2', 0.05, 86_400);
  const count = flags.count === undefined ? Infinity : inRange('--count', flags.count, 1, 1e9);
  const apiKey = flags.apiKey ?? (process.env.ADAPTIVE_SPEC_API_KEY || undefined);
  const audit = openAuditLog({
    path: flags.audit,
    onWarning: ({ code, message }) => note(`warning: ${code}: ${message}`),
  });
  const kMin = flags.kMin === undefined ? undefined : numberOf('--k-min', flags.kMin);
  const kMax = flags.kMax === undefined ? undefined : numberOf('--k-max', flags.kMax);
  const watch = new ServerWatch({ url, apiKey, kMin, kMax, audit });

  const interrupt = new Interruption();
  const stop = new AbortController();
  interrupt.onInterrupt = () => stop.abort();
  const show = viewFor(url, flags.json === true);
  try {
    for (let reading = 1; ; reading++) {
      try {
        show.reading(await watch.read(stop.signal));
      } catch (error) {
        // A server that was there may come back; one that never was is a slip of the keyboard.
        const passing = error instanceof AdaptiveSpecError && ['UNREACHABLE', 'REFUSED'].includes(error.code);
        if (!passing || reading === 1) throw error;
        show.trouble(error);
      }
      if (reading >= count) break;
      await sleep(1000 * seconds, undefined, { signal: stop.signal });
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    process.exitCode = 130;
  } finally {
    interrupt.end();
    show.end();
    audit?.close();
  }
}

interface View {
  reading(reading: WatchReading): void;
  trouble(error: AdaptiveSpecError): void;
  end(): void;
}

/** JSON lines, a block that is drawn over itself on a terminal, or plain lines. */
function viewFor(url: URL, json: boolean): View {
  if (json) {
    return {
      reading: (reading) => print(JSON.stringify(reading)),
      trouble: ({ code, message }) =>
        print(JSON.stringify({ ts: new Date().toISOString(), error: { code, message } })),
      end: () => {},
    };
  }
  const { stdout } = process;
  if (!stdout.isTTY || process.env.TERM === 'dumb') {
    return {
      reading: (reading) => print(lineOf(reading)),
      trouble: ({ code, message }) => note(`${code}: ${message}; trying again`),
      end: () => {},
    };
  }
  const readings: WatchReading[] = [];
  let drawn = 0;
  const draw = (lines: string[]) => {
    // Up to the block's first line, and clear to the end of the screen.
    stdout.write(`${drawn > 0 ? `\x1b[${drawn}A` : ''}\r\x1b[J${lines.map((line) => `${line}\n`).join('')}`);
    drawn = lines.length;
  };
  const block = () => blockOf(url, readings, stdout.columns ?? 80, stdout);
  return {
    reading(reading) {
      readings.push(reading);
      if (readings.length > 240) readings.shift();
      draw(block());
    },
    trouble: ({ code, message }) =>
      draw([...block(), `${code}: ${message}; trying again`.slice(0, stdout.columns ?? 80)]),
    // What was drawn last stays on the screen.
    end: () => {},
  };
}

function inRange(flag: string, text: string, least: number, most: number): number {
  const value = numberOf(flag, text);
  if (value >= least && value <= most && (flag !== '--count' || Number.isInteger(value))) return value;
  throw new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    `${flag} is ${text}`,
    `Give a ${flag === '--count' ? 'whole ' : ''}number from ${least} to ${most}.`,
  );
}
