import { describe, expect, test } from 'vitest';
import { AgentHarness, podOf } from './support.ts';

// Which containers start is in the vector table pod-actions; this is what the worker makes of it.

const app = { name: 'app', image: 'app:1', imagePullPolicy: 'IfNotPresent' };
const setup = { name: 'setup', image: 'setup:1', imagePullPolicy: 'Always' };
const proxy = { name: 'proxy', image: 'proxy:1', restartPolicy: 'Always' };

async function harness(): Promise<AgentHarness> {
  const h = await AgentHarness.create();
  for (const name of ['app', 'setup', 'proxy']) h.cri.registry.set(`${name}:1`, { id: `sha256:${name}` });
  return h;
}

const created = ({ cri }: AgentHarness) => cri.calls.filter((call) => call.startsWith('startContainer'));

describe('init containers', () => {
  test('run to their end one after another, and the others wait as PodInitializing', async () => {
    const h = await harness();
    h.cri.behaviour = (container) => (container === 'app' ? {} : { exitAfterMs: 5000 });
    const second = { ...setup, name: 'second' };
    const worker = h.start(podOf([app], { initContainers: [setup, second] }));
    await h.clock.advance(1000);
    expect(h.cri.running()).toEqual(['setup/0']);
    const { phase, containerStatuses, initContainerStatuses } = worker.status();
    expect(phase).toBe('Pending');
    expect(containerStatuses[0]!.state).toEqual({ waiting: { reason: 'PodInitializing', message: '' } });
    expect(initContainerStatuses.map(({ state }) => Object.keys(state)[0])).toEqual(['running', 'waiting']);
    await h.clock.advance(5000);
    expect(h.cri.running()).toEqual(['second/0']);
    await h.clock.advance(5000);
    expect(h.cri.running()).toEqual(['app/0']);
    expect(worker.status().phase).toBe('Running');
    expect(h.events.map(({ object }) => object.fieldPath)).toContain('spec.initContainers{setup}');
  });

  test('are started again after a failure, with a new evaluation of their pull policy', async () => {
    const h = await harness();
    h.cri.behaviour = (container, attempt) =>
      container === 'app' ? {} : { exitAfterMs: 100, exitCode: attempt === 0 ? 1 : 0 };
    h.start(podOf([app], { initContainers: [setup] }));
    await h.clock.advance(1000);
    expect(h.decisions.map(({ container, attempt }) => `${container}/${attempt}`)).toEqual([
      'setup/0',
      'setup/1',
      'app/0',
    ]);
    expect(h.cri.running()).toEqual(['app/0']);
  });

  test('end the pod when they fail under Never', async () => {
    const h = await harness();
    h.cri.behaviour = () => ({ exitAfterMs: 100, exitCode: 7 });
    const worker = h.start(podOf([app], { restartPolicy: 'Never', initContainers: [setup] }));
    await h.clock.advance(1000);
    const status = await worker.finished;
    expect(status.phase).toBe('Failed');
    expect(status.initContainerStatuses[0]!.state.terminated).toMatchObject({ exitCode: 7 });
    expect(created(h)).toHaveLength(1);
  });

  test('whose image is not there keep everything after them waiting', async () => {
    const h = await harness();
    h.cri.registry.delete('setup:1');
    const worker = h.start(podOf([app], { initContainers: [setup] }));
    await h.clock.advance(1000);
    expect(worker.status().initContainerStatuses[0]!.state.waiting).toMatchObject({ reason: 'ErrImagePull' });
    expect(h.decisions.map(({ container }) => container)).toEqual(['setup']);
    expect(h.decisions[0]!.fieldPath).toBe('spec.initContainers{setup}');
    expect(worker.status().phase).toBe('Pending');
  });

  test('run again in a new sandbox', async () => {
    const h = await harness();
    h.cri.behaviour = (container) => (container === 'app' ? {} : { exitAfterMs: 100 });
    h.start(podOf([app], { initContainers: [setup] }));
    await h.clock.advance(1000);
    h.cri.killSandbox([...h.cri.sandboxes.keys()][0]!);
    await h.clock.advance(100_000);
    expect(h.cri.running()).toEqual(['app/1']);
    expect(h.decisions.map(({ container }) => container)).toEqual(['setup', 'app', 'setup', 'app']);
  });
});

describe('sidecars', () => {
  test('run beside the containers, and do not keep a pod alive that is done', async () => {
    const h = await harness();
    h.cri.behaviour = (container) => (container === 'app' ? { exitAfterMs: 5000 } : {});
    const worker = h.start(podOf([app], { restartPolicy: 'Never', initContainers: [proxy] }));
    await h.clock.advance(1000);
    expect(h.cri.running()).toEqual(['proxy/0', 'app/0']);
    await h.clock.advance(10_000);
    expect((await worker.finished).phase).toBe('Succeeded');
    expect(h.cri.running()).toEqual([]);
  });

  test('are started again whenever they end, under any policy of the pod', async () => {
    const h = await harness();
    h.cri.behaviour = (container, attempt) => (container === 'proxy' && attempt === 0 ? { exitAfterMs: 2000 } : {});
    const worker = h.start(podOf([app], { restartPolicy: 'Never', initContainers: [proxy] }));
    await h.clock.advance(5000);
    expect(h.cri.running().toSorted()).toEqual(['app/0', 'proxy/1']);
    expect(worker.status().phase).toBe('Running');
  });

  test('are stopped after the others, the last one first', async () => {
    const h = await harness();
    const worker = h.start(podOf([app], { initContainers: [proxy, { ...proxy, name: 'logger' }] }));
    await h.clock.advance(1000);
    await worker.stop();
    const stopped = h.events.filter(({ reason }) => reason === 'Killing').map(({ message }) => message);
    expect(stopped).toEqual(['Stopping container app', 'Stopping container logger', 'Stopping container proxy']);
  });

  test('are restarted on request like other containers', async () => {
    const h = await harness();
    const worker = h.start(podOf([app], { initContainers: [proxy, { ...proxy, name: 'logger' }] }));
    await h.clock.advance(1000);
    await worker.restartContainer('proxy');
    await h.clock.advance(1000);
    expect(h.cri.running().toSorted()).toEqual(['app/0', 'logger/0', 'proxy/1']);
  });
});
