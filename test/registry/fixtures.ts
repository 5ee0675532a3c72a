import { mkdir, writeFile } from 'node:fs/promises';
import type { LookupFunction } from 'node:net';
import path from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { type Descriptor, digestOf, mediaTypes, parseReference, type Reference } from '../../src/oci/index.ts';
import {
  type CallOptions,
  RegistryClient,
  type RegistryClientOptions,
  type RegistryError,
  type RequestRecord,
} from '../../src/registry/index.ts';
import { FastClock } from '../support/fast-clock.ts';
import { type Answer, type HostileServer, startHostileServer } from '../support/hostile-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

export interface TestClient {
  readonly client: RegistryClient;
  readonly clock: FastClock;
  readonly records: RequestRecord[];
}

/** A client without credentials of its own, on a clock that does not wait; closed with the test. */
export function newClient(options: RegistryClientOptions = {}): TestClient {
  const clock = new FastClock();
  const records: RequestRecord[] = [];
  const client = new RegistryClient({
    credentials: async () => [],
    certsDirs: [],
    environment: {},
    clock,
    random: () => 1,
    onRequest: (record) => records.push(record),
    ...options,
  });
  onTestFinished(() => client.close());
  return { client, clock, records };
}

/** A server that is closed with the test. */
export async function newServer(answer: Answer, host?: '127.0.0.1' | '::1'): Promise<HostileServer> {
  const server = await startHostileServer(answer, undefined, host);
  onTestFinished(() => server.close());
  return server;
}

/** A folder as `certs.d` is, with these files; gone after the test. */
export async function newCertsDir(files: Readonly<Record<string, string | Buffer>>): Promise<string> {
  const root = await temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true });
    await writeFile(path.join(root, name), content);
  }
  return root;
}

export function referenceAt(server: Pick<HostileServer, 'address'>, name = 'team/app:1.0'): Reference {
  return parseReference(`${server.address}/${name}`);
}

export function descriptorOf(bytes: Uint8Array, mediaType: string = mediaTypes.octetStream): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

/** Bytes without any pattern that repeats, so that a shifted range never fits. */
export function noise(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = 12345;
  for (let index = 0; index < size; index += 1) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[index] = state >>> 16;
  }
  return bytes;
}

export interface TestImage {
  readonly manifest: Buffer;
  readonly descriptor: Descriptor;
  /** Config and layer. */
  readonly blobs: readonly { readonly bytes: Buffer; readonly descriptor: Descriptor }[];
}

export function testImage(layer: Buffer = noise(1000)): TestImage {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers' } }));
  const blobs = [
    { bytes: config, descriptor: descriptorOf(config, mediaTypes.ociConfig) },
    { bytes: layer, descriptor: descriptorOf(layer, mediaTypes.ociLayer) },
  ] as const;
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: blobs[0].descriptor,
      layers: [blobs[1].descriptor],
    }),
  );
  return { manifest, descriptor: descriptorOf(manifest, mediaTypes.ociManifest), blobs };
}

/** The rejection of a promise, which the test goes on to look at. */
export async function failureOf(promise: Promise<unknown>): Promise<RegistryError> {
  try {
    await promise;
  } catch (error) {
    return error as RegistryError;
  }
  throw new Error('it should have failed');
}

export async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Every name is this machine, for one client only. */
export const atLoopback: LookupFunction = (_, options, callback) => {
  if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }]);
  else callback(null, '127.0.0.1', 4);
};

export async function pushImage(
  client: RegistryClient,
  { blobs, manifest }: TestImage,
  reference: Reference,
  options: CallOptions = {},
): Promise<void> {
  for (const { descriptor, bytes } of blobs) await client.pushBlob(reference, descriptor, () => bytes, options);
  await client.pushManifest(reference, manifest, mediaTypes.ociManifest, options);
}

export async function expectPullable(client: RegistryClient, image: TestImage, reference: Reference): Promise<void> {
  const { descriptor } = await client.resolve(reference);
  expect(descriptor).toEqual(image.descriptor);
  const { bytes, mediaType } = await client.fetchManifest(reference, descriptor.digest);
  expect([Buffer.from(bytes), mediaType]).toEqual([image.manifest, mediaTypes.ociManifest]);
  const layer = image.blobs[1]!;
  const { body } = await client.fetchBlob(reference, layer.descriptor);
  expect((await collect(body)).equals(layer.bytes)).toBe(true);
}
