import type { IncomingMessage } from 'node:http';
import { Refusal } from './errors.ts';

/** Of a connection on which a body should move and does not. */
export const idleBodyTimeoutMs = 60_000;

/**
 * The body in the chunks in which it comes. Whoever stops early leaves the rest unread and the connection alive, so
 * that the answer can still be sent.
 * @throws Node's `ECONNRESET` if the client goes away or stays silent for `idleBodyTimeoutMs`
 */
export async function* readChunks(request: IncomingMessage): AsyncGenerator<Uint8Array> {
  request.socket.setTimeout(idleBodyTimeoutMs);
  try {
    yield* request.iterator({ destroyOnReturn: false });
  } finally {
    request.socket.setTimeout(0);
  }
}

/** @throws Refusal `SIZE_INVALID` with status 413 beyond `maxBytes` */
export async function readWhole(request: IncomingMessage, { maxBytes }: { maxBytes: number }): Promise<Buffer> {
  const tooLarge = () =>
    new Refusal(413, {
      code: 'SIZE_INVALID',
      message: `content is larger than ${maxBytes} bytes`,
      detail: { maxBytes },
    });
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of readChunks(request)) {
    size += chunk.byteLength;
    if (size > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}
