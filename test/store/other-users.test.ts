import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { openStore } from '../../src/store/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { factsOf } from './support/test-store.ts';

const otherUser = 65_534;

describe.skipIf(process.getuid?.() !== 0)('users other than the one whose node it is (needs root)', () => {
  test('do not get into a root that the store has made', async () => {
    const root = path.join(await readableFolder(), 'lading');
    (await openStore(root)).close();
    expect(statSync(root).mode & 0o777).toBe(0o700);
    expect(asOther('ls', root)).not.toBe(0);
  });

  test('are told that they may not read it, not that it is empty', async () => {
    const root = path.join(await readableFolder(), 'lading');
    (await openStore(root)).close();
    const program = `
      import { openStore } from '${new URL('../../src/store/index.ts', import.meta.url)}';
      process.setuid(${otherUser});
      await openStore('${root}', { readOnly: true }).catch(({ code }) => console.log(code));`;
    const args = ['--input-type=module', '-e', program];
    expect(spawnSync(process.execPath, args, { encoding: 'utf8' }).stdout).toBe('ERR_LADING_DISK_DENIED\n');
  });

  test('cannot run a setuid program of a layer nor write to its /tmp, when the root is open to all', async () => {
    const root = await readableFolder();
    const store = await openStore(root);
    onTestFinished(() => store.close());
    const diffId = digestOf('layer');
    const fixUp = await store.fixUps.prepare(diffId);
    const writer = await store.layers.prepare(diffId);
    for (const { dir } of [writer!, fixUp!]) {
      mkdirSync(path.join(dir, 'tmp'));
      chmodSync(path.join(dir, 'tmp'), 0o1777);
    }
    writeFileSync(writer!.entriesFile, '');
    const folders = () => [writer!.dir, fixUp!.dir, store.layers.dir(diffId), store.fixUps.dir(diffId)];
    const touched = () => folders().map((folder) => asOther('touch', path.join(folder, 'tmp/file')) === 0);
    expect(touched()).not.toContain(true);
    await writer!.publish(factsOf(diffId));
    await fixUp!.publish();
    expect(touched()).not.toContain(true);
    expect(statSync(path.join(store.layers.dir(diffId), 'tmp')).isDirectory()).toBe(true);
  });
});

async function readableFolder(): Promise<string> {
  const folder = await temporaryFolder();
  chmodSync(folder, 0o755);
  return folder;
}

function asOther(command: string, ...args: string[]): number | null {
  return spawnSync(command, args, { uid: otherUser, gid: otherUser, stdio: 'ignore' }).status;
}
