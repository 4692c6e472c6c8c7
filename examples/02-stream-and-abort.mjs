// Text as it comes; leaving the loop stops the generation within a step.
import { generate } from 'adaptive-spec';

const messages = [{ role: 'user', content: 'Tell me about the sea.' }];
let characters = 0;
for await (const text of generate({ messages })) {
  process.stdout.write(text);
  characters += text.length;
  if (characters > 120) break;
}
process.stdout.write('\n');
