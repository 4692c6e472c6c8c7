// What it costs to read an answer with a call while it is written: 2,000 tokens of four characters each, a hundred a second,
// read as lib/structured/paced-reading.ts does. `node bench/answer-reading.mjs`, with templates' names behind it or not.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadBinding } from '../dist/binding.js';
import { createEngine } from '../dist/index.js';
import { readGguf } from '../dist/models/gguf-read-raw.js';
import { writeGguf } from '../dist/models/gguf-write.js';

const TOKENS = 2000;
const TOKEN_MS = 10;
const REST = 50;
const templates = process.argv.slice(2);
if (templates.length === 0) templates.push('Qwen-Qwen2.5-7B-Instruct', 'Qwen3-Coder');
const line = `const value = items.filter((x) => x.count > 3).map(({ name }) => \`\${name}: "ok"\`);\n`;
const words = line.repeat(100).slice(0, 4 * TOKENS);

const folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-bench-'));
try {
  const plain = await createEngine({ draft: false, calibrate: 'off' });
  const gguf = await readGguf(plain.info.model);
  await plain.close();
  for (const template of templates) {
    const Reader = await readerOf(gguf, template);
    for (const [what, text] of [
      ['words', words],
      ['a call', callOf(template)],
    ]) {
      console.log(`${template}, ${what}: ${measured(Reader, text)}`);
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Makes readers of answers as this template has them. */
async function readerOf(gguf, template) {
  const source = new URL(`../llama.cpp/models/templates/${template}.jinja`, import.meta.url);
  const metadata = new Map(gguf.metadata);
  metadata.set('tokenizer.chat_template', { type: 'string', value: readFileSync(source, 'utf8') });
  const model = join(folder, 'model.gguf');
  await writeGguf(model, { ...gguf, metadata });
  const binding = loadBinding();
  const { AnswerReader } = binding;
  let syntax;
  binding.AnswerReader = class extends AnswerReader {
    constructor(given) {
      super(given);
      syntax = given;
    }
  };
  const engine = await createEngine({ model, draft: false, calibrate: 'off' });
  const properties = { path: { type: 'string' }, text: { type: 'string' } };
  const parameters = { type: 'object', properties, required: ['path', 'text'] };
  const tools = [{ type: 'function', function: { name: 'write', parameters } }];
  await engine.generate({ messages: [{ role: 'user', content: 'Hello' }], tools, maxTokens: 1 });
  await engine.close();
  binding.AnswerReader = AnswerReader;
  return () => new AnswerReader(syntax);
}

function callOf(template) {
  if (!template.includes('Coder')) {
    const given = JSON.stringify({ path: 'a.ts', text: words });
    return `<tool_call>\n{"name": "write", "arguments": ${given}}\n</tool_call>`;
  }
  const parameters = `<parameter=path>\na.ts\n</parameter>\n<parameter=text>\n${words}\n</parameter>`;
  return `<tool_call>\n<function=write>\n${parameters}\n</function>\n</tool_call>`;
}

function measured(newReader, text) {
  const reader = newReader();
  let [clock, next, busy, readings, deltas, longest] = [0, 0, 0, 0, 0, 0];
  for (let at = 0; at < 4 * TOKENS; at += 4) {
    reader.add(text.slice(at, at + 4));
    clock += TOKEN_MS;
    if (clock < next) continue;
    const start = performance.now();
    deltas += reader.read().length;
    const ms = performance.now() - start;
    busy += ms;
    readings++;
    longest = Math.max(longest, ms);
    next = clock + REST * ms;
  }
  const { calls } = reader.end(false);
  const mean = ((1000 * busy) / TOKENS).toFixed(0);
  return `${mean} µs a token, ${readings} readings, the longest ${longest.toFixed(2)} ms, ${deltas} deltas, ${calls.length} calls`;
}
