import { expect, test } from 'vitest';
import { putImage, testClock, testStore } from './support/test-store.ts';

const web = { namespace: 'default', pod: 'web', container: 'main' };

test('what ran a name is known for each of its meanings', async () => {
  const clock = testClock();
  const store = await testStore({ now: clock.now });
  const old = await putImage(store, 'old');
  store.names.set('r/app:1', { target: old.manifest, imageId: old.id, by: 'pod default/web' });
  store.starts.record('r/app:1', old.id, web);
  clock.pass(1000);
  store.starts.record('r/app:1', old.id, web);
  const young = await putImage(store, 'young');
  store.names.set('r/app:1', { target: young.manifest, imageId: young.id });
  clock.pass(1000);
  store.starts.record('r/app:1', young.id, { ...web, pod: 'other' });
  expect(store.names.history('r/app:1').map(({ pulledBy }) => pulledBy)).toEqual([undefined, 'pod default/web']);
  const [other, first] = store.starts.list('r/app:1');
  expect(store.starts.list('r/app:1')).toHaveLength(2);
  expect(other).toMatchObject({ digest: young.manifest.digest, pod: 'other', count: 1 });
  expect(first).toMatchObject({ ...web, digest: old.manifest.digest, count: 2 });
  expect(Date.parse(first!.lastAt) - Date.parse(first!.firstAt)).toBe(1000);
});

test('a name that never meant the image says nothing', async () => {
  const store = await testStore();
  const image = await putImage(store, 'a');
  store.starts.record('r/none:1', image.id, web);
  expect(store.starts.list('r/none:1')).toEqual([]);
});

test('of each name the latest 200 are kept', async () => {
  const clock = testClock();
  const store = await testStore({ now: clock.now });
  const image = await putImage(store, 'a');
  store.names.set('r/app:1', { target: image.manifest, imageId: image.id });
  for (let index = 0; index < 205; index += 1) {
    clock.pass(1);
    store.starts.record('r/app:1', image.id, { ...web, pod: `web-${index}` });
  }
  expect(store.starts.list('r/app:1')).toHaveLength(200);
  expect(store.starts.list('r/app:1').at(-1)).toMatchObject({ pod: 'web-5' });
});
