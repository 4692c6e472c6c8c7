// What replay takes of trace files: whole exhaustive generations, each up to where its text begins to loop.

import { firstLoop } from '../bench/loops.js';
import type { CostTable } from '../control/costs.js';
import { AdaptiveSpecError } from '../errors.js';
import { TraceReader } from '../observe/trace-file.js';
import { countedTo, type ReplayGeneration, replayGeneration } from './generation.js';

export interface LoadedTraces {
  /** Whole, as recorded. */
  generations: ReplayGeneration[];
  /** Cost table of the first header that has one. */
  costs: CostTable | undefined;
  /** Generations left out because their recording was cut short. */
  unfinished: number;
}

/** Reads the files one after the other. Throws TRACE_INVALID, TRACE_FAILED, or INVALID_ARGUMENT for another mode. */
export async function loadTraces(paths: readonly string[]): Promise<LoadedTraces> {
  const loaded: LoadedTraces = { generations: [], costs: undefined, unfinished: 0 };
  for (const path of paths) {
    const reader = new TraceReader(path);
    for await (const { info, positions, end } of reader.generations()) {
      if (reader.header.mode !== 'exhaustive') break;
      if (end === undefined) loaded.unfinished++;
      else if (positions.length > 0) {
        loaded.generations.push(
          replayGeneration(info, positions, reader.header.maxDepth, reader.header.drafter),
        );
      }
    }
    if (reader.header.mode !== 'exhaustive') {
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        `The trace ${JSON.stringify(path)} has steps, from which no other policy can be replayed`,
        'Record it with adaptive-spec trace.',
      );
    }
    if (reader.header.costs) {
      // Replay's times are these: there is nothing left to find out.
      const { unconfirmed: _, ...costs } = reader.header.costs;
      loaded.costs ??= costs;
    }
  }
  return loaded;
}

/** Generations counted up to their first loop; those that loop from their first token on are left out. */
export function beforeLoops(generations: readonly ReplayGeneration[]): ReplayGeneration[] {
  return generations
    .map((generation) => {
      const loop = firstLoop(generation.tokens);
      return loop === null ? generation : countedTo(generation, loop);
    })
    .filter(({ end }) => end > 0);
}
