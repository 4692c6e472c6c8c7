// What is said in a chat, what its commands change, and what they refuse.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { COMMANDS, Conversation } from '../../lib/cli/conversation.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'adaptive-spec-conversation-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const refusal = (message: RegExp, hint = /./) =>
  expect.objectContaining({
    code: 'INVALID_ARGUMENT',
    message: expect.stringMatching(message),
    hint: expect.stringMatching(hint),
  });

describe('a conversation', () => {
  it('sends what was said before along, the system first', async () => {
    const conversation = new Conversation({ maxTokens: 9 }, 'Be brief.');
    expect(await conversation.hear(' hello /help')).toEqual({ type: 'words', text: ' hello /help' });
    conversation.answered('hello', 'Hi!');
    expect(conversation.requestFor('and?')).toEqual({
      maxTokens: 9,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'hello' },
        { role: 'assistant', content: 'Hi!' },
        { role: 'user', content: 'and?' },
      ],
    });
    // Asking is not yet saying: an answer that failed leaves no trace.
    expect(conversation.messages).toHaveLength(3);
  });

  it('is forgotten with /reset, but for the system', async () => {
    const conversation = new Conversation({}, 'Be brief.');
    conversation.answered('a', 'b');
    await conversation.hear('/reset');
    expect(conversation.messages).toEqual([{ role: 'system', content: 'Be brief.' }]);
    await conversation.hear('/system');
    expect(conversation.messages).toEqual([]);
    await conversation.hear('/system Be  long. ');
    expect(conversation.messages).toEqual([{ role: 'system', content: 'Be  long.' }]);
  });

  it('is answered by one controller or one depth, whichever was named last', async () => {
    const conversation = new Conversation({ depth: 3 });
    await conversation.hear('/controller adaptive');
    expect(conversation.requestFor('x')).toMatchObject({ controller: 'adaptive' });
    expect(conversation.requestFor('x')).not.toHaveProperty('depth');
    await conversation.hear('/depth 0');
    expect(conversation.requestFor('x')).toMatchObject({ depth: 0 });
    expect(conversation.requestFor('x')).not.toHaveProperty('controller');
    const file = join(folder, 'mine.mjs');
    writeFileSync(file, 'export default () => 5;');
    await conversation.hear(`/controller ${file}`);
    expect((conversation.requestFor('x').controller as () => number)()).toBe(5);
  });

  it('is saved as JSON', async () => {
    const conversation = new Conversation({}, 'Be brief.');
    conversation.answered('a', 'b\n');
    const file = join(folder, 'with spaces.json');
    expect(await conversation.hear(`/save ${file}`)).toMatchObject({ type: 'said' });
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({ messages: conversation.messages });
  });

  it.each(['/exit', ' /exit ', '/quit'])('is left with %j', async (line) => {
    expect(await new Conversation({}).hear(line)).toEqual({ type: 'leave' });
  });

  it('knows every command that /help lists', async () => {
    const conversation = new Conversation({});
    const help = await conversation.hear('/help');
    if (help.type !== 'said') throw new Error('/help says nothing');
    const arguments_: Record<string, string> = {
      '/controller': 'off',
      '/depth': '2',
      '/save': join(folder, 'all.json'),
    };
    for (const [name] of COMMANDS) {
      expect(help.lines.join('\n')).toContain(name);
      expect((await conversation.hear(`${name} ${arguments_[name] ?? ''}`)).type).not.toBe('words');
    }
  });

  it.each([
    ['/resett', /no command \/resett/, /Did you mean \/reset\?/],
    ['/', /no command/, /\/help/],
    ['/controller', /needs a name/, /auto/],
    ['/controller adaptiv', /no controller named/, /adaptive/],
    ['/controller fixed', /no depth/, /./],
    ['/controller ./nowhere.mjs', /can't be loaded/, /./],
    ['/depth', /\/depth is ""/, /./],
    ['/depth four', /\/depth is "four"/, /./],
    ['/depth 1.5', /depth/, /whole number/],
    ['/depth 17', /17 is too large/, /0 to 16/],
    ['/save', /needs the name/, /./],
    ['/save /dev/null/x', /can't be written/, /./],
  ])('refuses %j, and goes on as it was', async (line, message, hint) => {
    const conversation = new Conversation({ depth: 3 });
    conversation.maxDepth = 16;
    await expect(conversation.hear(line)).rejects.toEqual(refusal(message, hint));
    expect(conversation.requestFor('x')).toMatchObject({ depth: 3 });
  });

  it('refuses settings that can be no request', () => {
    expect(() => new Conversation({ controller: 'nobody' })).toThrow(refusal(/no controller named/));
    expect(() => new Conversation({ maxTokens: -1 })).toThrow(refusal(/maxTokens/));
  });
});
