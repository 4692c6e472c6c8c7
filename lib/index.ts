// What `import … from 'adaptive-spec'` gives: public exports only.

export type { Calibration, CalibrationPart, MeasuredRow } from './calibration/calibration.js';
export { LiveCosts, type LiveCostsOptions, type LiveCostsState } from './calibration/live.js';
export { type AdaptiveSpecConfig, AdaptiveSpecController } from './control/adaptive-spec-controller.js';
export type {
  Controller,
  DepthController,
  Load,
  Plan,
  RequestInfo,
  StepReport,
  StopRule,
} from './control/controller.js';
export { MAX_DEPTH } from './control/controller.js';
export { controllerNames, controllers } from './control/controllers.js';
export { CostModel, type CostTable, type RowCost } from './control/costs.js';
export { fixedDepth, type NativeDepthController, off } from './control/fixed-depth.js';
export {
  createEngine,
  type Engine,
  type EngineEvents,
  type EngineInfo,
  type MeasureOptions,
  type TokenizeOptions,
} from './engine.js';
export { AdaptiveSpecError, type ErrorCode } from './errors.js';
export { type GenerateOptions, generate, unload } from './generate.js';
export type { Generation, GenerationPart } from './generation.js';
export { type AuditEntry, readAuditLog } from './observe/audit-log.js';
export type {
  CalibrateOptions,
  EngineOptions,
  KvCacheType,
  Message,
  Progress,
  RequestOptions,
  Warning,
} from './options.js';
export type { FinishReason, GenerationResult, Statistics, StepCounts } from './result.js';
