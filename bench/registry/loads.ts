import { createHash, randomBytes } from 'node:crypto';
import { onConnections, type RawAnswer, RawConnection } from './raw-client.ts';
import type { Server } from './servers.ts';

const mebibyte = 1024 * 1024;
const manifestType = 'application/vnd.oci.image.manifest.v1+json';

/** Something that a server is asked to do; more of it in a second is better. */
export interface Load {
  readonly name: string;
  readonly unit: string;
  /** @returns how much was done in a second */
  run(server: Server): Promise<number>;
}

/** @param scale 1 takes less than a second for each; what was pushed stays, 3 GB of it */
export function loads(scale: number): Load[] {
  const [largeMiB, small, requests] = [192, 600, 8000].map((n) => Math.ceil(n * scale)) as [number, number, number];
  return [
    {
      name: `a blob of ${largeMiB} MiB up`,
      unit: 'MiB/s',
      run: async ({ port }) => (await pushLarge(port, largeMiB)).rate,
    },
    {
      name: `a blob of ${largeMiB} MiB down`,
      unit: 'MiB/s',
      run: async ({ port }) => pullLarge(port, largeMiB, (await pushLarge(port, largeMiB)).digest),
    },
    {
      name: `64 clients, ${Math.ceil(largeMiB / 64)} MiB down each`,
      unit: 'MiB/s',
      run: async ({ port }) => {
        const size = Math.ceil(largeMiB / 64);
        const { digest } = await pushLarge(port, size);
        const seconds = await timed(() =>
          onConnections(port, 64, async (connection) => {
            expectStatus(await connection.request({ method: 'GET', path: `/v2/bench/large/blobs/${digest}` }), 200);
          }),
        );
        return (size * 64) / seconds;
      },
    },
    {
      name: `${small} blobs of 4 KiB up, 16 clients`,
      unit: 'blobs/s',
      run: async ({ port }) => small / (await timed(() => spread(port, smallBlobs(small), pushSmall))),
    },
    {
      name: `${small} blobs of 4 KiB down, 16 clients`,
      unit: 'blobs/s',
      run: async ({ port }) => {
        const blobs = smallBlobs(small);
        await spread(port, blobs, pushSmall);
        return small / (await timed(() => spread(port, blobs, pullSmall)));
      },
    },
    {
      name: 'HEAD of a manifest, 64 clients',
      unit: 'requests/s',
      run: async ({ port }) => {
        await pushManifest(port);
        const head = { method: 'HEAD', path: '/v2/bench/head/manifests/1', accept: manifestType } as const;
        let left = requests;
        const seconds = await timed(() =>
          onConnections(port, 64, async (connection) => {
            while (left-- > 0) expectStatus(await connection.request(head), 200);
          }),
        );
        return requests / seconds;
      },
    },
  ];
}

/** A blob that no server has: the same mebibyte again and again behind a few bytes of its own. */
export async function pushLarge(port: number, mebibytes: number): Promise<{ digest: string; rate: number }> {
  const [first, filler] = [randomBytes(mebibyte), Buffer.alloc(mebibyte, 'filler')];
  const chunks = Array.from({ length: mebibytes }, (_, index) => (index === 0 ? first : filler));
  const hash = createHash('sha256');
  for (const chunk of chunks) hash.update(chunk);
  const digest = `sha256:${hash.digest('hex')}`;
  const connection = await RawConnection.open(port);
  const seconds = await timed(() => push(connection, 'bench/large', { digest, size: mebibytes * mebibyte, chunks }));
  connection.close();
  return { digest, rate: mebibytes / seconds };
}

export async function pullLarge(port: number, mebibytes: number, digest: string): Promise<number> {
  const connection = await RawConnection.open(port);
  const seconds = await timed(async () => {
    const answer = await connection.request({ method: 'GET', path: `/v2/bench/large/blobs/${digest}` });
    expectStatus(answer, 200);
    if (answer.bytes !== mebibytes * mebibyte) throw new Error(`${answer.bytes} bytes came`);
  });
  connection.close();
  return mebibytes / seconds;
}

interface Blob {
  readonly digest: string;
  readonly size: number;
  readonly chunks: readonly Uint8Array[];
}

function smallBlobs(count: number): Blob[] {
  return Array.from({ length: count }, () => blobOf(randomBytes(4096)));
}

function blobOf(bytes: Buffer): Blob {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  return { digest, size: bytes.byteLength, chunks: [bytes] };
}

async function spread(
  port: number,
  blobs: readonly Blob[],
  task: (connection: RawConnection, blob: Blob) => Promise<void>,
): Promise<void> {
  let next = 0;
  await onConnections(port, 16, async (connection) => {
    for (let blob = blobs[next++]; blob; blob = blobs[next++]) await task(connection, blob);
  });
}

function pushSmall(connection: RawConnection, blob: Blob): Promise<void> {
  return push(connection, 'bench/small', blob);
}

async function pullSmall(connection: RawConnection, { digest }: Blob): Promise<void> {
  expectStatus(await connection.request({ method: 'GET', path: `/v2/bench/small/blobs/${digest}` }), 200);
}

/** POST and PUT, as most clients push. */
async function push(connection: RawConnection, repository: string, { digest, size, chunks }: Blob): Promise<void> {
  const opened = await connection.request({ method: 'POST', path: `/v2/${repository}/blobs/uploads/` });
  expectStatus(opened, 202);
  const { pathname, search } = new URL(opened.location, 'http://127.0.0.1');
  const path = `${pathname}${search}${search === '' ? '?' : '&'}digest=${digest}`;
  expectStatus(await connection.request({ method: 'PUT', path, body: { size, chunks } }), 201);
}

async function pushManifest(port: number): Promise<void> {
  const connection = await RawConnection.open(port);
  const [config, layer] = [blobOf(Buffer.from('{"os":"linux"}')), blobOf(Buffer.from('layer'))];
  for (const blob of [config, layer]) await push(connection, 'bench/head', blob);
  const descriptor = ({ digest, size }: Blob, mediaType: string) => ({ mediaType, digest, size });
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestType,
    config: descriptor(config, 'application/vnd.oci.image.config.v1+json'),
    layers: [descriptor(layer, 'application/vnd.oci.image.layer.v1.tar')],
  };
  const response = await fetch(`http://127.0.0.1:${port}/v2/bench/head/manifests/1`, {
    method: 'PUT',
    headers: { 'Content-Type': manifestType },
    body: JSON.stringify(manifest),
  });
  if (response.status !== 201) throw new Error(`the manifest was answered with ${response.status}`);
  connection.close();
}

function expectStatus({ status }: RawAnswer, expected: number): void {
  if (status !== expected) throw new Error(`answered with ${status} instead of ${expected}`);
}

export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
