import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { debugLog } from '../lib/debug.ts';
import { errorCode } from '../lib/errors.ts';
import { isDatabaseFull } from './database.ts';
import { Refusal } from './errors.ts';
import { jsonBody, type Reply } from './exchange.ts';
import { type OpenFileRange, sendFile } from './file-sender.ts';

const debug = debugLog('distribution');
const bodylessStatuses = new Set([204, 304]);

/** A reply of which nothing but the connection can fail any more. Send it, or its file stays open. */
export interface ReadyReply {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  /** Undefined where no body is sent, as to a HEAD. */
  readonly content: Uint8Array | OpenFileRange | undefined;
}

export async function readyReply({ method }: IncomingMessage, reply: Reply): Promise<ReadyReply> {
  const { status, headers, body } = reply;
  const isBodyless = bodylessStatuses.has(status);
  const size = body === undefined ? 0 : 'size' in body ? body.size : body.byteLength;
  return {
    status,
    headers: {
      'Docker-Distribution-API-Version': 'registry/2.0',
      ...(!isBodyless && { 'Content-Length': size }),
      ...headers,
    },
    content: body && size > 0 && method !== 'HEAD' && !isBodyless ? await load(body) : undefined,
  };
}

async function load(body: NonNullable<Reply['body']>): Promise<Uint8Array | OpenFileRange> {
  if ('read' in body) return await body.read();
  if ('open' in body) return { start: body.start, size: body.size, file: await body.open() };
  return body;
}

/**
 * Sends a reply. A client that goes away is no error.
 * @param options.idleMs how long the client may take nothing before it is cut off
 * @param options.onBytes told of each piece of the body that was handed to the connection
 */
export async function sendReply(
  response: ServerResponse,
  { status, headers, content }: ReadyReply,
  { idleMs, onBytes }: { idleMs: number; onBytes: (bytes: number) => void },
): Promise<void> {
  const cut = (error: unknown) => debug('an answer was cut: %s', error);
  response.on('error', cut);
  try {
    if (response.destroyed) return;
    response.writeHead(status, headers);
    if (content) response.setTimeout(idleMs);
    if (content && 'file' in content) {
      await sendFile(response, content, onBytes);
    } else {
      onBytes(content?.byteLength ?? 0);
      response.end(content);
    }
  } catch (error) {
    cut(error);
    response.destroy();
  } finally {
    if (content && 'file' in content) await content.file.close();
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
