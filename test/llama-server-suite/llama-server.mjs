#!/usr/bin/env node
// `adaptive-spec serve` under llama-server's flags, as llama.cpp's own server tests give them: always the default pair.
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = resolve(import.meta.dirname, '../..');
/** Where the tests' relative paths begin. */
const upstream = resolve(root, 'llama.cpp/tools/server/tests');

/** Flags without a value: ours, or none where what they ask for is so anyway. */
const SWITCHES = {
  '--offline': ['--offline'],
  '--cont-batching': [],
  '--metrics': [],
  '--slots': [],
  '--no-slots': ['--no-slots'],
  // Every template is run by Jinja.
  '--jinja': [],
  '--no-jinja': [],
  '--verbose': ['--verbose'],
};

/** Flags with a value. */
const VALUES = {
  // The default pair stands for every model; tests that need theirs are left out.
  '--model-draft': () => [],
  '--hf-repo': () => [],
  '--hf-file': () => [],
  '--port': (port) => ['--port', port],
  '--host': (host) => ['--host', host],
  '--alias': (name) => ['--model-name', name],
  '--temp': (temperature) => ['--temperature', temperature],
  '--seed': (seed) => ['--seed', seed],
  '--n-predict': (n) => (n === '-1' ? [] : ['--max-tokens', n]),
  '--threads': (n) => ['--threads', n],
  '--batch-size': (n) => ['--batch-size', n],
  '--parallel': (n) => ['--parallel', n],
  '-fa': (mode) => ['--flash-attention', mode],
  '--chat-template-file': (file) => ['--chat-template-file', resolve(upstream, file)],
  '--reasoning': (mode) => (mode === 'off' ? ['--no-thinking'] : []),
  '--spec-type': (type) => (type === 'draft-simple' ? [] : undefined),
  // The depth is fixed at the most that llama-server would draft. It drops drafts below the least, which changes no text.
  '--spec-draft-n-max': (depth) => ['--depth', depth],
  '--spec-draft-n-min': () => [],
  // Not as a flag, which everybody on the machine could read.
  '--api-key': (key) => {
    process.env.ADAPTIVE_SPEC_API_KEY = key;
    return [];
  },
};

function translated(given) {
  // Live costs of a test are no other engine's.
  const args = ['serve', '--calibrate', 'off'];
  const flags = [...given];
  let [context, parallel, unified] = [undefined, 1, false];
  while (flags.length > 0) {
    const flag = flags.shift();
    if (flag === '--ctx-size') context = Number(flags.shift());
    else if (flag === '--kv-unified') unified = true;
    else if (flag in SWITCHES) args.push(...SWITCHES[flag]);
    else {
      const value = flags.shift();
      const ours = VALUES[flag]?.(value);
      if (ours === undefined) throw new Error(`there is no counterpart of ${flag} ${value ?? ''}`);
      args.push(...ours);
      if (flag === '--parallel') parallel = Number(value);
    }
  }
  // llama-server shares its context out among the slots.
  if (context !== undefined) {
    args.push('--context-size', String(unified ? context : Math.floor(context / parallel)));
  }
  return args;
}

process.argv.splice(2, process.argv.length, ...translated(process.argv.slice(2)));
await import(pathToFileURL(resolve(root, 'dist/cli/main.js')).href);
