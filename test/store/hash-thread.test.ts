import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { BlobStore } from '../../src/store/blob-store.ts';
import { HashThread } from '../../src/store/hash-thread.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const content = randomBytes(3_000_000);
const size = content.byteLength;
const pieces = Array.from({ length: 30 }, (_, index) => content.subarray(index * 100_000, (index + 1) * 100_000));

describe('a blob that another thread hashes', () => {
  let blobs: BlobStore;
  let hashThread: HashThread;

  beforeEach(async () => {
    blobs = new BlobStore(await temporaryFolder());
    hashThread = new HashThread();
    onTestFinished(() => hashThread.close());
  });

  async function ingestWith(parts: readonly Uint8Array[], key = 'blob') {
    const ingest = await blobs.openIngest(key, { maxBytes: size, hashThread });
    for (const part of parts) await ingest.append(Uint8Array.from(part));
    return ingest;
  }

  test.each(['sha256', 'sha512'] as const)('is stored under its digest (%s)', async (algorithm) => {
    const digest = digestOf(content, algorithm);
    const ingest = await blobs.openIngest('blob', { maxBytes: size, algorithm, hashThread });
    for (const part of pieces) await ingest.append(Uint8Array.from(part));
    expect(await ingest.commit({ digest, size })).toEqual({ digest, size });
    expect((await readFile(blobs.path(digest))).equals(content)).toBe(true);
  });

  test('several at once', async () => {
    const digests = await Promise.all(
      [0, 1, 2].map(async (first) => {
        const changed = [Buffer.alloc(100_000, first), ...pieces.slice(1)];
        const digest = digestOf(Buffer.concat(changed));
        await (await ingestWith(changed, `blob-${first}`)).commit({ digest, size });
        return digest;
      }),
    );
    for (const digest of digests) expect(await blobs.damage(digest)).toBeUndefined();
  });

  test('is refused with another digest, and when it is too short', async () => {
    const wrong = await ingestWith([...pieces.slice(1), pieces[0]!]);
    await expect(wrong.commit({ digest: digestOf(content) })).rejects.toMatchObject({
      code: 'ERR_LADING_DIGEST_MISMATCH',
    });
    const short = await ingestWith(pieces.slice(1));
    await expect(short.commit({ digest: digestOf(content) })).rejects.toMatchObject({
      code: 'ERR_LADING_DIGEST_MISMATCH',
    });
    expect(blobs.sizeNow(digestOf(content))).toBeUndefined();
  });

  test('also when it goes on with what an earlier writer left, and when it starts anew', async () => {
    const digest = digestOf(content);
    await (await ingestWith(pieces.slice(0, 10))).pause();
    const resumed = await ingestWith([]);
    expect(resumed.offset).toBe(1_000_000);
    for (const part of pieces.slice(10)) await resumed.append(Uint8Array.from(part));
    await resumed.commit({ digest });
    const anew = await ingestWith(pieces.slice(5, 15), 'anew');
    await anew.restart();
    for (const part of pieces) await anew.append(Uint8Array.from(part));
    expect(await anew.commit({ digest })).toEqual({ digest, size });
  });

  test('is hashed here when the thread ends early', async () => {
    const ingest = await ingestWith(pieces.slice(0, 20));
    await hashThread.close();
    for (const part of pieces.slice(20)) await ingest.append(Uint8Array.from(part));
    const digest = digestOf(content);
    expect(await ingest.commit({ digest })).toEqual({ digest, size });
  });

  test('leaves no open file in the thread when it is given up', async () => {
    const ingest = await ingestWith(pieces.slice(0, 20));
    await ingest.discard();
    await (await ingestWith(pieces)).commit({ digest: digestOf(content) });
    const open = () => readdirSync('/proc/self/fd').length;
    const before = open();
    for (let count = 0; count < 5; count += 1) await (await ingestWith(pieces.slice(0, 3))).discard();
    await expect.poll(open).toBeLessThanOrEqual(before);
  });

  test('is given up just before the thread is ended: the process lives until it has ended', () => {
    const program = fileURLToPath(new URL('support/hash-thread-closer.ts', import.meta.url));
    expect(spawnSync(process.execPath, [program], { encoding: 'utf8' }).stdout).toBe('ended\n');
  });
});
