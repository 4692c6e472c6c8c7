// The SDKs' adapters on the test engine.
import { beforeAll } from 'vitest';
import type { Engine } from '../../lib/index.js';
import { createTestEngine } from '../../lib/testing/index.js';
import { sdkContract } from '../sdk/contract.js';

let engine: Engine;
beforeAll(async () => {
  const arguments_ = { city: 'Paris', unit: 'celsius' };
  engine = await createTestEngine({
    reply: ({ tools, toolChoice, responseFormat }) => {
      if (responseFormat) return { json: arguments_ };
      if (!tools || toolChoice === 'none') return 'It is a fine day. '.repeat(20);
      return { text: 'Let me look.', toolCalls: [{ name: 'get_weather', arguments: arguments_ }] };
    },
  });
});

sdkContract(() => engine);
