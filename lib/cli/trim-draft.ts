// `adaptive-spec trim-draft`: a draft with only the tokens that a corpus uses most.

import type { Command } from 'commander';
import { trimDraft } from '../models/trim-draft.js';
import { percent } from '../percent.js';
import { print } from './console.js';
import { numberOf } from './engine-flags.js';
import { progressPrinter } from './progress.js';

interface TrimFlags {
  corpus: string[];
  target?: string;
  size: string;
  out: string;
  offline?: boolean;
  json?: boolean;
}

export function addTrimDraft(program: Command): void {
  program
    .command('trim-draft')
    .description("trim a draft's vocabulary to the tokens that a corpus uses most")
    .argument('<draft>', 'draft model, given like the target')
    .requiredOption(
      '--corpus <paths...>',
      'text files, folders, or .jsonl files with tokens or text on each line',
    )
    .requiredOption('--size <n>', 'tokens to keep')
    .requiredOption('--out <file>', 'where the new draft is written')
    .option('--target <model>', 'target: a path, https://…, hf:owner/repo/file.gguf (default: SmolLM2-135M)')
    .option('--offline', 'use no network')
    .option('--json', 'as JSON')
    .action(async (draft: string, flags: TrimFlags) => {
      const { corpus, target, size, out, offline, json } = flags;
      const result = await trimDraft({
        draft,
        ...(target === undefined ? {} : { target }),
        corpus,
        size: numberOf('--size', size),
        out,
        offline: offline === true,
        onProgress: progressPrinter(),
      });
      if (json) return print(JSON.stringify(result));
      print(`${result.path}: ${result.size} tokens of ${result.from}`);
      print(
        `it can propose ${percent(result.coverage, 1)} of the corpus's ${result.corpusTokens} tokens, the draft ${percent(result.coverageBefore, 1)}`,
      );
    });
}
