// The dashboard in a real browser, on a made-up server: it shows what happens while it happens, needs nothing from
// elsewhere, and whatever a model writes stays text.

import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createServer, type Server } from '../../lib/serve/index.js';
import { SampleEngine, sampleReports, tellingRequest, tellRequest } from '../unit/dashboard-sample.js';
import { findChromium, startChromium } from './chromium.js';
import { emptyPlots, faintTexts, outsideOfPlots, overlappingLabels, widerThanPage } from './page-checks.js';

const chromium = findChromium();
if (!chromium) {
  console.warn(
    'The dashboard is not opened in a browser: there is no Chromium. Install it (Debian: apt-get install chromium), ' +
      'or name its path in ADAPTIVE_SPEC_CHROMIUM.',
  );
}

const shots = process.env.ADAPTIVE_SPEC_SCREENSHOTS;

let browser: Browser;
let engine: SampleEngine;
let server: Server;
let origin: string;

describe.skipIf(!chromium)('the dashboard', () => {
  beforeAll(async () => {
    browser = await startChromium(chromium!);
  });
  afterAll(() => browser?.close());
  beforeEach(async () => {
    engine = new SampleEngine();
    server = createServer(engine, { port: 0 });
    origin = await server.listen();
  });
  afterEach(() => server.close());

  /** Opens the page and waits until it is live. What is wrong with it as it goes is in `troubles`. */
  async function open(options: BrowserContextOptions = {}): Promise<{ page: Page; troubles: string[] }> {
    const page = await browser.newPage(options);
    const troubles: string[] = [];
    page.on('console', (message) => troubles.push(`console: ${message.text()}`));
    page.on('pageerror', (error) => troubles.push(`error: ${error.message}`));
    page.on('dialog', (dialog) => {
      troubles.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('request', (request) => {
      if (!request.url().startsWith(`${origin}/dashboard`)) troubles.push(`request: ${request.url()}`);
    });
    await page.goto(`${origin}/dashboard`);
    await page.locator('#connection.live').waitFor();
    return { page, troubles };
  }

  /** Three requests, the last of which still runs; waits until the page has drawn figures of them. */
  async function busy(page: Page) {
    server.state.count(1, 2);
    tellRequest(server.state, 'a', sampleReports(engine, 1));
    tellRequest(server.state, 'b', sampleReports(engine, 2), { controller: 'auto' });
    const third = tellingRequest(server.state, 'c', sampleReports(engine, 3));
    for (let step = 0; step < 62; step++) {
      third.next();
      // To be looked at, it is told at the speed of a model; for the checks that makes no difference.
      if (shots) await new Promise((done) => setTimeout(done, 60));
    }
    await page.locator('#regret', { hasText: '%' }).waitFor();
    await page.locator('#speeds .curve').waitFor();
    await page.locator('#text', { hasText: 'Three things' }).waitFor();
  }

  it.each([
    { width: 1440, colorScheme: 'light' as const },
    { width: 1440, colorScheme: 'dark' as const },
    { width: 800, colorScheme: 'light' as const },
    { width: 390, colorScheme: 'dark' as const },
  ])('is whole at $width pixels, $colorScheme', async ({ width, colorScheme }) => {
    const { page, troubles } = await open({ viewport: { width, height: 900 }, colorScheme });
    await busy(page);
    expect(await page.evaluate(leavingCards)).toEqual([]);
    expect(await page.evaluate(emptyPlots)).toEqual([]);
    expect(await page.evaluate(outsideOfPlots)).toEqual([]);
    expect(await page.evaluate(overlappingLabels)).toEqual([]);
    expect(await page.evaluate(widerThanPage)).toEqual([]);
    expect(await page.evaluate(faintTexts)).toEqual([]);
    expect(troubles).toEqual([]);
    if (shots) {
      await page.screenshot({ path: join(shots, `dashboard-${width}-${colorScheme}.png`), fullPage: true });
    }
    await page.close();
  });

  it('writes text as it comes, and says of each step what was drafted, accepted and rejected', async () => {
    const { page, troubles } = await open();
    expect(await page.locator('#text').textContent()).toContain(`curl ${origin}/v1/chat/completions`);
    const reports = [...sampleReports(engine, 4)];
    const third = tellingRequest(server.state, 'a', reports);
    for (let step = 0; step < 10; step++) third.next();
    const drafted = reports.slice(0, 10);
    await page.locator('#text .step').nth(9).waitFor();
    const textOf = (steps: typeof reports) => steps.map(({ text }) => text).join('');
    const shown = () =>
      page.evaluate(() =>
        [...document.querySelectorAll('#text .step')]
          .map((step) => [...step.querySelectorAll(':scope > span')].map((span) => span.textContent).join(''))
          .join(''),
      );
    expect(await shown()).toBe(textOf(drafted));
    for (const [i, { accepted, verified, draftTokens, tokens }] of drafted.entries()) {
      const step = page.locator('#text .step').nth(i);
      const taken = engine.detokenize(tokens.subarray(0, accepted));
      if (accepted > 0) expect(await step.locator('.taken').textContent()).toBe(taken);
      else expect(await step.locator('.taken').count()).toBe(0);
      const wrong = accepted < verified;
      expect(await step.locator('.corrected').count()).toBe(wrong ? 1 : 0);
      if (!wrong) continue;
      expect(await step.locator('del').textContent()).toBe(engine.detokenize(draftTokens.subarray(accepted)));
      expect(await step.locator('del').isVisible()).toBe(false);
    }
    await page.getByLabel('show rejected drafts').check();
    expect(await page.locator('#text del').first().isVisible()).toBe(true);
    expect(await page.locator('#k').textContent()).toBe(String(drafted.at(-1)!.drafted));

    // All that is left, and its end.
    for (const _ of third);
    await page.locator('#requests .end', { hasText: 'stop' }).waitFor();
    await page
      .locator('#text .step')
      .nth(reports.length - 1)
      .waitFor();
    expect(await shown()).toBe(textOf(reports));

    // A page that is opened now has the same.
    await page.reload();
    await page
      .locator('#text .step')
      .nth(reports.length - 1)
      .waitFor();
    expect(await shown()).toBe(textOf(reports));
    expect(troubles).toEqual([]);
    await page.close();
  });

  it('shows the text of the request that is clicked', async () => {
    const { page } = await open();
    tellRequest(server.state, 'a', sampleReports(engine, 1, [[1, 'the first text']]));
    tellRequest(server.state, 'b', sampleReports(engine, 1, [[1, 'the second one']]));
    await page.locator('#text', { hasText: 'the second one' }).waitFor();
    await page.locator('#requests button', { hasText: '1 chat' }).click();
    await page.locator('#text', { hasText: 'the first text' }).waitFor();
    expect(await page.locator('[aria-pressed="true"]').textContent()).toContain('1 chat');
    await page.locator('#requests button', { hasText: '1 chat' }).click();
    await page.locator('#text', { hasText: 'the second one' }).waitFor();
    await page.close();
  });

  it('leaves whatever a model writes as text', async () => {
    const attack = '<img src=x onerror=alert(1)></span><script>alert(2)</script><svg onload=alert(3)>"\'&lt;';
    await server.close();
    engine = new SampleEngine();
    Object.assign(engine.info, { description: attack });
    const controller = { name: attack, nextPlan: () => 2 };
    server = createServer(engine, { port: 0, controller });
    origin = await server.listen();
    const { page, troubles } = await open();
    const report = {
      ...[...sampleReports(engine, 1)][3]!,
      ...{ depth: 2, drafted: 2, verified: 2, accepted: 1, text: attack, drafter: attack },
      tokens: Int32Array.of(engine.idOf(attack.slice(0, 30)), engine.idOf(attack.slice(30))),
      draftTokens: Int32Array.of(engine.idOf(attack.slice(0, 30)), engine.idOf(attack)),
    };
    tellRequest(server.state, 'a', [report], { controller: attack });
    await page.locator('#text .step').waitFor();
    await page.getByLabel('show rejected drafts').check();
    expect(await page.locator('#text .step > span:not(.k)').allTextContents()).toEqual([
      attack.slice(0, 30),
      attack.slice(30),
    ]);
    expect(await page.locator('#text del').textContent()).toBe(attack.slice(0, 80));
    expect(await page.locator('#model').textContent()).toContain(attack);
    expect(await page.locator('#requests .what').textContent()).toContain(attack);
    expect(await page.locator('#controller option').first().textContent()).toBe(attack);
    expect(
      await page.locator('img, iframe, object, script:not([src]), svg svg, [onerror], [onload]').count(),
    ).toBe(0);
    expect(troubles).toEqual([]);

    // And were it markup, it could do nothing.
    const refused = await page.evaluate(() => {
      try {
        document.body.innerHTML = '<img src=x onerror=alert(4)>';
        return '';
      } catch (error) {
        return String(error);
      }
    });
    expect(refused).toContain('TrustedHTML');
    await page.close();
  });

  it('changes the controller of new requests, on every page', async () => {
    const [{ page }, { page: other, troubles }] = [await open(), await open()];
    await page.locator('#controller').selectOption('fixed');
    await page.locator('#depth').fill('3');
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.locator('#switched', { hasText: 'fixed 3' }).waitFor();
    expect(server.state.policy).toEqual({ controller: 'fixed', depth: 3 });
    await other.waitForFunction(
      () => (document.querySelector('#controller') as HTMLSelectElement).value === 'fixed',
    );
    expect(await other.locator('#depth').inputValue()).toBe('3');

    await page.locator('#controller').selectOption('adaptive');
    expect(await page.locator('#depth').isVisible()).toBe(false);
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.locator('#switched', { hasText: 'adaptive' }).waitFor();
    expect(server.state.policy).toEqual({ controller: 'adaptive' });
    expect(troubles).toEqual([]);
    await Promise.all([page.close(), other.close()]);
  });

  it('asks for the key as a password, and does all with it', async () => {
    await server.close();
    server = createServer(engine, { port: 0, apiKey: 'sk:1' });
    origin = await server.listen();
    for (const path of ['', '/main.js', '/events']) {
      const answer = await fetch(`${origin}/dashboard${path}`);
      expect(answer.status).toBe(401);
      expect(answer.headers.get('www-authenticate')).toMatch(/^Basic /);
    }

    const { page, troubles } = await open({ httpCredentials: { username: 'anybody', password: 'sk:1' } });
    await page.locator('#controller').selectOption('off');
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.locator('#switched', { hasText: 'off' }).waitFor();
    tellRequest(server.state, 'a', sampleReports(engine, 1, [[1, 'with a key']]));
    await page.locator('#text', { hasText: 'with a key' }).waitFor();
    expect(troubles.filter((trouble) => !trouble.includes('401'))).toEqual([]);
    await page.close();
  });

  it('says that the server has gone, and comes back with it', async () => {
    const { page } = await open();
    tellRequest(server.state, 'a', sampleReports(engine, 1, [[1, 'before']]));
    await page.locator('#text', { hasText: 'before' }).waitFor();
    const { port } = new URL(origin);
    await server.close();
    await page.locator('#connection.lost').waitFor();
    server = createServer(engine, { port: Number(port) });
    await server.listen();
    await page.locator('#connection.live').waitFor();
    tellRequest(server.state, 'a', sampleReports(engine, 1, [[1, 'after']]));
    await page.locator('#text', { hasText: 'after' }).waitFor();
    await page.close();
  });
});

/** Plots that are larger than the card they are on. Runs inside the page. */
function leavingCards(): string[] {
  return [...document.querySelectorAll('.plot svg')]
    .filter((svg) => {
      const [inner, outer] = [svg.getBoundingClientRect(), svg.closest('.card')!.getBoundingClientRect()];
      return inner.bottom > outer.bottom || inner.top < outer.top || inner.right > outer.right;
    })
    .map((svg) => `leaves its card: ${svg.getAttribute('aria-label')}`);
}
