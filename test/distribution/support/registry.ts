import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, expect } from 'vitest';
import {
  type AccessRecord,
  type OwnContent,
  type Registry,
  type ServingOptions,
  startRegistry,
} from '../../../src/distribution/index.ts';
import { LayoutIndex } from '../../../src/distribution/layout-index.ts';
import { type Digest, type DigestAlgorithm, digestOf, mediaTypes } from '../../../src/oci/index.ts';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body as JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they need
  readonly json: any;
}

export interface Sent {
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Uint8Array | string;
}

/** A registry of its own for the tests of one file, gone when they end. */
export class TestRegistry {
  readonly records: AccessRecord[] = [];
  readonly #agent = new Agent({ keepAlive: true });
  readonly #options: Partial<ServingOptions & OwnContent>;
  #root = '';
  #registry: Registry | undefined;

  /** @param storage a folder of the registry's own unless given */
  constructor(options: Partial<ServingOptions & OwnContent> = {}, storage: 'own' | 'layout' = 'own') {
    this.#options = options;
    beforeAll(async () => {
      this.#root = await mkdtemp(path.join(tmpdir(), 'lading-distribution-'));
      if (storage === 'layout') LayoutIndex.create(this.#root);
      await this.#start();
    });
    afterAll(async () => {
      await this.#registry?.close();
      this.#agent.destroy();
      await rm(this.#root, { recursive: true, force: true });
    });
  }

  get root(): string {
    return this.#root;
  }

  get address(): string {
    return this.#registry!.address;
  }

  get port(): number {
    return this.#registry!.port;
  }

  async restart(): Promise<void> {
    await this.#registry?.close();
    await this.#start();
  }

  /** One plain HTTP request; the path is sent as it is written. */
  send(method: string, target: string, { headers = {}, body }: Sent = {}): Promise<Answer> {
    return sendTo(this.port, method, target, { headers, ...(body !== undefined && { body }), agent: this.#agent });
  }

  async startUpload(repository: string, query = ''): Promise<string> {
    const answer = await this.send('POST', `/v2/${repository}/blobs/uploads/${query}`);
    expect(answer.status).toBe(202);
    return answer.headers.location!;
  }

  async pushBlob(repository: string, bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Promise<Digest> {
    const digest = digestOf(bytes, algorithm);
    const answer = await this.send('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes });
    expect(answer.status).toBe(201);
    return digest;
  }

  putManifest(repository: string, reference: string, manifest: Uint8Array, contentType: string): Promise<Answer> {
    return this.send('PUT', `/v2/${repository}/manifests/${reference}`, {
      headers: { 'Content-Type': contentType },
      body: manifest,
    });
  }

  async #start(): Promise<void> {
    const onRequest = (record: AccessRecord) => this.records.push(record);
    this.#registry = await startRegistry({ root: this.#root, onRequest, ...this.#options });
  }
}

export async function sendTo(
  port: number,
  method: string,
  target: string,
  { headers = {}, body, agent }: Sent & { agent?: Agent },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length =
      body === undefined || 'Transfer-Encoding' in headers ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const call = request({ host: '127.0.0.1', port, method, path: target, headers: { ...length, ...headers }, agent });
    call.once('error', reject);
    call.once('response', (response) => {
      buffer(response).then((content) => {
        resolve({
          status: response.statusCode!,
          headers: response.headers,
          body: content,
          get json() {
            return JSON.parse(content.toString());
          },
        });
      }, reject);
    });
    call.end(body);
  });
}

export function randomBlob(bytes = 512): Buffer {
  return randomBytes(bytes);
}

export function descriptorOf(mediaType: string, bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256') {
  return { mediaType, digest: digestOf(bytes, algorithm), size: bytes.byteLength };
}

export function jsonBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Codes of an error answer, after a look at its form. */
export function errorCodes(answer: Answer): string[] {
  expect(answer.headers['content-type']).toBe('application/json');
  const { errors } = answer.json as { errors: { code: string; message: string }[] };
  for (const { code, message } of errors) {
    expect(code).toMatch(/^[A-Z_]+$/);
    expect(message).not.toBe('');
  }
  return errors.map(({ code }) => code);
}

export interface PushedImage {
  readonly manifest: Buffer;
  readonly digest: Digest;
  readonly layer: Digest;
  readonly config: Digest;
}

/** Pushes a small image with random content, and its manifest by tag if there is one, else by digest. */
export async function pushImage(
  registry: TestRegistry,
  repository: string,
  {
    tag,
    extra = {},
    algorithm = 'sha256',
  }: { tag?: string; extra?: Readonly<Record<string, unknown>>; algorithm?: DigestAlgorithm } = {},
): Promise<PushedImage> {
  const layer = randomBlob();
  const config = jsonBytes({
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [digestOf(layer)] },
  });
  await registry.pushBlob(repository, layer, algorithm);
  await registry.pushBlob(repository, config, algorithm);
  const manifest = jsonBytes({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptorOf(mediaTypes.ociConfig, config, algorithm),
    layers: [descriptorOf(mediaTypes.ociLayer, layer, algorithm)],
    ...extra,
  });
  const digest = digestOf(manifest, algorithm);
  const answer = await registry.putManifest(repository, tag ?? digest, manifest, mediaTypes.ociManifest);
  expect(answer.status).toBe(201);
  return { manifest, digest, layer: digestOf(layer, algorithm), config: digestOf(config, algorithm) };
}
