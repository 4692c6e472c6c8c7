// The benchmark's HTML report in a real browser: it needs nothing from elsewhere, every plot shows something, and
// nothing is cut off or runs over its neighbours, on wide and on narrow screens.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderReport } from '../../lib/bench/render/render.js';
import { madeUpResult } from '../unit/bench-result-sample.js';
import { findChromium, startChromium } from './chromium.js';
import { emptyPlots, faintTexts, outsideOfPlots, overlappingLabels, widerThanPage } from './page-checks.js';

const chromium = findChromium();
if (!chromium) {
  console.warn(
    'The report is not opened in a browser: there is no Chromium. Install it (Debian: apt-get install chromium), or ' +
      'name its path in ADAPTIVE_SPEC_CHROMIUM.',
  );
}

const REPORTS = {
  'a whole result': madeUpResult(),
  'an unfit result': madeUpResult({ fit: false }),
  'a result with many arms and long texts': madeUpResult({ crowded: true }),
  'a result with nothing optional': madeUpResult({ bare: true }),
};

let browser: Browser;
let folder: string;

describe.skipIf(!chromium)('the HTML report', () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-report-'));
    for (const [name, result] of Object.entries(REPORTS)) await renderReport(result, join(folder, name));
    browser = await startChromium(chromium!);
  });

  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  describe.each(Object.keys(REPORTS))('of %s', (name) => {
    it.each([
      { width: 1280, colorScheme: 'light' as const },
      { width: 1280, colorScheme: 'dark' as const },
      { width: 400, colorScheme: 'light' as const },
    ])('is whole at $width pixels, $colorScheme', async ({ width, colorScheme }) => {
      const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
      const troubles = watch(page);
      await page.goto(pathToFileURL(join(folder, name, 'report.html')).href);
      await page.evaluate(() => {
        for (const details of document.querySelectorAll('details')) details.open = true;
      });

      expect(await page.evaluate(emptyPlots)).toEqual([]);
      expect(await page.evaluate(outsideOfPlots)).toEqual([]);
      expect(await page.evaluate(overlappingLabels)).toEqual([]);
      expect(await page.evaluate(widerThanPage)).toEqual([]);
      expect(await page.evaluate(() => document.querySelectorAll('script, img, iframe, object').length)).toBe(
        0,
      );
      expect(await page.evaluate(faintTexts)).toEqual([]);
      expect(troubles).toEqual([]);

      const shots = process.env.ADAPTIVE_SPEC_SCREENSHOTS;
      if (shots) {
        await page.evaluate(() => {
          for (const details of document.querySelectorAll('details')) details.open = false;
        });
        await page.screenshot({ path: join(shots, `${name}-${width}-${colorScheme}.png`), fullPage: true });
      }
      await page.close();
    });
  });

  it.each([
    [
      'a whole result',
      ['all kinds', 'code', 'switch', 'auto over fixed', 'by kind', 'time per token', 'milliseconds'],
    ],
    ['a result with nothing optional', ['all kinds', 'fixed:8 on code-1', 'time per token']],
  ])('of %s has the plots that it should have', async (name, titles) => {
    const page = await browser.newPage();
    await page.goto(pathToFileURL(join(folder, name, 'report.html')).href);
    const captions = await page.locator('figure:has(svg) figcaption').allTextContents();
    for (const title of titles) expect(captions.join('\n')).toContain(title);
    await page.close();
  });

  it('says at once that a run is unfit, and nothing of it where a run is fit', async () => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    await page.goto(pathToFileURL(join(folder, 'an unfit result', 'report.html')).href);
    const box = await page.getByRole('alert').boundingBox();
    expect(box!.y + box!.height).toBeLessThan(900);
    await page.goto(pathToFileURL(join(folder, 'a whole result', 'report.html')).href);
    expect(await page.getByRole('alert').count()).toBe(0);
    await page.close();
  });
});

/** Everything that a page complains of or asks for besides itself, as it happens. */
function watch(page: Page): string[] {
  const troubles: string[] = [];
  page.on('console', (message) => troubles.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => troubles.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => {
    troubles.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith('file:') && !url.startsWith('data:')) troubles.push(`request: ${url}`);
  });
  return troubles;
}
