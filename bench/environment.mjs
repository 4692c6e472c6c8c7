// What a report must say of where it was made, and whether that place was quiet.
import { loadavg } from 'node:os';

export { environment } from '../dist/bench/environment.js';

/** Waits up to a minute until hardly anything else runs; answers the load average (1 minute) then. */
export async function waitForQuiet(limit = 0.5) {
  for (let second = 0; second < 60 && loadavg()[0] > limit; second++)
    await new Promise((done) => setTimeout(done, 1000));
  return loadavg()[0];
}
