// Finds and starts the machine's own Chromium: playwright-core brings none along.

import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/**
 * Path of a Chromium: the one that ADAPTIVE_SPEC_CHROMIUM names, whether it is there or not, or one in the usual
 * places. Undefined where none is.
 */
export function findChromium(): string | undefined {
  return process.env.ADAPTIVE_SPEC_CHROMIUM || PLACES.find((path) => existsSync(path));
}

/** Starts it with a profile of its own, which is removed at its end, and without any request of its own making. */
export function startChromium(executablePath: string): Promise<Browser> {
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
