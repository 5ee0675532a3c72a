import type { IncomingMessage, ServerResponse } from 'node:http';
import { debugLog } from '../lib/debug.ts';
import { errorCode } from '../lib/errors.ts';
import { isDatabaseFull } from './database.ts';
import { Refusal } from './errors.ts';
import { jsonBody, type Reply } from './exchange.ts';
import { type OpenFileRange, sendFile } from './file-sender.ts';

const debug = debugLog('distribution');
const bodylessStatuses = new Set([204, 304]);

/**
 * Sends a reply. A client that goes away is no error.
 * @param options.idleMs how long the client may take nothing before it is cut off
 * @param options.onBytes told of each piece of the body that was handed to the connection
 */
export async function sendReply(
  request: IncomingMessage,
  response: ServerResponse,
  { reply, idleMs, onBytes }: { reply: Reply; idleMs: number; onBytes: (bytes: number) => void },
): Promise<void> {
  const { status, headers = {}, body } = reply;
  const size = body === undefined ? 0 : 'size' in body ? body.size : body.byteLength;
  const isSent = size > 0 && request.method !== 'HEAD' && !bodylessStatuses.has(status);
  const content = body && isSent ? await load(body) : undefined;
  response.on('error', (error) => debug('an answer to a %s was cut: %s', request.method, error));
  response.writeHead(status, {
    'Docker-Distribution-API-Version': 'registry/2.0',
    ...(!bodylessStatuses.has(status) && { 'Content-Length': size }),
    ...headers,
  });
  if (!content) {
    response.end();
    return;
  }
  response.setTimeout(idleMs);
  if (content instanceof Uint8Array) {
    onBytes(content.byteLength);
    response.end(content);
    return;
  }
  try {
    await sendFile(response, content, onBytes);
  } catch (error) {
    debug('an answer to a %s was cut: %s', request.method, error);
    response.destroy();
  } finally {
    await content.file.close();
  }
}

/** Does what can fail before the first byte is sent. */
async function load(body: NonNullable<Reply['body']>): Promise<Uint8Array | OpenFileRange> {
  if ('read' in body) return await body.read();
  if ('open' in body) return { start: body.start, size: body.size, file: await body.open() };
  return body;
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
