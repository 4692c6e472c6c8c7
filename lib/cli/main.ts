#!/usr/bin/env node
// The command line's entry: finds the command, and turns every failure into a message and an exit code.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { packageRoot } from '../binding.js';
import { AdaptiveSpecError } from '../errors.js';
import { addBench } from './bench.js';
import { addCalibrate } from './calibrate.js';
import { addChat } from './chat.js';
import { endWithClosedPipe, exitCodeOf, reportError } from './console.js';
import { addDoctor } from './doctor.js';
import { addGenerate } from './generate.js';
import { addModels } from './models.js';
import { addReplay } from './replay.js';
import { addServe } from './serve.js';
import { addTrace } from './trace.js';
import { addTrimDraft } from './trim-draft.js';
import { addWatch } from './watch.js';

endWithClosedPipe();
const { version, description } = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'));
const program = new Command('adaptive-spec')
  .description(description)
  .version(version)
  .showHelpAfterError(false)
  .exitOverride()
  // What commander has to say about wrong usage is said below, in the words of every other error.
  .configureOutput({ outputError: () => {} });
addGenerate(program);
addChat(program);
addServe(program);
addModels(program);
addDoctor(program);
addCalibrate(program);
addBench(program);
addTrace(program);
addReplay(program);
addTrimDraft(program);
addWatch(program);

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) {
    reportError(error);
    process.exitCode = exitCodeOf(error);
  } else if (error.exitCode !== 0) {
    reportError(usageError(error));
    process.exitCode = 2;
  }
}

function usageError({ code, message }: CommanderError): AdaptiveSpecError {
  const bare = code === 'commander.help' || message === '(outputHelp)';
  const [what, ...hints] = bare ? ['There is no command'] : message.replace(/^error: /, '').split('\n');
  return new AdaptiveSpecError(
    'INVALID_ARGUMENT',
    what!,
    hints.join(' ').replace(/^\((.*)\)$/, '$1') || `See ${commandGiven()} --help.`,
  );
}

/** The command that was meant, as far as its words are names of commands: 'adaptive-spec models pull'. */
function commandGiven(): string {
  let command: Command = program;
  const words = [program.name()];
  for (const word of process.argv.slice(2)) {
    const next = command.commands.find((one) => one.name() === word);
    if (!next) break;
    command = next;
    words.push(word);
  }
  return words.join(' ');
}
