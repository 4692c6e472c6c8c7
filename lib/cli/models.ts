// `adaptive-spec models`: what the catalogue has, and where it is on this machine.

import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { AdaptiveSpecError } from '../errors.js';
import { defaultPair, defaultPairPaths, modelsStatus, resolveModel } from '../models/download.js';
import { print, size } from './console.js';
import { progressPrinter } from './progress.js';

export function addModels(program: Command): void {
  const models = program.command('models').description('the default models and where they are');

  models
    .command('list')
    .description('models that can be named, and whether they are here')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: boolean }) => {
      const all = modelsStatus();
      if (json) print(JSON.stringify(all));
      else for (const model of all) print(describe(model));
    });

  models
    .command('pull')
    .description('download what is missing: the default pair, or one model')
    .argument('[model]', 'a name of the catalogue, https://… or hf:owner/repo/file.gguf')
    .action(async (model: string | undefined) => {
      const how = { onProgress: downloadProgress() };
      if (model !== undefined) print(await resolveModel(model, how));
      else {
        const { target, draft } = await defaultPair(how);
        print(target);
        print(draft);
      }
    });

  models
    .command('path')
    .description('the files of the default target and draft, one a line')
    .action(() => {
      const { target, draft } = defaultPairPaths();
      const missing = [target, draft].find((path) => !existsSync(path));
      if (missing !== undefined) {
        throw new AdaptiveSpecError(
          'MODEL_NOT_FOUND',
          `${missing} is not here yet`,
          'Run: adaptive-spec models pull',
        );
      }
      print(target);
      print(draft);
    });
}

function describe(model: ReturnType<typeof modelsStatus>[number]): string {
  const state = model.present ? `${size(model.bytes ?? 0)}  ${model.path}` : 'not downloaded';
  return `${model.name}  ${model.role}  ${model.licence}  ${state}`;
}

function downloadProgress() {
  const printer = progressPrinter();
  return ({ name, received, total }: { name: string; received: number; total?: number | undefined }) =>
    printer({ phase: 'download', name, done: received, ...(total === undefined ? {} : { total }) });
}
