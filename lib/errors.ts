// The one error class of the package, with codes that stay stable across releases.

/** What went wrong, as a word that programs can test. Codes are never renamed, only added. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'MODEL_NOT_FOUND'
  | 'MODEL_INVALID'
  | 'DOWNLOAD_FAILED'
  | 'VOCAB_MISMATCH'
  | 'CONTEXT_OVERFLOW'
  | 'SCHEMA_INVALID'
  | 'GRAMMAR_INVALID'
  | 'OUT_OF_MEMORY'
  | 'UNSUPPORTED'
  | 'DISPOSED'
  | 'BAD_LOGITS'
  | 'CONTROLLER_INVALID'
  | 'MACHINE_BUSY'
  | 'AUDIT_FAILED'
  | 'TRACE_FAILED'
  | 'TRACE_INVALID'
  | 'STORE_FAILED'
  | 'STORE_INVALID'
  | 'SESSION_FAILED'
  | 'SESSION_INVALID'
  | 'BUSY'
  | 'UNREACHABLE'
  | 'REFUSED'
  | 'NO_SPECULATION'
  | 'PACKAGE_INCOMPLETE'
  | 'NATIVE_MISSING'
  | 'CPU_UNSUPPORTED'
  | 'NATIVE_FAILURE';

/**
 * Every error that this package throws on purpose.
 * `message` says what is wrong, `hint` what to do about it, `code` is for programs.
 */
export class AdaptiveSpecError extends Error {
  override readonly name = 'AdaptiveSpecError';
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, hint: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.hint = hint;
  }
}
