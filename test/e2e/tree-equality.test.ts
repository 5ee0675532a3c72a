import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { openNode } from '../../src/cli/node.ts';
import { mountOverlay, unmount } from '../../src/lib/overlay.ts';
import type { Digest } from '../../src/oci/index.ts';
import { copyRootfs, rootfsOf } from '../../src/pull/index.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { tarOfFolder, writeOciLayout } from '../support/oci-layout.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { describeTree } from '../support/tree.ts';

const missing =
  dockerRegistryMissing ??
  (process.getuid?.() === 0 ? undefined : 'needs root') ??
  (spawnSync('umoci', ['--version']).error || spawnSync('skopeo', ['--version']).error
    ? 'needs umoci and skopeo'
    : undefined);

/** Shell scripts that fill one layer each; `.wh.` names are whiteouts. */
const layers = [
  `mkdir -p bin etc/app var/cache/deep tmp data/sub opt
   cp /bin/busybox bin/busybox 2>/dev/null || cp /bin/true bin/busybox
   ln bin/busybox bin/hard; ln -s busybox bin/soft; ln -s /etc/app/absolute bin/dangling
   echo one > etc/app/one; echo two > etc/app/two; echo old > data/sub/old; echo keep > data/keep
   mkfifo opt/fifo; mknod opt/device c 1 3; chmod 1777 tmp; chmod 4755 bin/hard; chmod 0000 etc/app/two
   chown 1000:2000 data data/keep; chown -h 12:34 bin/soft; chown 65534:65533 var/cache/deep
   printf 'latin\\351' > "etc/$(printf 'n\\351')"; setfattr -n user.note -v hello data/keep 2>/dev/null || true
   touch -d '2001-02-03 04:05:06.123456789' etc/app/one; touch -h -d '1999-12-31 23:59:59.5' bin/soft
   touch -d '2010-10-10 10:10:10.101010101' data etc var/cache; head -c 3000000 /dev/zero > opt/zeros`,
  `mkdir -p etc/app data/sub var/cache/deep bin
   touch etc/app/.wh.two data/sub/.wh..wh..opq; echo new > data/sub/new; echo changed > etc/app/one
   touch bin/.wh.soft; echo file > var/cache/deep/file; chmod 2750 data/sub; chown 7:8 data/sub/new
   touch -d '2011-11-11 11:11:11.111111111' data/sub etc/app var/cache/deep bin`,
  `mkdir -p data bin/replaced; touch data/.wh.keep; echo now > bin/replaced/inside; ln -s ../etc bin/dangling
   touch -d '2012-12-12 12:12:12.121212121' data bin bin/replaced`,
];

describe.skipIf(missing)(`an image after a pull has the tree that umoci makes of it (${missing ?? 'root'})`, () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry();
  });
  afterAll(() => registry.close());

  test('through overlayfs and through the copying mode', async () => {
    const folder = await temporaryFolder();
    const layout = path.join(folder, 'layout');
    const tars = layers.map((script, index) => {
      const tree = path.join(folder, `layer-${index}`);
      mkdirSync(tree);
      execFileSync('sh', ['-euc', script], { cwd: tree });
      return tarOfFolder(tree);
    });
    writeOciLayout(layout, { layers: tars });
    execFileSync('umoci', ['unpack', '--image', `${layout}:latest`, path.join(folder, 'bundle')]);
    const name = `${registry.address}/tree:1`;
    execFileSync('skopeo', ['copy', '-q', '--dest-tls-verify=false', `oci:${layout}:latest`, `docker://${name}`]);
    const expected = describeTree(path.join(folder, 'bundle', 'rootfs'), { ignoreTimes: impliedTime });
    expect(expected.length).toBeGreaterThan(15);

    const node = await openNode({ root: path.join(folder, 'node') });
    onTestFinished(() => node.close());
    const { imageRef } = await node.images.pullImage({ image: { image: name } });
    const imageId = imageRef as Digest;

    const target = path.join(folder, 'mounted');
    mkdirSync(target);
    const support = await node.store.overlay();
    if (support.mode === 'overlay') {
      const { lowers } = await rootfsOf(node, imageId);
      mountOverlay({ lowers, target, support });
      onTestFinished(() => unmount(target));
      expect(describeTree(target, { ignoreTimes: impliedTime })).toEqual(expected);
    }
    const copy = path.join(folder, 'copy');
    mkdirSync(copy);
    await copyRootfs(node, imageId, copy);
    expect(describeTree(copy, { ignoreTimes: impliedTime })).toEqual(expected);
  });
});

/** No layer lists a time for the top of the tree: what tar calls `./` is left alone. */
function impliedTime(path: string): boolean {
  return path === '.';
}
