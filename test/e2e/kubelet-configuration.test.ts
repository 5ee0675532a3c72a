/** `lading run` with a kubelet's own configuration file, and with single settings of it. */
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { busyboxMissing } from '../support/busybox.ts';
import { type PushedImage, pushBusyboxImage } from '../support/busybox-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { runLading } from '../support/lading-process.ts';
import { manifestText, pod } from '../support/manifest.ts';
import { whyNot } from '../support/runtimes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo') ?? (await whyNot('embedded'));

describe.skipIf(missing)(`the configuration of a kubelet${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let registry: DockerRegistry;
  let image: PushedImage;
  let folder: string;
  beforeAll(async () => {
    registry = await startDockerRegistry();
    image = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
  });
  afterAll(() => registry?.close());
  beforeEach(async () => {
    folder = await temporaryFolder();
  });

  /** As kubelets have it, with fields that are none of ours. */
  async function kubeletFile(fields: object): Promise<string> {
    const file = path.join(folder, 'kubelet.yaml');
    const common = {
      ...{ apiVersion: 'kubelet.config.k8s.io/v1beta1', kind: 'KubeletConfiguration' },
      ...{ cgroupDriver: 'systemd', evictionHard: { 'memory.available': '100Mi' }, staticPodPath: '/etc/pods' },
    };
    await writeFile(file, JSON.stringify({ ...common, ...fields }));
    return file;
  }
  const lading = (args: readonly string[], ...pods: object[]) =>
    runLading(['--root', path.join(folder, 'node'), ...args], pods.length > 0 ? { stdin: manifestText(...pods) } : {});
  const run = ['run', '--runtime', 'embedded'];
  const web = (name: string) => pod(name, [{ name: 'main', image: image.name, imagePullPolicy: 'IfNotPresent' }]);

  test('decides whose images need credentials', async () => {
    await lading(['pull', image.name]);
    await registry.stop();
    onTestFinished(() => registry.start());
    const asUsual = await lading([...run, '-'], web('a'));
    expect([asUsual.exitCode, asUsual.stdout]).toEqual([0, '[a/main] one\n']);
    const file = await kubeletFile({ imagePullCredentialsVerificationPolicy: 'AlwaysVerify' });
    const verified = await lading([...run, '--kubelet-config', file, '-'], web('a'));
    expect(verified.exitCode).toBe(1);
    expect(verified.stderr).toContain('RegistryUnavailable');
    const flag = ['--kubelet-image-pull-credentials-verification-policy', 'NeverVerify'];
    expect((await lading([...run, '--kubelet-config', file, ...flag, '-'], web('a'))).exitCode).toBe(0);
  });

  test('limits how many pulls there are in a second', async () => {
    const file = await kubeletFile({ registryPullQPS: 1, registryBurst: 1 });
    const always = ['a', 'b', 'c'].map((name) =>
      pod(name, [{ name: 'main', image: image.name, imagePullPolicy: 'Always' }]),
    );
    const { exitCode, stderr } = await lading([...run, '--kubelet-config', file, '-'], ...always);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`Failed: Failed to pull image "${image.name}": pull QPS exceeded`);
  });

  test('is refused as a kubelet refuses it, before anything is run', async () => {
    const file = await kubeletFile({ imageGCHighThresholdPercent: 80, imageGCLowThresholdPercent: 90 });
    const { exitCode, stdout, stderr } = await lading([...run, '--kubelet-config', file, '-'], web('a'));
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toContain(
      'imageGCLowThresholdPercent (--image-gc-low-threshold) 90 must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) 80',
    );
  });
});
