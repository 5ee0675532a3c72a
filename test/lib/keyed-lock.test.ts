import { expect, test } from 'vitest';
import { KeyedLock } from '../../src/lib/keyed-lock.ts';

test('tasks of one key follow each other, also after a failure', async () => {
  const lock = new KeyedLock();
  const order: string[] = [];
  const slow = lock.run('a', async () => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    order.push('slow');
    throw new Error('expected');
  });
  const next = lock.run('a', async () => void order.push('next'));
  const other = lock.run('b', async () => void order.push('other'));
  await expect(slow).rejects.toThrow('expected');
  await Promise.all([next, other]);
  expect(order).toEqual(['other', 'slow', 'next']);
});
