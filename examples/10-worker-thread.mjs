// An engine in a worker thread, controllers included, where the main thread is busy with other things.
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { generate } from 'adaptive-spec';

if (isMainThread) {
  const worker = new Worker(new URL(import.meta.url));
  worker.on('message', (text) => process.stdout.write(text));
  worker.postMessage('Tell me about the sea.');
} else {
  parentPort.once('message', async (content) => {
    const messages = [{ role: 'user', content }];
    for await (const text of generate({ messages, maxTokens: 48 })) parentPort.postMessage(text);
    parentPort.postMessage('\n');
  });
}
