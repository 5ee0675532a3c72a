/** Ten pods with the same new image at once: a real registry, real containers. */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type ContainerOutput, type KubeEvent, parsePodManifests } from '../../src/agent/index.ts';
import { chooseRuntime, openNode, startAgent } from '../../src/cli/node.ts';
import { defaultKubeletConfig } from '../../src/policy/index.ts';
import { recordingProxy } from '../pull/support/recording-proxy.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { type PushedImage, pushBusyboxImage } from '../support/busybox-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { runLading } from '../support/lading-process.ts';
import { manifestText, pod } from '../support/manifest.ts';
import { whyNot } from '../support/runtimes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo') ?? (await whyNot('embedded'));
const names = Array.from({ length: 10 }, (_, index) => `web-${index}`);

describe.skipIf(missing)(`ten pods at once${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let registry: DockerRegistry;
  let image: PushedImage;
  beforeAll(async () => {
    registry = await startDockerRegistry();
    image = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
  });
  afterAll(() => registry?.close());

  const tenPods = (from: { readonly address: string }) =>
    manifestText(...names.map((name) => pod(name, [{ name: 'main', image: `${from.address}/app:1` }])));
  const blobs = () => [image.config, ...image.layers.map(({ digest }) => digest)];

  test('in parallel: one manifest request series, each blob once, ten Pulled events', async () => {
    const proxy = await recordingProxy(registry);
    const node = await openNode({ root: path.join(await temporaryFolder(), 'node') });
    onTestFinished(() => node.close());
    const { runtime } = await chooseRuntime(node.store.root, 'embedded');
    const events: KubeEvent[] = [];
    const output: ContainerOutput[] = [];
    const allAsk = Promise.withResolvers<void>();
    const podNode = await startAgent(node, runtime, {
      config: { ...defaultKubeletConfig(), serializeImagePulls: false },
      onOutput: (line) => output.push(line),
      onEvent: (event) => {
        events.push(event);
        if (eventsOf('Pulling').length === names.length) allAsk.resolve();
      },
    });
    onTestFinished(() => podNode.close());
    const eventsOf = (reason: string) => events.filter((event) => event.reason === reason);
    proxy.behaviour = { before: () => allAsk.promise };

    const pods = parsePodManifests(tenPods(proxy), { file: 'pods.yaml' });
    const statuses = await Promise.all(pods.map((one) => podNode.agent.startPod(one).finished));
    expect(statuses.map(({ phase }) => phase)).toEqual(names.map(() => 'Succeeded'));
    expect(output.map(({ line }) => line)).toEqual(names.map(() => 'one'));
    expect(proxy.take().sort()).toEqual(
      [
        ...blobs().map((digest) => `GET /v2/app/blobs/${digest}`),
        `GET /v2/app/manifests/${image.manifest}`,
        'HEAD /v2/app/manifests/1',
      ].sort(),
    );
    const pulled = eventsOf('Pulled');
    expect(pulled.map(({ object }) => object.name).sort()).toEqual(names);
    for (const { message } of pulled)
      expect(message).toMatch(/^Successfully pulled image ".*\/app:1" in .* Image size: \d+ bytes\.$/);
  });

  test('one after another, as a kubelet does unless it is told otherwise: what is fetched is fetched once', async () => {
    const before = (await registry.requests()).length;
    const root = path.join(await temporaryFolder(), 'node');
    const args = ['--root', root, 'run', '--runtime', 'embedded', '-'];
    const { exitCode, stderr } = await runLading(args, { stdin: tenPods(registry) });
    expect(exitCode, stderr).toBe(0);
    expect(stderr.match(/ Pulled: /g)).toHaveLength(10);
    const asked = (await registry.requests()).slice(before);
    const fetched = asked.filter(({ method }) => method === 'GET').map(({ path: at }) => at);
    const expected = [`manifests/${image.manifest}`, ...blobs().map((digest) => `blobs/${digest}`)];
    expect(fetched.sort()).toEqual(expected.map((what) => `/v2/app/${what}`).sort());
    // Each pod whose turn comes has the registry asked what the tag means: the agent does not join pulls.
    const heads = asked.filter(({ method }) => method === 'HEAD');
    expect(heads).toHaveLength(stderr.match(/ Successfully pulled image /g)!.length);
  });
});
