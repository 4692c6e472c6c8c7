// Prompts as every engine gets them: through the target's chat template, as text and as ids.
import { readFileSync } from 'node:fs';

/**
 * The first prompts of every kind in turn, so that any number of them is spread over the kinds.
 * @param {{ id: string, context: string }[]} all
 * @param {number} count
 */
export function spreadOverKinds(all, count) {
  const kinds = [...new Set(all.map(({ context }) => context))];
  const byKind = kinds.map((kind) => all.filter(({ context }) => context === kind));
  const longest = Math.max(...byKind.map(({ length }) => length));
  const inTurn = Array.from({ length: longest }, (_, i) => byKind.map((prompts) => prompts[i])).flat();
  return inTurn.filter((prompt) => prompt !== undefined).slice(0, count);
}

/**
 * Prompts of `file` (lines of {id, context, prompt}) by `model`'s template and tokenizer.
 * @param {{ file: string, count: number, model: string }} what
 * @returns {Promise<{ id: string, kind: string, text: string, ids: number[] }[]>}
 */
export async function chatPrompts({ file, count, model }) {
  // Imported here, so that tests can import this file before anything is compiled.
  const { createEngine } = await import('../dist/index.js');
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const chosen = spreadOverKinds(
    lines.map((line) => JSON.parse(line)),
    count,
  );
  const engine = await createEngine({ model, draft: false });
  const prompts = chosen.map(({ id, context, prompt }) => {
    const text = engine.applyChatTemplate([{ role: 'user', content: prompt }]);
    return { id, kind: context, text, ids: [...engine.tokenize(text)] };
  });
  await engine.close();
  return prompts;
}
