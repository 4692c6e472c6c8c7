// A server's warm-up leaves nothing behind.
import { expect, it } from 'vitest';
import { warmUp } from '../../lib/serve/warm-up.js';
import { FakeEngine } from './fake-engine.js';

it('generates nothing, and takes its listeners off the engine again', async () => {
  const engine = new FakeEngine();
  await warmUp(engine);
  expect(engine.runs).toEqual([]);
  expect(engine.listeners).toBe(0);
});
