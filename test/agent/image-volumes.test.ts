import { describe, expect, test } from 'vitest';
import { AgentHarness, podOf } from './support.ts';

// What a container receives of a pod's volumes is in the vector table image-volumes; this is what becomes of it.

const data = (pullPolicy: string) => ({ name: 'data', image: { reference: 'data:1', pullPolicy } });
const app = {
  name: 'app',
  image: 'app:1',
  imagePullPolicy: 'IfNotPresent',
  volumeMounts: [{ name: 'data', mountPath: '/data', subPath: 'etc' }],
};

async function harness(): Promise<AgentHarness> {
  const h = await AgentHarness.create();
  for (const name of ['app', 'data']) h.cri.registry.set(`${name}:1`, { id: `sha256:${name}` });
  return h;
}

const pulls = ({ cri }: AgentHarness) => cri.calls.filter((call) => call.startsWith('pullImage'));

describe('image volumes', () => {
  test('are pulled before the containers and mounted by image id', async () => {
    const h = await harness();
    h.start(podOf([app], { volumes: [data('IfNotPresent')] }));
    await h.clock.advance(1000);
    expect(pulls(h)).toEqual(['pullImage data:1', 'pullImage app:1']);
    expect([...h.cri.containers.values()][0]!.config.mounts).toEqual([
      {
        containerPath: '/data',
        hostPath: '',
        readonly: true,
        image: { image: 'sha256:data', userSpecifiedImage: 'data:1' },
        imageSubPath: 'etc',
      },
    ]);
  });

  test('under Always are pulled at every sync, also when nothing is started', async () => {
    const h = await harness();
    h.start(podOf([app], { volumes: [data('Always')] }));
    await h.clock.advance(130_000);
    expect(pulls(h).filter((call) => call.endsWith('data:1'))).toHaveLength(3);
    expect(h.cri.running()).toEqual(['app/0']);
  });

  test('that fail keep the containers that mount them from starting, and no others', async () => {
    const h = await harness();
    h.cri.registry.delete('data:1');
    const other = { name: 'other', image: 'app:1', imagePullPolicy: 'IfNotPresent' };
    const worker = h.start(podOf([app, other], { volumes: [data('Never')] }));
    await h.clock.advance(1000);
    expect(worker.status().containerStatuses[0]!.state.waiting).toEqual({
      reason: 'ErrImageNeverPull',
      message: 'Container image "data:1" is not present with pull policy of Never',
    });
    expect(h.said('app')).toEqual(['Failed Error: ErrImageNeverPull']);
    expect(h.cri.running()).toEqual(['other/0']);
  });
});

test.each([
  [{ volumes: [{ name: 'data', image: {} }] }, 'spec.volumes[0].image.reference: Required value'],
  [{ volumes: [data('Sometimes')] }, 'spec.volumes[0].image.pullPolicy: Unsupported value: "Sometimes"'],
  [{ volumes: [{ name: 'data', emptyDir: {} }] }, 'Lading does not mount volumes yet, except images'],
])('%j is refused', (spec, text) => {
  expect(() => podOf([app], spec)).toThrow(text);
});

test('paths out of the image are refused', () => {
  const mount = (subPath: string) => ({ ...app, volumeMounts: [{ name: 'data', mountPath: '/data', subPath }] });
  for (const subPath of ['/etc', '../etc', 'a/../../b']) {
    expect(() => podOf([mount(subPath)], { volumes: [data('Never')] })).toThrow(
      'volumeMounts[0].subPath: Invalid value',
    );
  }
});
