import type { Dispatcher } from 'undici';

/**
 * When so many bytes wait for their reader, the connection is not read on until all of them are taken: each stop and
 * start costs 50 µs. Not less than one read of a connection: each start brings one, and what undici has not parsed of a
 * chunked body by the next stop is copied each time.
 */
const maxWaitingBytes = 1024 * 1024;

/** What a server answers, once the head of it is there. */
export interface Answer {
  readonly statusCode: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: AnswerBody;
}

export interface SendOptions {
  readonly signal: AbortSignal | undefined;
  /** Called for each interim answer (1xx); what it throws ends the exchange. */
  readonly onInterim: () => void;
}

/**
 * Sends a request and resolves with the head of the answer. undici's own `request` makes a stream of the body, which
 * took 5 % of the processor in a copy of 144 MB.
 * @throws what undici or the connection throws; the signal's reason
 */
export function send(
  dispatcher: Dispatcher,
  request: Dispatcher.DispatchOptions,
  { signal, onInterim }: SendOptions,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let abort = () => {};
    let body: AnswerBody | undefined;
    const onAbort = () => abort();
    const ended = () => signal?.removeEventListener('abort', onAbort);
    signal?.addEventListener('abort', onAbort, { once: true });
    dispatcher.dispatch(request, {
      onRequestStart(controller) {
        abort = () => controller.abort(signal!.reason);
        if (signal?.aborted) abort();
      },
      onResponseStart(controller, statusCode, headers) {
        if (statusCode < 200) {
          onInterim();
          return;
        }
        body = new AnswerBody(controller);
        resolve({ statusCode, headers, body });
      },
      onResponseData(_controller, chunk) {
        body!.push(chunk);
      },
      onResponseEnd() {
        ended();
        body!.end();
      },
      onResponseError(_controller, error) {
        ended();
        if (body) body.fail(error);
        else reject(error);
      },
    });
  });
}

/** Bytes of an answer, in the pieces in which they came. Read it to its end or close it: it holds a connection. */
export class AnswerBody {
  /** Called when the rest will not come. */
  onFailure: () => void = () => {};
  /** Until the end: it keeps the piece of memory in which the head came. */
  #controller: Dispatcher.DispatchController | undefined;
  readonly #chunks: Uint8Array[] = [];
  #waitingBytes = 0;
  #end: { readonly error?: Error } | undefined;
  #wake: () => void = () => {};

  constructor(controller: Dispatcher.DispatchController) {
    this.#controller = controller;
  }

  push(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return;
    this.#chunks.push(chunk);
    this.#waitingBytes += chunk.byteLength;
    if (this.#waitingBytes >= maxWaitingBytes) this.#controller?.pause();
    this.#wake();
  }

  end(): void {
    this.#ended({});
  }

  fail(error: Error): void {
    this.#ended({ error });
    this.onFailure();
  }

  /** The next piece; undefined at the end. @throws why there is no more */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk) {
        this.#waitingBytes -= chunk.byteLength;
        if (this.#controller?.paused && this.#waitingBytes === 0) this.#controller.resume();
        return chunk;
      }
      if (this.#end?.error) throw this.#end.error;
      if (this.#end) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Gives up what was not read, and the connection with it. */
  close(): void {
    this.#controller?.abort(new Error('the body was not read to its end'));
  }

  #ended(end: { readonly error?: Error }): void {
    this.#end ??= end;
    this.#controller = undefined;
    this.#wake();
  }
}
