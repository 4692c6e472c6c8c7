// The test engine's tokenizer and chat template: a token is a word with the white space before it.

import type { NativeTurn } from '../binding.js';
import { CALL } from './reply.js';

/** Ids that a prompt may have. */
export const VOCABULARY = 1_048_576;
/** Ends an answer; has no text. */
export const END = 0;

/** Gives words their ids, in the order in which they come. */
export class Words {
  readonly #ids = new Map<string, number>();
  readonly #texts = [''];

  tokenize(text: string): Int32Array {
    return Int32Array.from(text.match(/\s*\S+|\s+$/g) ?? [], (word) => this.#idOf(word));
  }

  /** Ids that no text has had yet have none. */
  detokenize(tokens: Iterable<number>): string {
    return Array.from(tokens, (id) => this.#texts[id] ?? '').join('');
  }

  #idOf(word: string): number {
    const known = this.#ids.get(word);
    if (known !== undefined) return known;
    const id = this.#texts.length;
    if (id === VOCABULARY) throw new Error(`A test engine knows ${VOCABULARY} words at most`);
    this.#ids.set(word, id);
    this.#texts.push(word);
    return id;
  }
}

interface Line {
  role: string;
  content: string;
  tool_calls?: { function: { name: string; arguments: string } }[];
}

/** A conversation as the test engine's prompt has it. */
export function template(
  messages: readonly Line[],
  { answers, continues }: Pick<NativeTurn, 'answers' | 'continues'>,
  tools?: unknown[],
): string {
  const offer = tools ? [{ role: 'system', content: `Tools: ${JSON.stringify(tools)}` }] : [];
  const lines: Line[] = [...offer, ...messages];
  const turns = lines.map(({ role, content, tool_calls = [] }) => {
    const calls = tool_calls.map(({ function: { name, arguments: given } }) => `${CALL}${name} ${given}`);
    return `<|im_start|>${role}\n${[content, ...calls].join('\n')}<|im_end|>\n`;
  });
  const said = turns.join('');
  if (continues) return said.slice(0, -'<|im_end|>\n'.length);
  return answers ? `${said}<|im_start|>assistant\n` : said;
}
