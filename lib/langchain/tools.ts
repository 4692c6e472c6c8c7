// LangChain's tools and choices as an engine has them.

import type { ToolChoice as AnyChoice, BindToolsInput } from '@langchain/core/language_models/chat_models';
import { convertToOpenAITool } from '@langchain/core/utils/function_calling';
import { AdaptiveSpecError } from '../errors.js';
import type { Tool, ToolChoice } from '../structured/tools.js';

/** Tools of any kind that LangChain has. Throws INVALID_ARGUMENT for others. */
export function toolsOf(tools: readonly BindToolsInput[]): Tool[] {
  return tools.map((tool) => {
    const made = convertToOpenAITool(tool as Parameters<typeof convertToOpenAITool>[0]) as Partial<Tool>;
    if (made.type !== 'function' || typeof made.function?.name !== 'string') {
      throw new AdaptiveSpecError(
        'INVALID_ARGUMENT',
        'A tool is neither one of LangChain nor one of OpenAI',
        "Make it by tool(…, { name, schema }), or give { type: 'function', function: { name, parameters } }.",
      );
    }
    const { name, description, parameters } = made.function;
    return {
      type: 'function',
      function: {
        name,
        ...(description === undefined ? {} : { description }),
        ...(parameters === undefined ? {} : { parameters }),
      },
    };
  });
}

/** 'any' is LangChain's word for 'required'; other words are tools' names, and objects are as OpenAI has them. */
export function choiceOf(choice: AnyChoice): ToolChoice {
  if (choice === 'auto' || choice === 'none' || choice === 'required') return choice;
  if (choice === 'any') return 'required';
  return { name: typeof choice === 'string' ? choice : (choice.function?.name ?? choice.name) };
}
