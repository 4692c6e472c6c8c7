// Who may ask: the API key, the Host header against DNS rebinding, and the Origin that a browser names.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { isIP } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { HttpError } from './http-error.js';

/** Says nothing but that the server is there, so that what watches it needs no key. */
export const PUBLIC_PATHS = new Set(['/livez', '/readyz', '/health', '/v1/health']);

/** Where a browser may come without a program's help: it asks for the key as a password. */
const PAGE = /^\/dashboard(\/|$)/;

/** Throws HttpError 401 where the request lacks a key that is asked for. */
export function keyGuard(keys: readonly string[]): (request: FastifyRequest) => void {
  const digests = keys.map(digestOf);
  return ({ headers, routeOptions }) => {
    if (digests.length === 0 || PUBLIC_PATHS.has(routeOptions.url ?? '')) return;
    const isPage = PAGE.test(routeOptions.url ?? '');
    const given = keyIn(headers, isPage);
    // Digests are of one length, and all keys are compared: the time taken tells nothing.
    const digest = digestOf(typeof given === 'string' ? given : '');
    let known = false;
    for (const key of digests) known = timingSafeEqual(key, digest) || known;
    if (known && typeof given === 'string') return;
    throw new HttpError('authentication_error', 'Invalid API Key', {
      code: 'invalid_api_key',
      headers: { 'www-authenticate': isPage ? 'Basic realm="adaptive-spec", charset="UTF-8"' : 'Bearer' },
    });
  };
}

/**
 * Throws HttpError 403 for a name that isn't ours: a page whose name was pointed at this address after it was loaded
 * (DNS rebinding) gives itself away there. Addresses are no names, and can't be rebound.
 */
export function hostGuard(allowed: readonly string[]): (request: FastifyRequest) => void {
  const names = new Set(['localhost', ...allowed.map((name) => name.toLowerCase())]);
  return ({ headers }) => {
    const host = headers.host ?? '';
    const name = hostnameOf(`http://${host}`);
    if (name === undefined || !(names.has(name) || isIP(name.replace(/^\[|\]$/g, '')) > 0)) {
      throw new HttpError(
        'permission_error',
        `This server doesn't go by the name ${JSON.stringify(host.slice(0, 80))}`,
        {
          code: 'HOST_NOT_ALLOWED',
        },
      );
    }
    const { origin } = headers;
    if (origin === undefined || origin === `http://${host}` || origin === `https://${host}`) return;
    throw new HttpError('permission_error', 'Pages of other origins may not ask', {
      code: 'ORIGIN_NOT_ALLOWED',
    });
  };
}

/** Whose caches a request may use: requests with the same key share them, so that no other's speed tells of a text. */
export function cacheOf({ headers }: FastifyRequest): string {
  const key = keyIn(headers, false);
  return typeof key === 'string' ? digestOf(key).toString('hex') : '';
}

function keyIn({ authorization = '', 'x-api-key': plain }: IncomingHttpHeaders, isPage: boolean) {
  const bearer = /^Bearer +(.+)$/i.exec(authorization)?.[1];
  return bearer ?? (isPage ? passwordOf(authorization) : undefined) ?? plain;
}

/** Whether only this machine can reach an address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The password of HTTP's basic authentication; the user's name may be any. */
function passwordOf(authorization: string): string | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=]+)$/i.exec(authorization)?.[1];
  if (encoded === undefined) return undefined;
  const [, ...password] = Buffer.from(encoded, 'base64').toString('utf8').split(':');
  return password.join(':');
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function hostnameOf(address: string): string | undefined {
  try {
    const { hostname, pathname, username, search } = new URL(address);
    return pathname === '/' && username === '' && search === '' ? hostname.toLowerCase() : undefined;
  } catch {
    return undefined;
  }
}
