// What `import … from 'adaptive-spec'` gives: public exports only.

export type { Calibration, CalibrationPart, MeasuredRow } from './calibration/calibration.js';
export { LiveCosts, type LiveCostsOptions, type LiveCostsState } from './calibration/live.js';
export type { AdaEdlConfig } from './control/adaedl-controller.js';
export { type AdaptiveSpecConfig, AdaptiveSpecController } from './control/adaptive-spec-controller.js';
export type { AutoConfig } from './control/auto-controller.js';
export type { ConfidenceConfig } from './control/confidence-controller.js';
export { CONTEXT_KINDS, type ContextKind, ContextKindClassifier } from './control/context-kind.js';
export type { ContextKindState } from './control/context-kind-state.js';
export type {
  AcceptanceModel,
  Branches,
  Controller,
  DepthController,
  DetailedPlan,
  Load,
  Plan,
  RequestInfo,
  StepReport,
  StopRule,
  TreePlan,
  ValueRule,
} from './control/controller.js';
export { MAX_DEPTH } from './control/controller.js';
export {
  type ControllerName,
  controllerNames,
  controllerSummaries,
  controllers,
} from './control/controllers.js';
export { CostModel, type CostTable, type RowCost } from './control/costs.js';
export type { DiscoConfig } from './control/disco-controller.js';
export type { MadePlan } from './control/driver.js';
export { fixedDepth, type NativeDepthController, off } from './control/fixed-depth.js';
export type { GammaTuneConfig } from './control/gammatune-controller.js';
export type { GoodputConfig } from './control/goodput-controller.js';
export type { HedgeConfig } from './control/hedge-controller.js';
export type { HeuristicConfig } from './control/heuristic-controller.js';
export { EARLY_TOKENS, type PositionPhase, positionPhase } from './control/position-phase.js';
export { type DepthRange, RECOMMENDED_DEPTHS, recommendedDepth } from './control/recommended-depth.js';
export type { SpecDecConfig } from './control/specdec-controller.js';
export type { SvipConfig } from './control/svip-controller.js';
export type { TiersConfig } from './control/tiers-controller.js';
export type { VllmConfig } from './control/vllm-controller.js';
export {
  createEngine,
  type Engine,
  type EngineEvents,
  type EngineInfo,
  type MeasureOptions,
  type ReadPrompt,
  type TokenizeOptions,
} from './engine.js';
export { AdaptiveSpecError, type ErrorCode } from './errors.js';
export { type GenerateOptions, generate, unload } from './generate.js';
export type { Generation, GenerationPart } from './generation.js';
export type { TokenLogprobs, TokenProbability } from './logprobs.js';
export { type TrimDraftOptions, type TrimmedDraft, trimDraft } from './models/trim-draft.js';
export { type AuditEntry, readAuditLog } from './observe/audit-log.js';
export type { GenerateTrace } from './observe/generate-channel.js';
export { type RecordedGeneration, readTrace, type Trace, TraceReader } from './observe/trace-file.js';
export type { TraceHeader, TracePosition, TraceStep } from './observe/trace-format.js';
export { recordedReport, recordedRequest } from './observe/trace-lines.js';
export type {
  CalibrateOptions,
  DryOptions,
  EngineOptions,
  KvCacheType,
  Message,
  NgramStoreOptions,
  Progress,
  RequestOptions,
  SessionOptions,
  Warning,
} from './options.js';
export type { FinishReason, GenerationResult, Statistics, StepCounts } from './result.js';
export type { Session } from './session.js';
export type { JsonSchema } from './structured/schema-text.js';
export type { ResponseFormat } from './structured/structure.js';
export type { Tool, ToolCall, ToolChoice } from './structured/tools.js';
