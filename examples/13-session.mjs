// A conversation that keeps what it has read, and goes on in another engine.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEngine } from 'adaptive-spec';

const folder = mkdtempSync(join(tmpdir(), 'session-'));
const file = join(folder, 'river.session');
const messages = [{ role: 'user', content: 'Name a river in Africa.' }];

const engine = await createEngine();
const session = engine.session();
const first = await session.generate({ messages, maxTokens: 40 });
messages.push({ role: 'assistant', content: first.text }, { role: 'user', content: 'And one in Asia?' });
const second = await session.generate({ messages, maxTokens: 40 });
console.log(
  `${second.stats.reusedPromptTokens} of ${second.usage.promptTokens} tokens were read before: ${second.text}`,
);
messages.push({ role: 'assistant', content: second.text }, { role: 'user', content: 'Which is longer?' });
await session.save(file);
await engine.close();

const other = await createEngine();
const restored = await other.session({ restore: file });
const third = await restored.generate({ messages, maxTokens: 40 });
console.log(
  `${third.stats.reusedPromptTokens} of ${third.usage.promptTokens} were in the file: ${third.text}`,
);
await other.close();
rmSync(folder, { recursive: true });
