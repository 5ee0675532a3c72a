import { setImmediate } from 'node:timers/promises';
import type { AnswerBody } from './answer.ts';
import { TransportFault, transportFault } from './transport-fault.ts';

export interface ResponseBodyOptions {
  readonly signal: AbortSignal | undefined;
  readonly onBytes: () => void;
  /** Called once, with the bytes received, when the body has ended, was cut, or was given up. */
  readonly onEnd: (bytes: number) => void;
}

/** `complete` is false when there was more, which was not read. */
export interface BodyContent {
  readonly bytes: Buffer;
  readonly complete: boolean;
}

/** The raw bytes of an answer. Read it once, in one of the four ways; what is not read holds its connection. */
export class ResponseBody implements AsyncIterable<Uint8Array> {
  readonly #body: AnswerBody;
  readonly #signal: AbortSignal | undefined;
  readonly #onBytes: () => void;
  readonly #onEnd: (bytes: number) => void;
  #bytes = 0;
  #ended = false;

  constructor(body: AnswerBody, { signal, onBytes, onEnd }: ResponseBodyOptions) {
    this.#body = body;
    this.#signal = signal;
    this.#onBytes = onBytes;
    this.#onEnd = onEnd;
    body.onFailure = () => this.#end();
  }

  /** @throws TransportFault when the body is cut or stops; the signal's reason when it is aborted */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (let chunk = await this.#body.next(); chunk; chunk = await this.#body.next()) {
        this.#bytes += chunk.byteLength;
        this.#onBytes();
        yield chunk;
      }
      // undici frees the connection one turn later: a request that comes sooner would open another one.
      await setImmediate();
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw transportFault(error);
    } finally {
      this.#body.close();
      this.#end();
    }
  }

  /** Reads at most `maxBytes`. @throws as the iteration, but for a cut `truncated` */
  async read(maxBytes: number): Promise<BodyContent> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    try {
      for await (const chunk of this) {
        chunks.push(chunk);
        size += chunk.byteLength;
        if (size > maxBytes) return { bytes: Buffer.concat(chunks).subarray(0, maxBytes), complete: false };
      }
    } catch (error) {
      if (!(error instanceof TransportFault) || error.kind !== 'reset') throw error;
      throw new TransportFault('truncated', `${error.message}, after ${size} bytes`, error.retryable, error.cause);
    }
    return { bytes: Buffer.concat(chunks), complete: true };
  }

  /** The first `maxBytes`, or as many of them as come: for what is of use even when it is cut. */
  async beginning(maxBytes: number): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    try {
      for await (const chunk of this) {
        chunks.push(chunk);
        size += chunk.byteLength;
        if (size >= maxBytes) break;
      }
    } catch (error) {
      if (!(error instanceof TransportFault)) throw error;
    }
    return Buffer.concat(chunks).subarray(0, maxBytes);
  }

  /** Reads a short rest, so that the connection can be used again. */
  async discard(): Promise<void> {
    await this.beginning(maxDiscardedBytes);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#onEnd(this.#bytes);
  }
}

/** A longer body costs more than a new connection. */
const maxDiscardedBytes = 64 * 1024;
