import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { hashSync } from 'bcryptjs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startRegistry } from '../../src/distribution/index.ts';
import { containerdMissing, startContainerd } from '../support/containerd.ts';
import { tarOfFolder, writeOciLayout } from '../support/oci-layout.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const skipped = containerdMissing ? ` (skipped: ${containerdMissing})` : '';
describe.skipIf(containerdMissing)(`containerd${skipped}`, () => {
  test('pulls from a layout, pushes with a login, and pulls the same again', async () => {
    const folder = await temporaryFolder();
    const [layout, content] = [path.join(folder, 'layout'), path.join(folder, 'content')];
    await mkdir(content);
    await writeFile(path.join(content, 'hello'), 'hello\n');
    const image = writeOciLayout(layout, { layers: [tarOfFolder(content)], tag: 'tiny' });
    const source = await startRegistry({ layout });
    onTestFinished(() => source.close());
    const htpasswdFile = path.join(folder, 'htpasswd');
    await writeFile(htpasswdFile, `alice:${hashSync('secret', 4)}\n`);
    const target = await startRegistry({ root: path.join(folder, 'registry'), users: { htpasswdFile } });
    onTestFinished(() => target.close());
    const containerd = await startContainerd();
    onTestFinished(() => containerd.close());
    const { ctr } = containerd;
    const [from, to] = [`${source.address}/layout:tiny`, `${target.address}/team/tiny:1`];

    await ctr('content', 'fetch', '--plain-http', from);
    await ctr('images', 'tag', from, to);
    await expect(ctr('images', 'push', '--plain-http', '--user', 'alice:wrong', to)).rejects.toThrow();
    await ctr('images', 'push', '--plain-http', '--user', 'alice:secret', to);
    await ctr('images', 'remove', '--sync', from, to);
    await expect(ctr('content', 'fetch', '--plain-http', to)).rejects.toThrow();
    await ctr('content', 'fetch', '--plain-http', '--user', 'alice:secret', to);
    expect(await ctr('images', 'list')).toContain(image.manifest);
  });
});
