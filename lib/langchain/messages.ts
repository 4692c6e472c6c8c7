// LangChain's messages as an engine has them.

import type { AIMessage, BaseMessage, ChatMessage, ToolMessage } from '@langchain/core/messages';
import { AdaptiveSpecError } from '../errors.js';
import type { Message } from '../options.js';

/** Throws UNSUPPORTED for messages that are no text. */
export function messagesOf(messages: readonly BaseMessage[]): Message[] {
  return messages.map((message) => {
    const content = textOf(message);
    switch (message.type) {
      case 'system':
        return { role: 'system', content };
      case 'human':
        return { role: 'user', content };
      case 'ai': {
        const calls = (message as AIMessage).tool_calls ?? [];
        const toolCalls = calls.map(({ id, name, args }, i) => ({
          id: id ?? `call_${i}`,
          name,
          arguments: JSON.stringify(args),
        }));
        return { role: 'assistant', content, ...(toolCalls.length > 0 ? { toolCalls } : {}) };
      }
      case 'tool': {
        const { tool_call_id: toolCallId, name } = message as ToolMessage;
        return { role: 'tool', content, toolCallId, ...(name === undefined ? {} : { name }) };
      }
      case 'generic':
        return { role: (message as ChatMessage).role, content };
      default:
        throw unsupported(`A message of type ${message.type}`);
    }
  });
}

/** Blocks of an assistant's message that say again what it has beside them, or what no chat template takes. */
const LEFT_OUT = new Set([
  'tool_call',
  'tool_call_chunk',
  'tool_use',
  'invalid_tool_call',
  'reasoning',
  'thinking',
]);

function textOf({ type, content }: BaseMessage): string {
  if (typeof content === 'string') return content;
  return content
    .map((block) => {
      if (block.type === 'text') return String(block.text);
      if (type === 'ai' && LEFT_OUT.has(block.type)) return '';
      throw unsupported(`A content block of type ${block.type}`);
    })
    .join('');
}

function unsupported(what: string): AdaptiveSpecError {
  return new AdaptiveSpecError('UNSUPPORTED', `${what} is no text`, 'Models here read text alone.');
}
