// The SDKs' adapters on the default pair.
import { afterAll, beforeAll } from 'vitest';
import { createEngine, type Engine } from '../../lib/index.js';
import { sdkContract } from '../sdk/contract.js';

let engine: Engine;
beforeAll(async () => {
  engine = await createEngine();
});
afterAll(() => engine.close());

sdkContract(() => engine);
