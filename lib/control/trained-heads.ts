// Drafters that read the target's hidden states. They say nothing of how sure they are of a token.

const TRAINED_HEADS = ['eagle3', 'mtp', 'dflash'];

/** Whether the drafter of that name is one of llama.cpp's trained draft heads. */
export function isTrainedHead(drafter: string | undefined): boolean {
  return drafter !== undefined && TRAINED_HEADS.includes(drafter);
}
