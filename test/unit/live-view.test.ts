// Text, the line below it and notes on one terminal or two streams.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { note } from '../../lib/cli/console.js';
import { LiveView, StepMeter } from '../../lib/cli/live-view.js';
import { stepReport } from './step-report.js';

const step = (changes: object) => ({ ...stepReport(), step: 1, ...changes });

/** What two streams were told, in order. */
function streams({ outIsTty, errIsTty }: { outIsTty: boolean; errIsTty: boolean }) {
  const told: string[] = [];
  const stream = (name: string, isTTY: boolean) =>
    ({ isTTY, rows: 24, on() {}, off() {}, write: (text: string) => told.push(`${name} ${text}`) }) as never;
  view = new LiveView(stream('out', outIsTty), stream('err', errIsTty));
  told.length = 0;
  return { view, told };
}

let view: LiveView;
beforeEach(() => vi.stubEnv('TERM', 'xterm'));
afterEach(() => {
  view?.end();
  vi.unstubAllEnvs();
});

describe('a note while text streams', () => {
  it('waits for the end of the line that is being written on its terminal', () => {
    const { view, told } = streams({ outIsTty: true, errIsTty: true });
    note('early');
    view.text('Once ');
    note('first');
    view.text('upon');
    note('second');
    expect(told).toEqual(['err early\n', 'out Once ', 'out upon']);
    view.text(' a time.\n');
    expect(told.slice(3)).toEqual(['out  a time.\n', 'err first\n', 'err second\n']);
    note('at a start');
    expect(told.at(-1)).toBe('err at a start\n');
  });

  it('comes when the text ends within a line, and after it', () => {
    const { view, told } = streams({ outIsTty: true, errIsTty: true });
    view.text('Once');
    note('late');
    view.end();
    expect(told.slice(0, 2)).toEqual(['out Once', 'out \n']);
    expect(told.at(-1)).toBe('err late\n');
  });

  it('waits for nothing where text goes elsewhere, and takes the place of the line', () => {
    const { view, told } = streams({ outIsTty: false, errIsTty: true });
    view.text('Once');
    view.step(step({}));
    told.length = 0;
    note('now');
    expect(told).toEqual(['err \r\x1b[2K', 'err now\n']);
  });

  it('is written as it is where there is no terminal', () => {
    const { view, told } = streams({ outIsTty: false, errIsTty: false });
    view.text('Once');
    view.step(step({}));
    note('now');
    view.end();
    expect(told).toEqual(['out Once', 'err now\n', 'out \n']);
  });
});

describe('the line', () => {
  it('says what steps verified, not what they might have drafted', () => {
    const meter = new StepMeter();
    expect(meter.line).toBe('– t/s   K –   accepted –');
    const tokens = new Int32Array(1);
    const times = { draftMs: 0, verifyMs: 10, catchUpMs: 0, otherMs: 0 };
    for (let i = 0; i < 2; i++)
      meter.add(step({ depth: 24, drafted: 0, verified: 0, accepted: 0, tokens, ...times }));
    expect(meter.line).toBe('100.0 t/s   K 0.0   accepted –');
    for (let i = 0; i < 2; i++)
      meter.add(step({ depth: 24, drafted: 4, verified: 3, accepted: 2, tokens, ...times }));
    expect(meter.line).toBe('100.0 t/s   K 1.5   accepted 50 %');
  });
});
