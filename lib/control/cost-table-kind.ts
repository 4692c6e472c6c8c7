// What a cost table in a controller's snapshot must be like.

import type { CostTable } from './costs.js';
import { list, real, shape, whole } from './settings.js';

const TIME = real(0, Number.MAX_VALUE);

export const COST_TABLE = shape<CostTable>({
  target: list(
    shape({ rows: whole(1, 4096), contextLength: whole(0, Number.MAX_SAFE_INTEGER), ms: TIME }),
    1,
    4096,
  ),
  draft: shape({ msPerToken: TIME, threads: whole(0, 4096) }),
  overheadMs: TIME,
  rebuildMs: TIME,
  callbackMs: TIME,
});
