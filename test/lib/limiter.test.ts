import { expect, test } from 'vitest';
import { Limiter } from '../../src/lib/limiter.ts';

test('no more than the limit run, the others in order of arrival', async () => {
  const limiter = new Limiter(2);
  const events: string[] = [];
  const task = (name: string) =>
    limiter.run(async () => {
      events.push(`+${name}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
      events.push(`-${name}`);
    });
  await Promise.all(['a', 'b', 'c', 'd'].map(task));
  expect(events.slice(0, 2)).toEqual(['+a', '+b']);
  expect(events.filter((event) => event.startsWith('+'))).toEqual(['+a', '+b', '+c', '+d']);
  let running = 0;
  for (const event of events) {
    running += event.startsWith('+') ? 1 : -1;
    expect(running).toBeLessThanOrEqual(2);
  }
});

test('a task that fails makes room', async () => {
  const limiter = new Limiter(1);
  await expect(limiter.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await limiter.run(async () => 'yes')).toBe('yes');
});

test('a place is free again once, however often it is given back', async () => {
  const limiter = new Limiter(1);
  const release = await limiter.acquire();
  release();
  release();
  await limiter.acquire();
  const third = new AbortController();
  const waiting = limiter.acquire(third.signal);
  third.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
});

test('who gives up waiting is passed over', async () => {
  const limiter = new Limiter(1);
  const release = await limiter.acquire();
  const abort = new AbortController();
  const first = limiter.acquire(abort.signal);
  const second = limiter.acquire();
  abort.abort();
  await expect(first).rejects.toThrow();
  release();
  await second;
});
