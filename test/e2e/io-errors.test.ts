import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { noise, pushImage, tarOf, testImage } from '../pull/support/test-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { runLading } from '../support/lading-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const image = testImage({ layers: [tarOf({ 'a/': '', 'a/one': noise(600_000, 1) }), tarOf({ 'b/two': 'two' })] });
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
    ['writev', 'EIO', 'ERR_LADING_DISK_FAILING'],
    ['utimensat', 'EIO', 'ERR_LADING_DISK_FAILING'],
    ['writev', 'ENOSPC', 'ERR_LADING_DISK_FULL'],
    ['syncfs', 'ENOSPC', 'ERR_LADING_DISK_FULL'],
  ])(
    '%s %s: one clear error, nothing half-made, and the next pull succeeds',
    async (call: string, errno: string, code: string, of?: string) => {
      const root = path.join(await temporaryFolder(), 'node');
      const name = `${registry.address}/app:1`;
      await expectDone(['gc', '--root', root]);
      if (of) await mkdir(path.join(root, path.dirname(of)), { recursive: true });
      const only = of ? ['-P', path.join(root, of)] : [];
      const strace = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `inject=${call}:error=${errno}`, ...only];
      const failed = await runLading(['-v', 'pull', '-q', name, '--root', root], {
        command: [...strace, process.execPath, main],
      });
      expect(failed).toMatchObject({ exitCode: 1, stdout: '' });
      expect(failed.stderr).toContain(`code: ${code}`);
      await expectDone(['check', '--root', root]);
      expect(JSON.parse((await expectDone(['images', '-o', 'json', '--root', root])).stdout)).toEqual([]);
      await expectDone(['pull', '-q', name, '--root', root]);
      await expectDone(['check', '--root', root]);
    },
  );
});

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
