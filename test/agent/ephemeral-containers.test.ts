import { describe, expect, test } from 'vitest';
import { AgentHarness, podOf } from './support.ts';

// Which containers start is in the vector table pod-actions; this is what the worker makes of it.

const app = { name: 'app', image: 'app:1', imagePullPolicy: 'IfNotPresent' };
const debug = { name: 'debug', image: 'debug:1', imagePullPolicy: 'Always' };

describe('ephemeral containers', () => {
  test('start beside the others, by the same rules, and never again', async () => {
    const h = await AgentHarness.create();
    for (const name of ['app', 'debug', 'setup']) h.cri.registry.set(`${name}:1`, { id: `sha256:${name}` });
    h.cri.behaviour = (container) => (container === 'app' ? {} : { exitAfterMs: 5000, exitCode: 1 });
    const setup = { name: 'setup', image: 'setup:1' };
    const worker = h.start(podOf([app], { initContainers: [setup], ephemeralContainers: [debug] }));
    await h.clock.advance(1000);
    expect(h.decisions.map(({ fieldPath }) => fieldPath)).toEqual([
      'spec.initContainers{setup}',
      'spec.ephemeralContainers{debug}',
    ]);
    expect(h.cri.running()).toEqual(['setup/0', 'debug/0']);
    expect(worker.status().ephemeralContainerStatuses).toMatchObject([{ name: 'debug', state: { running: {} } }]);
    await h.clock.advance(600_000);
    expect(h.decisions.filter(({ container }) => container === 'debug')).toHaveLength(1);
    const [status] = worker.status().ephemeralContainerStatuses;
    expect(status).toMatchObject({ restartCount: 0, state: { terminated: { exitCode: 1 } } });
    await expect(worker.restartContainer('debug')).rejects.toMatchObject({ code: 'ERR_LADING_RESTART_NEVER' });
  });

  test('are evaluated at every sync until they exist, and keep nobody from starting', async () => {
    const h = await AgentHarness.create();
    h.cri.registry.set('app:1', { id: 'sha256:app' });
    const worker = h.start(podOf([app], { ephemeralContainers: [debug] }));
    await h.clock.advance(1000);
    expect(h.cri.running()).toEqual(['app/0']);
    expect(worker.status().ephemeralContainerStatuses[0]!.state.waiting).toMatchObject({ reason: 'ErrImagePull' });
    h.cri.registry.set('debug:1', { id: 'sha256:debug' });
    await h.clock.advance(60_000);
    expect(h.cri.running()).toEqual(['app/0', 'debug/0']);
    expect(worker.status().phase).toBe('Running');
  });

  test('are read as strictly as the Kubernetes API reads them', () => {
    const wrong = {
      ...{ ...debug, restartPolicy: 'Always', ports: [{ containerPort: 80 }], targetContainerName: 'other' },
      ...{ imagePullPolicy: 'Sometimes', resources: {} },
    };
    const read = (container: object) => podOf([app], { ephemeralContainers: [container] });
    expect(() => read(wrong)).toThrow(
      expect.objectContaining({
        problems: expect.arrayContaining([
          expect.objectContaining({ path: 'spec.ephemeralContainers[0].restartPolicy' }),
          expect.objectContaining({ path: 'spec.ephemeralContainers[0].ports' }),
          expect.objectContaining({ path: 'spec.ephemeralContainers[0].imagePullPolicy' }),
          expect.objectContaining({
            path: 'spec.ephemeralContainers[0].targetContainerName',
            text: 'Not found: "other"',
          }),
        ]),
      }),
    );
    expect(() => read({ ...debug, name: 'app' })).toThrow('Duplicate value: "app"');
    const [container] = read({ name: 'debug', image: 'debug', targetContainerName: 'app' }).spec.ephemeralContainers;
    expect(container).toMatchObject({ imagePullPolicy: 'Always', pullPolicyOrigin: 'defaulted' });
  });
});
