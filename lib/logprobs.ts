// How probable the emitted tokens were, and which others were: as native code tells it, and in the package's words.

/** A token and the natural logarithm of its probability. */
export interface TokenProbability {
  /** Id in the target's vocabulary. */
  token: number;
  /** The token as text; what is no whole character of UTF-8 is U+FFFD there. A control token has its name. */
  text: string;
  bytes: Uint8Array;
  /** By the target's own distribution: temperature 1, before penalties, grammars and all other samplers. */
  logprob: number;
}

/** An emitted token, and the likeliest tokens of its place. */
export interface TokenLogprobs extends TokenProbability {
  /** As many as were asked for, the likeliest first, of equal ones the lowest id; the emitted one may be among them. */
  top: TokenProbability[];
}

/** @internal */
export type NativeTokenProbability = Omit<TokenProbability, 'text'>;
/** @internal */
export interface NativeTokenLogprobs extends NativeTokenProbability {
  top: NativeTokenProbability[];
}

/** @internal */
export function logprobsOf(native: readonly NativeTokenLogprobs[]): TokenLogprobs[] {
  return native.map(({ top, ...token }) => ({ ...withText(token), top: top.map(withText) }));
}

function withText({ token, bytes, logprob }: NativeTokenProbability): TokenProbability {
  return {
    token,
    text: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'),
    bytes,
    logprob,
  };
}
