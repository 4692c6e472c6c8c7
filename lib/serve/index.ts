// What `import … from 'adaptive-spec/server'` gives.

export type { ErrorBody, ErrorType } from './http-error.js';
export type { RequestDefaults, ServerOptions } from './options.js';
export type { ServedEngine, ServedGeneration } from './served-engine.js';
export { createServer, type Server } from './server.js';
export type { BegunRequest, DefaultPolicy, ServerState, StateEvents } from './state.js';
