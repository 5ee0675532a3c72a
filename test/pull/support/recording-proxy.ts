import type { ServerResponse } from 'node:http';
import { onTestFinished } from 'vitest';
import type { Digest } from '../../../src/oci/index.ts';
import { type HostileServer, type ReceivedRequest, startHostileServer } from '../../support/hostile-server.ts';

export interface Passed {
  readonly method: string;
  readonly path: string;
  /** Of a blob's GET: first byte asked for. */
  readonly from: number;
  readonly blob: Digest | undefined;
  status: number;
  /** Bytes of the body that were handed to the connection. */
  bytes: number;
}

export interface ProxyBehaviour {
  /** Called before a request is passed on; it waits for it. */
  readonly before?: (passed: Passed) => Promise<void>;
  /** What the client gets instead of a blob's bytes. */
  readonly alter?: (blob: Digest, bytes: Buffer) => Buffer;
  /** Called before each piece of a blob's body; the piece waits for it. False cuts the connection. */
  readonly beforePiece?: (passed: Passed) => Promise<boolean> | boolean;
  readonly pieceBytes?: number;
}

/** Stands before a real registry, writes down what passes, and does to blobs what a test wants. */
export class RecordingProxy {
  readonly passed: Passed[] = [];
  behaviour: ProxyBehaviour = {};
  readonly #upstream: string;
  #server: HostileServer | undefined;

  constructor(upstream: string) {
    this.#upstream = upstream;
  }

  get address(): string {
    return this.#server!.address;
  }

  /** `METHOD path` of all requests since the last call. */
  take(): string[] {
    return this.passed.splice(0).map(({ method, path }) => `${method} ${path}`);
  }

  async start(): Promise<void> {
    this.#server = await startHostileServer((request, response) => this.#pass(request, response));
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  async #pass(request: ReceivedRequest, response: ServerResponse): Promise<void> {
    const blob = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(request.path)?.[1] as Digest | undefined;
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const passed: Passed = { method: request.method, path: request.path, from, blob, status: 0, bytes: 0 };
    this.passed.push(passed);
    await this.behaviour.before?.(passed);
    const { accept, range } = request.headers;
    const answer = await fetch(`${this.#upstream}${request.path}`, {
      method: request.method,
      headers: { ...(accept ? { accept } : {}), ...(range ? { range } : {}), 'accept-encoding': 'identity' },
    });
    passed.status = answer.status;
    const body = Buffer.from(await answer.arrayBuffer());
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    await this.#send(response, passed, blob && this.behaviour.alter ? this.behaviour.alter(blob, body) : body);
  }

  async #send(response: ServerResponse, passed: Passed, body: Buffer): Promise<void> {
    const { pieceBytes = 64 * 1024, beforePiece } = this.behaviour;
    if (!passed.blob || !beforePiece) {
      passed.bytes = body.byteLength;
      response.end(body);
      return;
    }
    for (let at = 0; at < body.byteLength; at += pieceBytes) {
      const goesOn = await beforePiece(passed);
      if (!goesOn || response.destroyed) {
        response.destroy();
        return;
      }
      const piece = body.subarray(at, at + pieceBytes);
      passed.bytes += piece.byteLength;
      await new Promise<void>((resolve) => response.write(piece, () => resolve()));
    }
    response.end();
  }
}

/** A proxy that is closed with the test. */
export async function recordingProxy(upstream: { readonly url: string }): Promise<RecordingProxy> {
  const proxy = new RecordingProxy(upstream.url);
  await proxy.start();
  onTestFinished(() => proxy.close());
  return proxy;
}
