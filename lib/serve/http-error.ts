// What goes wrong over HTTP: llama.cpp's types of errors, and the bodies that OpenAI's clients read.

import { AdaptiveSpecError, type ErrorCode } from '../errors.js';

/** Types of errors as llama-server names them, with the status of each. */
export const ERROR_STATUS = {
  invalid_request_error: 400,
  exceed_context_size_error: 400,
  authentication_error: 401,
  permission_error: 403,
  not_found_error: 404,
  server_error: 500,
  not_supported_error: 501,
  unavailable_error: 503,
} as const;

export type ErrorType = keyof typeof ERROR_STATUS;

/** An error's body. */
export interface ErrorBody {
  error: {
    message: string;
    type: ErrorType;
    /** The field that is wrong, such as 'messages[0].content'; null where it is none in particular. */
    param: string | null;
    /** A word for programs: an `AdaptiveSpecError`'s code, or one of the server's own. */
    code: string;
    /** With `exceed_context_size_error`, as llama-server has them. */
    n_prompt_tokens?: number;
    n_ctx?: number;
  };
}

interface Details {
  param?: string;
  code?: string;
  /** Where it isn't the type's own. */
  status?: number;
  headers?: Record<string, string>;
  n_ctx?: number;
  n_prompt_tokens?: number;
  cause?: unknown;
}

/** An error that a request is answered with. */
export class HttpError extends Error {
  override readonly name = 'HttpError';
  readonly type: ErrorType;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ErrorBody;

  constructor(type: ErrorType, message: string, details: Details = {}) {
    super(message, { cause: details.cause });
    const { param = null, code = type, n_ctx, n_prompt_tokens } = details;
    this.type = type;
    this.status = details.status ?? ERROR_STATUS[type];
    this.headers = details.headers ?? {};
    this.body = {
      error: {
        message,
        type,
        param,
        code,
        ...(n_prompt_tokens === undefined ? {} : { n_prompt_tokens }),
        ...(n_ctx === undefined ? {} : { n_ctx }),
      },
    };
  }
}

/** A field that is wrong. */
export function invalidField(param: string, message: string): HttpError {
  return new HttpError('invalid_request_error', message, { param, code: 'INVALID_ARGUMENT' });
}

/** A field that asks for what this server can't do. */
export function unsupportedField(param: string, message: string): HttpError {
  return new HttpError('not_supported_error', message, { param, code: 'UNSUPPORTED' });
}

/** No room for now; `seconds` says when to ask again. */
export function unavailable(code: 'BUSY' | 'SHUTTING_DOWN', message: string, seconds: number): HttpError {
  return new HttpError('unavailable_error', message, { code, headers: { 'retry-after': String(seconds) } });
}

const TYPES: Partial<Record<ErrorCode, ErrorType>> = {
  INVALID_ARGUMENT: 'invalid_request_error',
  SCHEMA_INVALID: 'invalid_request_error',
  GRAMMAR_INVALID: 'invalid_request_error',
  CONTEXT_OVERFLOW: 'exceed_context_size_error',
  UNSUPPORTED: 'not_supported_error',
  BUSY: 'unavailable_error',
  DISPOSED: 'unavailable_error',
  OUT_OF_MEMORY: 'unavailable_error',
};

/** Whatever was thrown, as an answer. A defect of ours tells its client nothing but that it is one. */
export function httpErrorOf(error: unknown, contextSize: number): HttpError {
  if (error instanceof HttpError) return error;
  if (!(error instanceof AdaptiveSpecError)) {
    const headers = { 'x-should-retry': 'false' };
    return new HttpError('server_error', 'The server failed; its log says how', {
      code: 'INTERNAL',
      headers,
      cause: error,
    });
  }
  const { code, message, hint } = error;
  const type = TYPES[code] ?? 'server_error';
  const full = `${message.replace(/\.$/, '')}. ${hint}`;
  if (type === 'exceed_context_size_error') {
    const tokens = /^\D*(\d+) tokens/.exec(message)?.[1];
    return new HttpError(type, full, {
      code: 'context_length_exceeded',
      n_ctx: contextSize,
      ...(tokens === undefined ? {} : { n_prompt_tokens: Number(tokens) }),
    });
  }
  // OpenAI's clients would run a request that fails each time twice more.
  const again: Record<string, string> =
    type === 'unavailable_error'
      ? { 'retry-after': '1' }
      : type === 'server_error'
        ? { 'x-should-retry': 'false' }
        : {};
  return new HttpError(type, full, { code, headers: again, cause: error });
}
