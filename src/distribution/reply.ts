import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { debugLog } from '../lib/debug.ts';
import { errorCode } from '../lib/errors.ts';
import { Refusal } from './errors.ts';
import { jsonBody, type Reply } from './exchange.ts';
import { isDatabaseFull } from './metadata.ts';
import { idleBodyTimeoutMs } from './request-body.ts';

const debug = debugLog('distribution');
const bodylessStatuses = new Set([204, 304]);

/**
 * Sends a reply. A body that is a stream goes out as fast as the client reads it, and no faster is it read. A client
 * that goes away is no error.
 * @param onBytes told of each piece of the body that was handed to the connection
 */
export async function sendReply(
  request: IncomingMessage,
  response: ServerResponse,
  { reply, onBytes }: { reply: Reply; onBytes: (bytes: number) => void },
): Promise<void> {
  const { status, headers = {}, body } = reply;
  const size = body === undefined ? 0 : 'open' in body ? body.size : body.byteLength;
  response.writeHead(status, {
    'Docker-Distribution-API-Version': 'registry/2.0',
    ...(!bodylessStatuses.has(status) && { 'Content-Length': size }),
    ...headers,
  });
  if (body === undefined || size === 0 || request.method === 'HEAD' || bodylessStatuses.has(status)) {
    response.end();
    return;
  }
  response.setTimeout(idleBodyTimeoutMs);
  const content = 'open' in body ? body.open() : body;
  if (content instanceof Uint8Array) {
    onBytes(content.byteLength);
    response.end(content);
    return;
  }
  content.on('data', (chunk: Uint8Array) => onBytes(chunk.byteLength));
  try {
    await pipeline(content, response);
  } catch (error) {
    debug('an answer to a %s was cut: %s', request.method, error);
  }
}

/** The answer to a request that failed; faults of the server say no more than what the client can act upon. */
export function errorReply(error: unknown): Reply {
  if (error instanceof Refusal) {
    const { status, errors, headers } = error;
    return { status, headers: { 'Content-Type': 'application/json', ...headers }, body: jsonBody({ errors }) };
  }
  const isFull = errorCode(error) === 'ERR_LADING_DISK_FULL' || isDatabaseFull(error);
  const message = isFull ? 'the disk of the registry is full' : 'the registry failed to handle this request';
  const body = jsonBody({ errors: [{ code: 'UNKNOWN', message }] });
  return { status: isFull ? 507 : 500, headers: { 'Content-Type': 'application/json' }, body };
}
