// This engine in a process of its own, as peers.mjs runs it. A setting is {draft, depth?, controller?}: with neither
// depth nor controller it is the default controller.
import { createEngine } from '../dist/index.js';
import { serveJob } from './peer-worker.mjs';

await serveJob(async ({ target, threads, maxTokens, setting }) => {
  const { draft, depth, controller } = setting;
  const maxDepth = Math.max(32, depth ?? 0);
  const engine = await createEngine({ model: target, draft, threads, contextSize: 4096, maxDepth });
  const how = {
    maxTokens,
    ignoreEos: true,
    ...(depth === undefined ? {} : { depth }),
    ...(controller === undefined ? {} : { controller }),
  };
  return {
    async generate({ ids }) {
      const { stats, tokens, text, usage } = await engine.generate({ prompt: ids, ...how });
      return {
        promptTokens: usage.promptTokens,
        // The draft's reading of the prompt counts as decoding here.
        tokensPerSecond: stats.tokensPerSecond,
        decodeMs: stats.decodeMs,
        emitted: usage.completionTokens,
        drafted: stats.draftTokens,
        accepted: stats.acceptedTokens,
        tokens,
        text,
      };
    },
    close: () => engine.close(),
  };
});
