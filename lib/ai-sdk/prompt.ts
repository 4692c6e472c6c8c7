// The AI SDK's messages as an engine has them.

import type {
  LanguageModelV3Message,
  LanguageModelV3Prompt,
  LanguageModelV3ToolResultPart,
  SharedV3Warning,
} from '@ai-sdk/provider';
import { AdaptiveSpecError } from '../errors.js';
import type { Message } from '../options.js';

/** Throws UNSUPPORTED for files and images; what is left out with less harm gets a warning. */
export function messagesOf(prompt: LanguageModelV3Prompt, warnings: SharedV3Warning[]): Message[] {
  return prompt.flatMap((message) => messageOf(message, warnings));
}

function messageOf(message: LanguageModelV3Message, warnings: SharedV3Warning[]): Message[] {
  switch (message.role) {
    case 'system':
      return [{ role: 'system', content: message.content }];
    case 'user':
      return [{ role: 'user', content: message.content.map(textOf).join('') }];
    case 'assistant':
      return [assistantOf(message, warnings)];
    case 'tool':
      // The rest are answers to questions that only a provider's own tools ask.
      return message.content.flatMap((part) => (part.type === 'tool-result' ? [resultOf(part)] : []));
  }
}

type Assistant = Extract<LanguageModelV3Message, { role: 'assistant' }>;

function assistantOf({ content }: Assistant, warnings: SharedV3Warning[]): Message {
  let text = '';
  const toolCalls = [];
  for (const part of content) {
    if (part.type === 'tool-call') {
      const { toolCallId: id, toolName: name, input } = part;
      toolCalls.push({ id, name, arguments: JSON.stringify(input ?? {}) });
    } else if (part.type === 'reasoning' || part.type === 'tool-result') {
      const message = `A ${part.type} part of an assistant's message is left out: chat templates have no place for it.`;
      warnings.push({ type: 'other', message });
    } else text += textOf(part);
  }
  return { role: 'assistant', content: text, ...(toolCalls.length > 0 ? { toolCalls } : {}) };
}

function textOf(part: { type: 'text'; text: string } | { type: 'file'; mediaType: string }): string {
  if (part.type === 'text') return part.text;
  throw unsupported(`A file of type ${part.mediaType}`);
}

function resultOf({ toolCallId, toolName: name, output }: LanguageModelV3ToolResultPart): Message {
  return { role: 'tool', content: outputOf(output), toolCallId, name };
}

function outputOf(output: LanguageModelV3ToolResultPart['output']): string {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return output.value;
    case 'json':
    case 'error-json':
      return JSON.stringify(output.value);
    case 'execution-denied':
      return output.reason ?? 'The call of this tool was denied.';
    case 'content':
      return output.value
        .map((part) => {
          if (part.type === 'text') return part.text;
          throw unsupported(`A tool's result of type ${part.type}`);
        })
        .join('\n');
  }
}

function unsupported(what: string): AdaptiveSpecError {
  return new AdaptiveSpecError('UNSUPPORTED', `${what} is no text`, 'Models here read text alone.');
}
