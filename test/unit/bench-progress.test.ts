// What a benchmark says of its progress.
import { describe, expect, it } from 'vitest';
import { durationOf, progressLine } from '../../lib/cli/bench-progress.js';

describe('progress', () => {
  it('tells runs, time left and what ran', () => {
    const progress = { done: 5, total: 60, msLeft: 27_400, arm: 'fixed:8', promptId: 'code-1' };
    expect(progressLine(progress)).toBe('run 5 of 60, 27 s left (fixed:8 on code-1)');
    expect(progressLine({ ...progress, msLeft: undefined })).toBe('run 5 of 60 (fixed:8 on code-1)');
  });

  it('tells durations as people do', () => {
    expect(durationOf(400)).toBe('0 s');
    expect(durationOf(200_000)).toBe('3 min');
    expect(durationOf(5_700_000)).toBe('1 h 35 min');
  });
});
