import type { IncomingMessage } from 'node:http';
import { Refusal } from './errors.ts';

/** The body of one request, read once. */
export class RequestBody {
  /** Bytes that have been read so far. */
  received = 0;
  readonly #request: IncomingMessage;
  readonly #idleMs: number;

  /** @param options.idleMs how long the client may send nothing before it is cut off */
  constructor(request: IncomingMessage, options: { idleMs: number }) {
    this.#request = request;
    this.#idleMs = options.idleMs;
  }

  /** Bytes as the client has announced them; undefined for a body of unknown length. */
  get announced(): number | undefined {
    const length = this.#request.headers['content-length'];
    return length === undefined ? undefined : Number(length);
  }

  /**
   * The body in the chunks in which it comes; each belongs to the reader. Whoever stops early leaves the rest unread
   * and the connection alive, so that the answer can still be sent.
   * @throws Node's `ECONNRESET` if the client goes away or stays silent for too long
   */
  async *chunks(): AsyncGenerator<Uint8Array> {
    const { socket } = this.#request;
    socket.setTimeout(this.#idleMs);
    try {
      for await (const chunk of this.#request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
        this.received += chunk.byteLength;
        yield chunk;
      }
    } finally {
      socket.setTimeout(0);
    }
  }

  /** @throws Refusal `SIZE_INVALID` with status 413 beyond `maxBytes` */
  async whole({ maxBytes }: { maxBytes: number }): Promise<Buffer> {
    if ((this.announced ?? 0) > maxBytes) throw tooLarge(maxBytes);
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.chunks()) {
      if (this.received > maxBytes) throw tooLarge(maxBytes);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, this.received);
  }
}

export function tooLarge(maxBytes: number): Refusal {
  const message = `content is larger than ${maxBytes} bytes`;
  return new Refusal(413, { code: 'SIZE_INVALID', message, detail: { maxBytes } });
}
