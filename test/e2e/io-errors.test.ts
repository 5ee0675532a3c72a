import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { noise, pushImage, tarOf, testImage } from '../pull/support/test-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { runLading } from '../support/lading-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const image = testImage({ layers: [tarOf({ 'a/': '', 'a/one': noise(2_000_000, 1) }), tarOf({ 'b/two': 'two' })] });
/** Where the first layer is received; a single piece goes to the kernel by write(2), several by writev(2). */
const received = `ingest/blob-${image.layers[0]!.digest.replace(':', '-')}/data`;
const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** strace(1) makes system calls of the real program fail, as a failing device does. */
const why = dockerRegistryMissing ?? straceMissing();

describe.skipIf(why)(`a device that reports I/O errors (needs: ${why ?? 'nothing more'})`, () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry();
    await pushImage(registry, 'app', '1', image);
  });
  afterAll(() => registry.close());

  test.each([
    ['fsync', 'EIO', 'ERR_LADING_DISK_FAILING', 'lading.db-wal'],
    ['fsync', 'EIO', 'ERR_LADING_DISK_FAILING', 'blobs/sha256'],
    ['fsync', 'EIO', 'ERR_LADING_DISK_FAILING', 'layers'],
    ['syncfs', 'EIO', 'ERR_LADING_DISK_FAILING'],
    ['write,writev', 'EIO', 'ERR_LADING_DISK_FAILING', received],
    ['utimensat', 'EIO', 'ERR_LADING_DISK_FAILING'],
    ['write,writev', 'ENOSPC', 'ERR_LADING_DISK_FULL', received],
    ['syncfs', 'ENOSPC', 'ERR_LADING_DISK_FULL'],
  ])(
    '%s %s: one clear error, nothing half-made, and the next pull succeeds',
    async (call: string, errno: string, code: string, of?: string) => {
      const root = path.join(await temporaryFolder(), 'node');
      const name = `${registry.address}/app:1`;
      await expectDone(['gc', '--root', root]);
      if (of) await mkdir(path.join(root, path.dirname(of)), { recursive: true });
      const failed = await runFailing(
        ['-v', 'pull', '-q', name, '--root', root],
        `${call}:error=${errno}`,
        of && path.join(root, of),
      );
      expect(failed).toMatchObject({ exitCode: 1, stdout: '' });
      expect(failed.stderr).toContain(`code: ${code}`);
      await expectDone(['check', '--root', root]);
      expect(JSON.parse((await expectDone(['images', '-o', 'json', '--root', root])).stdout)).toEqual([]);
      await expectDone(['pull', '-q', name, '--root', root]);
      await expectDone(['check', '--root', root]);
    },
  );

  describe('while it reads a blob that is stored', () => {
    const layer = image.layers[0]!.digest;

    /** A node with the blobs of an image whose layers could not be published. */
    async function nodeWithBlobs() {
      const root = path.join(await temporaryFolder(), 'node');
      const pull = ['-v', 'pull', '-q', `${registry.address}/app:1`, '--root', root];
      expect(await runFailing(pull, 'syncfs:error=EIO')).toMatchObject({ exitCode: 1 });
      return { root, pull, blob: path.join(root, 'blobs', layer.replace(':', '/')) };
    }
    const fetches = (stderr: string) => stderr.split('\n').filter((line) => line.includes('/blobs/'));

    test('each time: the blob is fetched again, and nothing else', async () => {
      const { root, pull, blob } = await nodeWithBlobs();
      // Not pread(2), by which a blob is read that comes in: strace would take the new one, once it is named, for the old.
      const { exitCode, stderr } = await runFailing(pull, 'read:error=EIO', blob);
      expect(exitCode, stderr).toBe(0);
      expect(fetches(stderr)).toEqual([expect.stringContaining(layer)]);
      await expectDone(['check', '--root', root]);
    });

    test('once: one clear error, and the next pull has the blob', async () => {
      const { root, pull, blob } = await nodeWithBlobs();
      // strace counts for each thread: the one that unpacks reads all of the blob, those that look for damage take turns.
      const failed = await runFailing(pull, 'read,pread64:error=EIO:when=8', blob);
      expect(failed).toMatchObject({ exitCode: 1, stdout: '' });
      expect(failed.stderr.match(/^error: .*$/gm)).toEqual([
        `error: layer ${layer}: cannot read its blob: EIO: i/o error, read`,
      ]);
      expect(failed.stderr).toContain('code: ERR_LADING_DISK_FAILING');
      await expectDone(['check', '--root', root]);
      expect(fetches((await expectDone(pull)).stderr)).toEqual([]);
      await expectDone(['check', '--root', root]);
    });

    test('in a check: it is named, and fetched again where that is asked for', async () => {
      const { root, pull, blob } = await nodeWithBlobs();
      await expectDone(pull);
      const found = await runFailing(['check', '--root', root], 'read,pread64:error=EIO', blob);
      expect(found.exitCode).toBe(1);
      expect(found.stdout).toContain(`${layer} cannot be read: EIO: i/o error, read\n`);
      expect(found.stderr.match(/^error: .*$/gm)).toEqual([`error: 1 problem on this node (${root})`]);
      await expectDone(['check', '--root', root]);
      const repaired = await runFailing(['-v', 'check', '--repair', '--root', root], 'read,pread64:error=EIO', blob);
      expect(repaired).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('(repaired)') });
      expect(fetches(repaired.stderr)).toEqual([expect.stringContaining(layer)]);
      await expectDone(['check', '--root', root]);
    });
  });
});

test.skipIf(straceMissing())('on a slow disk only the first write of a blob holds up everything else', async () => {
  const folder = await temporaryFolder();
  const script = `
    import { BlobStore } from ${JSON.stringify(new URL('../../src/store/blob-store.ts', import.meta.url).href)};
    import { digestOf } from ${JSON.stringify(new URL('../../src/oci/digest.ts', import.meta.url).href)};
    const ingest = await new BlobStore(${JSON.stringify(path.join(folder, 'root'))}).openIngest('slow');
    const chunk = Buffer.alloc(65_536, 'x');
    for (let count = 0; count < 32; count += 1) await ingest.append(chunk);
    await ingest.commit({ digest: digestOf(Buffer.alloc(32 * 65_536, 'x')) });
  `;
  const log = path.join(folder, 'calls');
  const options = ['-f', '-qq', '-o', log, '-e', 'trace=writev', '-e', 'inject=writev:delay_enter=20000'];
  const { status, pid, stderr } = spawnSync(
    'strace',
    [...options, '-D', process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  );
  expect(status, stderr).toBe(0);
  const threads = readFileSync(log, 'utf8')
    .match(/^\d+(?= +writev\()/gm)!
    .map(Number);
  expect(threads[0]).toBe(pid);
  expect(threads.slice(1).length).toBeGreaterThan(3);
  expect(threads.slice(1)).not.toContain(pid);
});

/** @param inject as `strace -e inject` takes it @param of the only file or folder that it is for */
function runFailing(args: string[], inject: string, of?: string) {
  const strace = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `inject=${inject}`, ...(of ? ['-P', of] : [])];
  return runLading(args, { command: [...strace, process.execPath, main] });
}

async function expectDone(args: string[]) {
  const result = await runLading(args);
  expect(result).toMatchObject({ exitCode: 0 });
  return result;
}

function straceMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'root';
  const { status } = spawnSync('strace', ['-o', '/dev/null', '-e', 'inject=fsync:error=EIO', 'true']);
  return status === 0 ? undefined : 'strace, and to be allowed to trace';
}
