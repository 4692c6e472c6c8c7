// A server of files on this machine that does what servers do: ranges, tags, refusals, and breaking off.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Request {
  url: string;
  headers: IncomingHttpHeaders;
}

/** Answers the request of the given number, from 0 on. */
export type Handler = (request: Request, response: ServerResponse, index: number) => void;

export interface FileServer extends AsyncDisposable {
  /** Without a slash at the end. */
  origin: string;
  requests: Request[];
  handler: Handler;
  /** Cuts every connection. */
  breakOff(): void;
}

export async function fileServer(handler: Handler): Promise<FileServer> {
  const server = createServer((incoming, response) => {
    const request = { url: incoming.url!, headers: incoming.headers };
    self.handler(request, response, self.requests.push(request) - 1);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const self: FileServer = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    handler,
    breakOff: () => server.closeAllConnections(),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
  return self;
}

/** Sends a file as a good server does: the range that is asked for, if the tag still is the file's. */
export function sendFile({ headers }: Request, response: ServerResponse, file: Buffer, etag = '"v1"'): void {
  const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? Number.NaN);
  const isCurrent = headers['if-range'] === etag && !etag.startsWith('W/');
  const start = isCurrent && from < file.length ? from : 0;
  response.setHeader('etag', etag);
  response.setHeader('content-length', file.length - start);
  if (start > 0) response.setHeader('content-range', `bytes ${start}-${file.length - 1}/${file.length}`);
  response.writeHead(start > 0 ? 206 : 200).end(file.subarray(start));
}

/** Sends the first `count` bytes of a file, and then nothing: until the connection is cut. */
export function sendBeginning(response: ServerResponse, file: Buffer, count: number, etag = '"v1"'): void {
  response.writeHead(200, { etag, 'content-length': file.length });
  response.write(file.subarray(0, count));
}
