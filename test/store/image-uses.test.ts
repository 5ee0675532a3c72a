import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/index.ts';
import { openStore } from '../../src/store/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { putImage } from './support/test-store.ts';

test('when an image was last used survives the process, and goes with the image', async () => {
  const root = path.join(await temporaryFolder(), 'node');
  let now = 1000;
  const first = await openStore(root, { now: () => now });
  const [a, b] = [await putImage(first, 'a'), await putImage(first, 'b')];
  first.imageUses.note([a.id, b.id]);
  now = 2000;
  first.imageUses.note([b.id, digestOf(Buffer.from('absent'))]);
  first.close();
  const store = await openStore(root);
  onTestFinished(() => store.close());
  expect([...store.imageUses.list()]).toEqual(
    expect.arrayContaining([
      [a.id, 1000],
      [b.id, 2000],
    ]),
  );
  store.images.remove(a.id);
  expect([...store.imageUses.list().keys()]).toEqual([b.id]);
});
