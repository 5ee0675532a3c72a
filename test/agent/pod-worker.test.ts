import { readdir } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { CriError } from '../../src/cri/index.ts';
import { AgentHarness, podOf } from './support.ts';

const app = { name: 'app', image: 'app:1' };
const imageId = 'sha256:1111';

async function harnessWithImage(): Promise<AgentHarness> {
  const harness = await AgentHarness.create();
  harness.cri.registry.set('app:1', { id: imageId, size: 4096 });
  return harness;
}

describe('start', () => {
  test('sandbox, pull, size, user, create, start, in this order and with these events', async () => {
    const h = await harnessWithImage();
    const worker = h.start(podOf([app]));
    await h.clock.advance(0);
    expect(h.cri.calls).toEqual([
      'runPodSandbox web/0',
      'imageStatus app:1',
      'pullImage app:1',
      'imageStatus app:1',
      `imageStatus ${imageId}`,
      `createContainer app/0 ${imageId}`,
      'startContainer app/0',
    ]);
    expect(h.said()).toEqual([
      'Pulling Pulling image "app:1"',
      'Pulled Successfully pulled image "app:1" in 0s (0s including waiting). Image size: 4096 bytes.',
      'Created Container created',
      'Started Container started',
    ]);
    expect(h.events.map(({ object }) => object.fieldPath)).toEqual(Array(4).fill('spec.containers{app}'));
    expect(worker.status()).toMatchObject({
      phase: 'Running',
      containerStatuses: [
        {
          name: 'app',
          state: { running: { startedAtMs: h.startMs } },
          restartCount: 0,
          image: 'app:1',
          imageID: `repo@${imageId}`,
        },
      ],
    });
  });

  test('containers are started one after another; one that cannot start keeps none of the others from it', async () => {
    const h = await harnessWithImage();
    h.cri.pullMs = 3000;
    const worker = h.start(podOf([{ name: 'gone', image: 'gone:1' }, app]));
    await h.clock.advance(3000);
    expect(h.cri.running()).toEqual([]);
    await h.clock.advance(3000);
    expect(h.cri.running()).toEqual(['app/0']);
    expect(worker.status()).toMatchObject({
      phase: 'Pending',
      containerStatuses: [
        {
          name: 'gone',
          state: {
            waiting: { reason: 'ErrImagePull', message: 'rpc error: code = NotFound desc = gone:1: not found' },
          },
          image: 'gone:1',
          imageID: '',
        },
        { name: 'app', state: { running: {} } },
      ],
    });
    expect(h.said('gone')).toEqual([
      'Pulling Pulling image "gone:1"',
      'Failed Failed to pull image "gone:1": rpc error: code = NotFound desc = gone:1: not found',
      'Failed Error: ErrImagePull',
    ]);
  });

  test('a container waits as ContainerCreating while its image is pulled', async () => {
    const h = await harnessWithImage();
    h.cri.pullMs = 5000;
    const worker = h.start(podOf([app]));
    await h.clock.advance(1000);
    expect(worker.status()).toEqual({
      phase: 'Pending',
      initContainerStatuses: [],
      ephemeralContainerStatuses: [],
      containerStatuses: [
        {
          name: 'app',
          state: { waiting: { reason: 'ContainerCreating', message: '' } },
          lastState: {},
          restartCount: 0,
          image: 'app:1',
          imageID: '',
          gcImageID: '',
          containerID: '',
        },
      ],
    });
  });

  test('the configuration has what the pod says, variables expanded, and the labels of Kubernetes', async () => {
    const h = await harnessWithImage();
    h.cri.registry.set('app:1', { id: imageId, username: 'www-data' });
    h.start(
      podOf(
        [
          {
            ...app,
            command: ['run', '$(GREETING)'],
            args: ['$(MISSING)', '$$(GREETING)'],
            workingDir: '/srv',
            env: [
              { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
              { name: 'GREETING', value: 'hello $(NAME) $(LATER)' },
              { name: 'LATER', value: 'x' },
            ],
            securityContext: {
              readOnlyRootFilesystem: true,
              allowPrivilegeEscalation: false,
              capabilities: { drop: ['ALL'] },
            },
          },
        ],
        {
          securityContext: { fsGroup: 7, seccompProfile: { type: 'RuntimeDefault' } },
          hostNetwork: true,
          shareProcessNamespace: true,
        },
      ),
    );
    await h.clock.advance(0);
    const [container] = h.cri.containers.values();
    const [sandbox] = h.cri.sandboxes.values();
    expect(container!.config).toMatchObject({
      image: { image: imageId, userSpecifiedImage: 'app:1' },
      command: ['run', 'hello web $(LATER)'],
      args: ['$(MISSING)', '$(GREETING)'],
      workingDir: '/srv',
      envs: [
        { key: 'NAME', value: 'web' },
        { key: 'GREETING', value: 'hello web $(LATER)' },
        { key: 'LATER', value: 'x' },
      ],
      logPath: 'app/0.log',
      labels: {
        'io.kubernetes.container.name': 'app',
        'io.kubernetes.pod.name': 'web',
        'io.kubernetes.pod.namespace': 'default',
      },
      linux: {
        securityContext: {
          runAsUsername: 'www-data',
          readonlyRootfs: true,
          noNewPrivs: true,
          capabilities: { addCapabilities: [], dropCapabilities: ['ALL'] },
          supplementalGroups: [7],
          seccomp: { profileType: 'RuntimeDefault' },
        },
      },
    });
    expect(sandbox!.config).toMatchObject({
      hostname: '',
      linux: { securityContext: { namespaceOptions: { network: 'NODE', pid: 'POD', ipc: 'POD' } } },
    });
  });

  test('an image that would run as root does not start when the pod forbids it', async () => {
    const h = await harnessWithImage();
    const pod = podOf([{ ...app, securityContext: { runAsNonRoot: true } }]);
    const worker = h.start(pod);
    await h.clock.advance(0);
    const message = `container has runAsNonRoot and image will run as root (pod: "web_default(${pod.metadata.uid})", container: app)`;
    expect(worker.status().containerStatuses[0]!.state).toEqual({
      waiting: { reason: 'CreateContainerConfigError', message },
    });
    expect(h.said().at(-1)).toBe(`Failed Error: ${message}`);
  });

  test('a sandbox that cannot be made is tried again after 10 s', async () => {
    const h = await harnessWithImage();
    h.cri.failNext('runPodSandbox', new CriError('UNKNOWN', 'no network'), new CriError('UNAVAILABLE', 'down'));
    h.start(podOf([app]));
    await h.clock.advance(20_000);
    expect(h.said().slice(0, 2)).toEqual([
      'FailedCreatePodSandBox Failed to create pod sandbox: no network',
      'FailedCreatePodSandBox Failed to create pod sandbox: rpc error: code = Unavailable desc = down',
    ]);
    expect(h.times('FailedCreatePodSandBox')).toEqual([0, 10]);
    expect(h.times('Started')).toEqual([20]);
  });

  test("failed creations and starts have the kubelet's reasons", async () => {
    const h = await harnessWithImage();
    h.cri.failNext('createContainer', new CriError('NOT_FOUND', 'no such image'));
    h.cri.behaviour = () => ({ startError: 'exec: "nope": not found' });
    const worker = h.start(podOf([app]));
    await h.clock.advance(0);
    expect(worker.status().containerStatuses[0]!.state.waiting).toEqual({
      reason: 'CreateContainerError',
      message: 'no such image',
    });
    await h.clock.advance(10_000);
    expect(worker.status().containerStatuses[0]).toMatchObject({
      state: { waiting: { reason: 'CrashLoopBackOff' } },
      lastState: { terminated: { exitCode: 128, reason: 'StartError', message: 'exec: "nope": not found' } },
    });
    expect(h.said().filter((text) => text.startsWith('Failed'))).toEqual([
      'Failed Error: no such image',
      'Failed Error: exec: "nope": not found',
      'Failed Error: exec: "nope": not found',
    ]);
  });
});

describe('image back-off', () => {
  test("a pull that keeps failing is tried at the times of the kubelet's table", async () => {
    const h = await AgentHarness.create();
    const worker = h.start(podOf([app]));
    await h.clock.advance(1_300_000);
    expect(h.times('Pulling')).toEqual([0, 10, 30, 70, 150, 310, 610, 910, 1210]);
    expect(h.times('BackOff').slice(0, 6)).toEqual([20, 40, 50, 60, 80, 90]);
    expect(worker.status()).toMatchObject({
      phase: 'Pending',
      containerStatuses: [
        {
          state: {
            waiting: {
              reason: 'ImagePullBackOff',
              message:
                'Back-off pulling image "app:1": ErrImagePull: rpc error: code = NotFound desc = app:1: not found',
            },
          },
        },
      ],
    });
    const backOffs = h.events.filter(({ message }) => message === 'Back-off pulling image "app:1"');
    expect(backOffs.map(({ count }) => count)).toEqual(backOffs.map((_, index) => index + 1));
  });

  test('an image that appears on the node ends the wait', async () => {
    const h = await AgentHarness.create();
    h.start(podOf([app]));
    await h.clock.advance(35_000);
    h.cri.node.set('app:1', { id: imageId });
    await h.clock.advance(5000);
    expect(h.cri.running()).toEqual(['app/0']);
    expect(h.said().at(-3)).toBe('Pulled Container image "app:1" already present on machine');
  });

  test('a registry that cannot be reached has its own reason', async () => {
    const h = await AgentHarness.create();
    h.cri.failNext('pullImage', new CriError('UNKNOWN', 'RegistryUnavailable: connection refused'));
    const worker = h.start(podOf([app]));
    await h.clock.advance(0);
    expect(worker.status().containerStatuses[0]!.state.waiting).toEqual({
      reason: 'RegistryUnavailable',
      message: 'image pull failed for app:1 because the registry is unavailable: connection refused',
    });
  });
});

describe('restarts', () => {
  test('the first restart is immediate, the next ones after 10 s, 20 s, 40 s', async () => {
    const h = await harnessWithImage();
    h.cri.behaviour = () => ({ exitAfterMs: 1000, exitCode: 3 });
    const pod = podOf([app]);
    const worker = h.start(pod);
    await h.clock.advance(80_000);
    expect(h.times('Started')).toEqual([0, 1, 12, 33, 74]);
    expect(h.times('BackOff').slice(0, 2)).toEqual([2, 13]);
    expect(worker.status()).toMatchObject({
      phase: 'Running',
      containerStatuses: [
        {
          state: {
            waiting: {
              reason: 'CrashLoopBackOff',
              message: `back-off 1m20s restarting failed container=app pod=web_default(${pod.metadata.uid})`,
            },
          },
          lastState: { terminated: { exitCode: 3, reason: 'Error', finishedAtMs: h.startMs + 75_000 } },
          restartCount: 4,
        },
      ],
    });
  });

  test('each start evaluates the pull policy anew, and may run another image', async () => {
    const h = await harnessWithImage();
    h.cri.behaviour = (_, attempt) => (attempt < 2 ? { exitAfterMs: 1000 } : {});
    h.start(podOf([{ ...app, imagePullPolicy: 'Always' }]));
    await h.clock.advance(500);
    h.cri.registry.set('app:1', { id: 'sha256:2222' });
    await h.clock.advance(20_000);
    expect(
      h.decisions.map(({ attempt, decision, pulled, imageRef, present }) => ({
        attempt,
        decision,
        pulled,
        imageRef,
        present,
      })),
    ).toEqual([
      { attempt: 0, decision: 'pull', pulled: true, imageRef: imageId, present: 'unknown' },
      { attempt: 1, decision: 'pull', pulled: true, imageRef: 'sha256:2222', present: 'unknown' },
      { attempt: 2, decision: 'pull', pulled: true, imageRef: 'sha256:2222', present: 'unknown' },
    ]);
    expect(h.decisions[0]!.reasons.map(({ fact }) => fact)).toEqual(['policy-always']);
    expect(h.cri.calls.filter((call) => call.startsWith('createContainer'))).toEqual([
      `createContainer app/0 ${imageId}`,
      'createContainer app/1 sha256:2222',
      'createContainer app/2 sha256:2222',
    ]);
  });

  test('a registry outage keeps an Always container from restarting, and the failure lengthens its restart delay', async () => {
    const h = await harnessWithImage();
    h.cri.behaviour = () => ({ exitAfterMs: 1000 });
    const worker = h.start(podOf([{ ...app, imagePullPolicy: 'Always' }]));
    await h.clock.advance(500);
    h.cri.registry.delete('app:1');
    await h.clock.advance(500);
    expect(worker.status().containerStatuses[0]).toMatchObject({
      state: { waiting: { reason: 'ErrImagePull' } },
      lastState: { terminated: { exitCode: 0 } },
    });
    await h.clock.advance(10_000);
    expect(worker.status().containerStatuses[0]!.state.waiting!.reason).toBe('ErrImagePull');
    await h.clock.advance(5000);
    expect(h.decisions.map(({ atMs, error }) => [(atMs - h.startMs) / 1000, error])).toEqual([
      [0, undefined],
      [1, 'ErrImagePull'],
      [11, 'ErrImagePull'],
    ]);
  });

  test('of the dead containers only the newest stays, with its log', async () => {
    const h = await harnessWithImage();
    h.cri.behaviour = () => ({ exitAfterMs: 1000, log: ['stdout F hello'] });
    h.start(podOf([app]));
    await h.clock.advance(34_500);
    expect(h.times('Started')).toEqual([0, 1, 12, 33]);
    expect([...h.cri.containers.values()].map(({ config }) => config.metadata.attempt)).toEqual([3]);
    const [sandbox] = h.cri.sandboxes.values();
    expect(await readdir(`${sandbox!.config.logDirectory}/app`)).toEqual(['3.log']);
    expect(h.output.map(({ line }) => line)).toEqual(['hello', 'hello', 'hello', 'hello']);
  });

  test.each([
    ['Always', 0, true],
    ['Always', 1, true],
    ['OnFailure', 0, false],
    ['OnFailure', 1, true],
    ['Never', 0, false],
    ['Never', 1, false],
  ])('%s after exit code %i: restarted is %s', async (restartPolicy, exitCode, restarted) => {
    const h = await harnessWithImage();
    h.cri.behaviour = (_, attempt) => (attempt === 0 ? { exitAfterMs: 1000, exitCode } : {});
    const worker = h.start(podOf([app], { restartPolicy }));
    await h.clock.advance(1000);
    expect(h.cri.running()).toEqual(restarted ? ['app/1'] : []);
    if (restarted) return;
    const status = await worker.finished;
    expect(status).toMatchObject({
      phase: exitCode === 0 ? 'Succeeded' : 'Failed',
      containerStatuses: [{ state: { terminated: { exitCode } }, restartCount: 0 }],
    });
    expect(h.cri.calls.at(-1)).toMatch(/^stopPodSandbox/);
    await h.agent.stop();
    expect(h.cri.sandboxes.size).toBe(0);
  });

  test('a container that ends before it is known to run is restarted all the same', async () => {
    const h = await harnessWithImage();
    h.cri.behaviour = (_, attempt) => (attempt === 0 ? { exitAfterMs: 0 } : {});
    h.start(podOf([app]));
    await h.clock.advance(0);
    expect(h.cri.running()).toEqual(['app/1']);
  });

  test('the pod ends when its last container has ended', async () => {
    const h = await harnessWithImage();
    h.cri.behaviour = (name) => ({ exitAfterMs: name === 'app' ? 1000 : 5000, exitCode: name === 'app' ? 1 : 0 });
    const worker = h.start(podOf([app, { name: 'second', image: 'app:1' }], { restartPolicy: 'Never' }));
    await h.clock.advance(4000);
    expect(worker.status()).toMatchObject({
      phase: 'Running',
      containerStatuses: [{ state: { terminated: {} } }, { state: { running: {} } }],
    });
    await h.clock.advance(1000);
    expect((await worker.finished).phase).toBe('Failed');
  });

  test("a container's own restart policy and rules go before the pod's", async () => {
    const h = await harnessWithImage();
    h.cri.behaviour = (_, attempt) => ({ exitAfterMs: 1000, exitCode: attempt === 0 ? 42 : 7 });
    const rule = { action: 'Restart', exitCodes: { operator: 'In', values: [42] } };
    const worker = h.start(podOf([{ ...app, restartPolicy: 'Never', restartPolicyRules: [rule] }]));
    await h.clock.advance(2000);
    expect(await worker.finished).toMatchObject({ phase: 'Failed', containerStatuses: [{ restartCount: 1 }] });
  });

  test('a dead sandbox is replaced, and everything starts again in the new one', async () => {
    const h = await harnessWithImage();
    h.start(podOf([app]));
    await h.clock.advance(5000);
    h.cri.killSandbox([...h.cri.sandboxes.keys()][0]!);
    await h.clock.advance(0);
    expect(h.said()).toContain('SandboxChanged Pod sandbox changed, it will be killed and re-created.');
    expect(h.cri.calls).toContain('runPodSandbox web/1');
    expect(h.cri.running()).toEqual(['app/1']);
    await h.clock.advance(60_000);
    expect([...h.cri.sandboxes.values()].map(({ config }) => config.metadata.attempt)).toEqual([0, 1]);
    await h.agent.stop();
    expect(h.cri.sandboxes.size).toBe(0);
  });

  test('a dead sandbox under Never ends the pod', async () => {
    const h = await harnessWithImage();
    const worker = h.start(podOf([app], { restartPolicy: 'Never' }));
    await h.clock.advance(0);
    h.cri.killSandbox([...h.cri.sandboxes.keys()][0]!);
    await h.clock.advance(0);
    expect((await worker.finished).phase).toBe('Failed');
  });
});

describe('restartContainer', () => {
  test('stops the container with the grace period, and starts it again with a new evaluation', async () => {
    const h = await harnessWithImage();
    h.cri.behaviour = () => ({ termExitCode: 0 });
    const worker = h.start(podOf([app], { restartPolicy: 'OnFailure', terminationGracePeriodSeconds: 7 }));
    await h.clock.advance(0);
    await worker.restartContainer('app');
    await h.clock.advance(0);
    expect(h.cri.calls).toContain('stopContainer app/0 7');
    expect(h.said()).toContain('Killing Stopping container app');
    expect(h.cri.running()).toEqual(['app/1']);
    expect(h.decisions).toHaveLength(2);
    expect(worker.status().containerStatuses[0]!.restartCount).toBe(1);
  });

  test('refuses what it cannot do', async () => {
    const h = await AgentHarness.create();
    const worker = h.start(podOf([app, { name: 'once', image: 'app:1', restartPolicy: 'Never' }]));
    await h.clock.advance(0);
    await expect(worker.restartContainer('other')).rejects.toMatchObject({
      code: 'ERR_LADING_CONTAINER_UNKNOWN',
      hint: 'Its containers are app, once.',
    });
    await expect(worker.restartContainer('once')).rejects.toMatchObject({ code: 'ERR_LADING_RESTART_NEVER' });
    await expect(worker.restartContainer('app')).rejects.toMatchObject({ code: 'ERR_LADING_CONTAINER_NOT_RUNNING' });
  });
});

describe('stop', () => {
  test('stops containers side by side, then stops and removes the sandbox', async () => {
    const h = await harnessWithImage();
    h.cri.behaviour = (name) => ({ ignoresTerm: name === 'app' });
    const worker = h.start(podOf([app, { name: 'second', image: 'app:1' }], { terminationGracePeriodSeconds: 5 }));
    await h.clock.advance(0);
    h.cri.calls.length = 0;
    const stopped = h.agent.stopPod(worker.pod.metadata.uid);
    await h.clock.advance(0);
    expect(h.cri.calls).toEqual(['stopContainer app/0 5', 'stopContainer second/0 5']);
    expect(h.cri.running()).toEqual(['app/0']);
    await h.clock.advance(5000);
    await stopped;
    const [, , ...rest] = h.cri.calls;
    expect(rest.map((call) => call.split(' ')[0])).toEqual(['stopPodSandbox', 'removePodSandbox']);
    expect(h.said().slice(-2)).toEqual(['Killing Stopping container app', 'Killing Stopping container second']);
    expect(await worker.finished).toMatchObject({
      phase: 'Failed',
      containerStatuses: [{ state: { terminated: { exitCode: 137 } } }, { state: { terminated: { exitCode: 143 } } }],
    });
    expect(h.agent.pods()).toEqual([]);
  });

  test('a second stop with a shorter grace period hurries the first one', async () => {
    const h = await harnessWithImage();
    h.cri.behaviour = () => ({ ignoresTerm: true });
    h.start(podOf([app]));
    await h.clock.advance(0);
    const first = h.agent.stop();
    await h.clock.advance(0);
    expect(h.cri.running()).toEqual(['app/0']);
    await h.agent.stop({ gracePeriodSeconds: 0 });
    expect(h.cri.running()).toEqual([]);
    await h.clock.advance(30_000);
    await first;
  });

  test('gives up a pull that the pod waits for, without blaming the registry', async () => {
    const h = await harnessWithImage();
    h.cri.pullMs = 60_000;
    const worker = h.start(podOf([app]));
    await h.clock.advance(1000);
    await h.agent.stop();
    expect((await worker.finished).containerStatuses[0]!.state.waiting!.reason).toBe('ContainerCreating');
    expect(h.said()).toEqual(['Pulling Pulling image "app:1"']);
    expect(h.cri.sandboxes.size).toBe(0);
  });

  test("the kubelet's least grace is 2 s", async () => {
    const h = await harnessWithImage();
    h.start(podOf([app], { terminationGracePeriodSeconds: 0 }));
    await h.clock.advance(0);
    await h.agent.stop();
    expect(h.cri.calls).toContain('stopContainer app/0 2');
  });

  test('what a stop cannot do is said, and the sandbox goes all the same', async () => {
    const h = await harnessWithImage();
    const worker = h.start(podOf([app]));
    await h.clock.advance(0);
    h.cri.failNext('stopContainer', new CriError('DEADLINE_EXCEEDED', 'too slow'));
    await h.agent.stop();
    expect(h.said()).toContain('FailedKillPod error killing pod: too slow');
    expect(h.cri.containers.size).toBe(0);
    expect((await worker.finished).phase).toBe('Failed');
  });

  test('nothing is created after the pod was stopped while its image was looked up', async () => {
    const h = await harnessWithImage();
    const decided = Promise.withResolvers<void>();
    const { imageStatus } = h.cri;
    h.cri.imageStatus = async (image) => {
      h.cri.imageStatus = imageStatus;
      const stopped = h.agent.stop();
      decided.resolve(stopped);
      return h.cri.imageStatus(image);
    };
    h.cri.node.set('app:1', { id: imageId });
    h.start(podOf([app]));
    await decided.promise;
    expect(h.cri.calls.filter((call) => call.startsWith('createContainer'))).toEqual([]);
    expect(() => h.agent.startPod(podOf([app]))).toThrow(expect.objectContaining({ code: 'ERR_LADING_AGENT_STOPPED' }));
  });

  test('a sandbox that stays makes stop fail, and the next stop tries again', async () => {
    const h = await harnessWithImage();
    h.start(podOf([app]));
    await h.clock.advance(0);
    h.cri.failNext('removePodSandbox', new CriError('UNKNOWN', 'busy'));
    await expect(h.agent.stop()).rejects.toThrow('busy');
    expect(h.cri.sandboxes.size).toBe(1);
    await h.agent.stop();
    expect(h.cri.sandboxes.size).toBe(0);
  });
});

describe('a runtime that fails', () => {
  test('a status that cannot be had is an event, and is asked for again', async () => {
    const h = await harnessWithImage();
    h.cri.failNext('listContainers', new CriError('UNAVAILABLE', 'restarting'));
    h.start(podOf([app]));
    await h.clock.advance(10_000);
    expect(h.said()[0]).toBe('FailedSync error determining status: rpc error: code = Unavailable desc = restarting');
    expect(h.cri.running()).toEqual(['app/0']);
  });

  test('a container whose start is not confirmed is found again, not started twice', async () => {
    const h = await harnessWithImage();
    h.cri.failNext('containerStatus', new CriError('UNAVAILABLE', 'restarting'));
    const worker = h.start(podOf([app]));
    await h.clock.advance(10_000);
    expect(h.cri.running()).toEqual(['app/0']);
    expect(worker.status().phase).toBe('Running');
  });

  test('without container events ends are found by listing', async () => {
    const h = await harnessWithImage();
    h.cri.hasEvents = false;
    h.cri.behaviour = (_, attempt) => (attempt === 0 ? { exitAfterMs: 2500 } : {});
    h.start(podOf([app]));
    await h.clock.advance(4000);
    expect(h.times('Started')).toEqual([0, 3]);
  });

  test('a container that somebody else removed is started again', async () => {
    const h = await harnessWithImage();
    h.start(podOf([app]));
    await h.clock.advance(0);
    await h.cri.removeContainer([...h.cri.containers.keys()][0]!);
    await h.clock.advance(0);
    expect(h.cri.running()).toEqual(['app/1']);
  });
});

describe('agent', () => {
  test('two pods pull one after another; a pod with the name of another is refused', async () => {
    const h = await harnessWithImage();
    h.cri.pullMs = 4000;
    h.start(podOf([app], {}, 'one'));
    h.start(podOf([app], {}, 'two'));
    expect(() => h.agent.startPod(podOf([app], {}, 'two'))).toThrow(
      expect.objectContaining({ code: 'ERR_LADING_POD_EXISTS' }),
    );
    h.clock.settle = async () => {
      await new Promise((resolve) => setTimeout(resolve, 50));
    };
    await h.clock.advance(4000);
    expect(h.cri.running()).toEqual(['app/0']);
    await h.clock.advance(4000);
    expect(h.cri.running()).toEqual(['app/0', 'app/0']);
    const pulled = h.said().filter((text) => text.startsWith('Pulled'));
    expect(pulled).toEqual([
      'Pulled Successfully pulled image "app:1" in 4s (4s including waiting). Image size: 4096 bytes.',
      'Pulled Successfully pulled image "app:1" in 4s (8s including waiting). Image size: 4096 bytes.',
    ]);
  });

  test('gives whole lines of both streams, and loses none at the end', async () => {
    const h = await harnessWithImage();
    const lines = Array.from({ length: 2000 }, (_, index) => `stdout F line ${index}`);
    h.cri.behaviour = () => ({
      exitAfterMs: 10,
      log: ['stderr P half ', ...lines, 'stderr F whole', 'stdout P cut off'],
    });
    const worker = h.start(podOf([app], { restartPolicy: 'Never' }));
    await h.clock.advance(10);
    await worker.finished;
    expect(h.output).toHaveLength(2002);
    expect(h.output.map(({ stream, line }) => `${stream} ${line}`)).toEqual([
      ...lines.map((line) => line.replace(' F', '')),
      'stderr half whole',
      'stdout cut off',
    ]);
    expect(h.output[0]).toMatchObject({ pod: { metadata: { name: 'web' } }, container: 'app' });
  });
});
