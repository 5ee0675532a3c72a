import { expect, test } from 'vitest';
import { ContainerWatch } from '../../src/agent/container-watch.ts';
import type { ContainerEventResponse, RuntimeService } from '../../src/cri/index.ts';
import { CriError } from '../../src/cri/index.ts';
import { emptyTaskQueue, VirtualClock } from '../support/virtual-clock.ts';

/** A runtime whose event stream breaks off after each batch, and whose containers are `states`. */
function runtimeOf(batches: (string | Error)[][], states: Record<string, string>): RuntimeService {
  const runtime: Pick<RuntimeService, 'getContainerEvents' | 'listContainers'> = {
    async *getContainerEvents({ signal } = {}) {
      const batch = batches.shift();
      if (!batch) await new Promise((resolve) => signal!.addEventListener('abort', resolve));
      for (const item of batch ?? []) {
        if (item instanceof Error) throw item;
        const [containerId, type] = item.split(' ');
        yield { containerId, containerEventType: `CONTAINER_${type}_EVENT`, createdAt: 0n } as ContainerEventResponse;
      }
    },
    async listContainers() {
      return Object.entries(states).map(([id, state]) => ({ id, state }) as never);
    },
  };
  return runtime as RuntimeService;
}

test('events tell of ends; a broken stream is replaced by listing until it can be had again', async () => {
  const clock = new VirtualClock();
  const states: Record<string, string> = { a: 'CONTAINER_RUNNING', b: 'CONTAINER_EXITED', c: 'CONTAINER_RUNNING' };
  const batches = [
    ['a CREATED', 'a STARTED', 'a STOPPED', 'x DELETED', new CriError('UNAVAILABLE', 'gone')],
    ['z STOPPED'],
  ];
  const ended: string[] = [];
  const watch = new ContainerWatch(runtimeOf(batches, states), clock, (id) => ended.push(id));
  watch.start();
  watch.start();
  await emptyTaskQueue();
  expect(ended).toEqual(['a', 'x', 'b']);

  states.c = 'CONTAINER_EXITED';
  delete states.a;
  await clock.advance(1000);
  expect(ended.splice(0)).toEqual(['a', 'x', 'b', 'c', 'a']);
  await clock.advance(8000);
  expect(ended).toEqual([]);
  await clock.advance(1000);
  expect(ended).toEqual(['z']);
  await clock.advance(60_000);
  await watch.stop();
});

test('failures of listing are survived', async () => {
  const clock = new VirtualClock();
  const states = { a: 'CONTAINER_EXITED' };
  const runtime = runtimeOf([[new CriError('UNIMPLEMENTED', 'no events')]], states);
  const list = runtime.listContainers;
  const ended: string[] = [];
  runtime.listContainers = async () => {
    runtime.listContainers = list;
    throw new CriError('UNAVAILABLE', 'restarting');
  };
  const watch = new ContainerWatch(runtime, clock, (id) => ended.push(id));
  watch.start();
  await emptyTaskQueue();
  expect(ended).toEqual([]);
  await clock.advance(1000);
  expect(ended).toEqual(['a']);
  await watch.stop();
});
