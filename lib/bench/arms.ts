// Arms of a benchmark: what is compared with what, by name.

import { basename } from 'node:path';
import { type Controller, MAX_DEPTH } from '../control/controller.js';
import { controllers, resolveController } from '../control/controllers.js';
import { AdaptiveSpecError } from '../errors.js';

/** Plain decoding, which every benchmark measures: the reference of tokens and speed. */
export const PLAIN = 'plain';

/** Arms that adapt, compared with fixed depths unless others are named. */
export const ADAPTIVE_ARMS: readonly string[] = ['adaptive', 'auto'];

export interface Arm {
  name: string;
  /** The depth of plain decoding (0) and of a fixed depth; undefined where a controller chooses. */
  depth?: number;
  /** Who drafts where the controller names nobody; the engine's default where it is undefined. */
  drafter?: string;
  /** Draft tokens verified at most with the guesses beside the draft; undefined: drafts are chains. */
  tree?: number;
  /** A controller that has learnt nothing yet; a caller's own is what it is. */
  make: () => Controller;
}

/**
 * The arm of a name: 'plain', 'fixed:K', or a name that `resolveController` knows; with '@' and the name of a drafter
 * behind it, such as 'fixed:4@hybrid', that one drafts; with '+tree:8' at the end, up to 8 draft tokens are verified,
 * guesses beside the draft included. Such an arm has no `depth`: the best fixed depth is what it is compared with.
 * Throws INVALID_ARGUMENT for any other name.
 */
export function armOf(name: string): Arm {
  const tree = /^(.*)\+tree:(\d+)$/.exec(name);
  if (tree === null) return armOfChain(name);
  const { depth: _, ...arm } = armOfChain(tree[1]!);
  const nodes = Number(tree[2]);
  if (arm.name === PLAIN || nodes < 1 || nodes > MAX_DEPTH) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The arm ${JSON.stringify(name)} ${arm.name === PLAIN ? 'drafts nothing' : 'has a tree of no use'}`,
      `Write it as fixed:4+tree:8, with 1 to ${MAX_DEPTH} tokens.`,
    );
  }
  return { ...arm, name: `${arm.name}+tree:${nodes}`, tree: nodes };
}

function armOfChain(name: string): Arm {
  const at = name.lastIndexOf('@');
  if (at < 0) return armOfBareName(name);
  const [bare, drafter] = [name.slice(0, at), name.slice(at + 1)];
  if (bare === PLAIN || drafter === '') {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The arm ${JSON.stringify(name)} ${drafter === '' ? 'names no drafter' : 'drafts nothing'}`,
      'Write it as fixed:4@hybrid.',
    );
  }
  const arm = armOfBareName(bare);
  return { ...arm, name: `${arm.name}@${drafter}`, drafter };
}

function armOfBareName(name: string): Arm {
  if (name === PLAIN) return { name, depth: 0, make: () => controllers.off() };
  const fixed = /^fixed:(\d+)$/.exec(name);
  if (fixed) {
    const depth = Number(fixed[1]);
    if (depth === 0) {
      throw new AdaptiveSpecError('INVALID_ARGUMENT', "There is no arm 'fixed:0'", "Its name is 'plain'.");
    }
    controllers.fixedDepth(depth);
    return { name: `fixed:${depth}`, depth, make: () => controllers.fixedDepth(depth) };
  }
  if (name === 'fixed' || name.startsWith('fixed:')) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The arm ${JSON.stringify(name)} names no depth`,
      'Write it as fixed:8.',
    );
  }
  if (name === 'off') {
    throw new AdaptiveSpecError('INVALID_ARGUMENT', "There is no arm 'off'", "Its name is 'plain'.");
  }
  resolveController(name);
  return { name, make: () => resolveController(name) };
}

/** An arm of a caller's controller, which serves every request in turn; named after the file. */
export function armOfController(path: string, controller: Controller): Arm {
  resolveController(controller);
  return { name: basename(path), make: () => controller };
}

/** Adds plain decoding where it is missing, and refuses names given twice. */
export function completeArms(arms: readonly Arm[]): Arm[] {
  const names = arms.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new AdaptiveSpecError(
      'INVALID_ARGUMENT',
      `The arm ${JSON.stringify(twice)} is there twice`,
      'Name every arm once.',
    );
  }
  return names.includes(PLAIN) ? [...arms] : [armOf(PLAIN), ...arms];
}
