// What `import … from 'adaptive-spec/testing'` gives.

export type { TestAnswer, TestReply } from './reply.js';
export { createTestEngine, type TestEngineOptions } from './test-engine.js';
