import { expect, test } from 'vitest';
import { SharedTasks } from '../../src/pull/shared-tasks.ts';

interface Started {
  readonly signal: AbortSignal;
  readonly emit: (event: string) => void;
  readonly resolve: (result: string) => void;
  readonly reject: (error: Error) => void;
}

/** Work under the test's control: each start is listed, and ends when the test says so. */
function work() {
  const started: Started[] = [];
  const task = (signal: AbortSignal, emit: (event: string) => void) =>
    new Promise<string>((resolve, reject) => started.push({ signal, emit, resolve, reject }));
  return { started, task };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('two callers share one piece of work, its events and its result', async () => {
  const tasks = new SharedTasks<string, string>();
  const { started, task } = work();
  const events: string[] = [];
  const first = tasks.run('k', task, { onEvent: (event) => events.push(`first ${event}`) });
  await turn();
  started[0]!.emit('half');
  const second = tasks.run('k', task, { onEvent: (event) => events.push(`second ${event}`) });
  await turn();
  started[0]!.emit('whole');
  started[0]!.resolve('result');
  expect(await first).toEqual({ result: 'result', mine: true });
  expect(await second).toEqual({ result: 'result', mine: false });
  expect(started).toHaveLength(1);
  expect(events).toEqual(['first half', 'second half', 'first whole', 'second whole']);
});

test('different keys are different work, and the same key later is new work', async () => {
  const tasks = new SharedTasks<string, string>();
  const { started, task } = work();
  const [a, b] = [tasks.run('a', task, { onEvent: () => {} }), tasks.run('b', task, { onEvent: () => {} })];
  await turn();
  for (const { resolve } of started) resolve('done');
  await Promise.all([a, b]);
  const again = tasks.run('a', task, { onEvent: () => {} });
  await turn();
  expect(started).toHaveLength(3);
  started[2]!.resolve('again');
  expect(await again).toEqual({ result: 'again', mine: true });
});

test('who is aborted leaves; the work goes on for the other', async () => {
  const tasks = new SharedTasks<string, string>();
  const { started, task } = work();
  const abort = new AbortController();
  const first = tasks.run('k', task, { signal: abort.signal, onEvent: () => {} });
  const second = tasks.run('k', task, { onEvent: () => {} });
  await turn();
  abort.abort(new Error('gone'));
  await expect(first).rejects.toThrow('gone');
  expect(started[0]!.signal.aborted).toBe(false);
  started[0]!.resolve('result');
  expect((await second).result).toBe('result');
});

test('the last to be aborted ends the work and waits for its end; who comes meanwhile starts anew', async () => {
  const tasks = new SharedTasks<string, string>();
  const { started, task } = work();
  const abort = new AbortController();
  let ended = false;
  const first = tasks.run('k', task, { signal: abort.signal, onEvent: () => {} }).finally(() => {
    ended = true;
  });
  await turn();
  abort.abort(new Error('gone'));
  expect(started[0]!.signal.aborted).toBe(true);
  const second = tasks.run('k', task, { onEvent: () => {} });
  await turn();
  expect([ended, started.length]).toEqual([false, 1]);
  started[0]!.reject(new Error('gone'));
  await expect(first).rejects.toThrow('gone');
  await turn();
  started[1]!.resolve('result');
  expect(await second).toEqual({ result: 'result', mine: true });
});

test('who joined work that fails tries it on its own terms', async () => {
  const tasks = new SharedTasks<string, string>();
  const { started, task } = work();
  const first = tasks.run('k', task, { onEvent: () => {} });
  const second = tasks.run('k', task, { onEvent: () => {} });
  await turn();
  started[0]!.reject(new Error('denied'));
  await expect(first).rejects.toThrow('denied');
  await turn();
  started[1]!.resolve('allowed');
  expect(await second).toEqual({ result: 'allowed', mine: true });
});
