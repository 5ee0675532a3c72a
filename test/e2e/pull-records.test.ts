/** An image that one pod has fetched with its credentials is not given to another one without: a real registry with users. */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { busyboxMissing } from '../support/busybox.ts';
import { type PushedImage, pushBusyboxImage } from '../support/busybox-image.ts';
import {
  type DockerRegistry,
  dockerRegistryMissing,
  htpasswdUser,
  startDockerRegistry,
} from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { type LadingResult, RunningLading, runLading } from '../support/lading-process.ts';
import { manifestText, pod, shell } from '../support/manifest.ts';
import { whyNot } from '../support/runtimes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo') ?? (await whyNot('embedded'));

describe.skipIf(missing)(`pull records of a node${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let registry: DockerRegistry;
  let image: PushedImage;
  beforeAll(async () => {
    registry = await startDockerRegistry({ auth: 'htpasswd' });
    image = await pushBusyboxImage(registry.address, 'private:1', { version: 'one', user: htpasswdUser });
  });
  afterAll(() => registry?.close());

  const secret = (password = htpasswdUser.password) => {
    const auths = { [registry.address]: { ...htpasswdUser, password } };
    return {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'login', uid: 'c7a1e0de-0000-4000-8000-000000000001' },
      type: 'kubernetes.io/dockerconfigjson',
      stringData: { '.dockerconfigjson': JSON.stringify({ auths }) },
    };
  };
  const withSecret = (policy: string, script = 'cat /version') =>
    manifestText(
      secret(),
      pod('a', [shell('main', image.name, script, { imagePullPolicy: policy })], {
        imagePullSecrets: [{ name: 'login' }],
      }),
    );
  const withoutSecret = (policy: string) =>
    manifestText(pod('b', [shell('main', image.name, 'cat /version', { imagePullPolicy: policy })]));

  /** A node, with a user who is logged in nowhere. */
  async function node() {
    const folder = await temporaryFolder();
    const env = { DOCKER_CONFIG: folder, REGISTRY_AUTH_FILE: '', XDG_RUNTIME_DIR: folder, HOME: folder };
    const root = ['--root', path.join(folder, 'node')];
    const args = [...root, 'run', '--runtime', 'embedded', '-'];
    return {
      run: (stdin: string, more: Record<string, string> = {}) => runLading(args, { stdin, env: { ...env, ...more } }),
      start: (stdin: string) => new RunningLading(args, { stdin, env }),
      lading: (command: readonly string[], more: Record<string, string> = {}) =>
        runLading([...root, ...command], { env: { ...env, ...more } }),
    };
  }
  const isRefused = ({ exitCode, stdout, stderr }: LadingResult, reason: string) => {
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toContain(reason);
    expect(stderr).not.toContain(htpasswdUser.password);
  };
  const runs = ({ exitCode, stdout, stderr }: LadingResult, name: string) =>
    expect([exitCode, stdout], stderr).toEqual([0, `[${name}/main] one\n`]);

  test('who has no credentials is not given it; who had them needs no registry, also after a rotation', async () => {
    const { run } = await node();
    runs(await run(withSecret('IfNotPresent')), 'a');
    isRefused(await run(withoutSecret('IfNotPresent')), '401 Unauthorized');
    isRefused(await run(withoutSecret('Always')), '401 Unauthorized');
    isRefused(await run(withoutSecret('Never')), 'ErrImageNeverPull');

    await registry.stop();
    onTestFinished(() => registry.start());
    const again = await run(withSecret('IfNotPresent'));
    runs(again, 'a');
    expect(again.stderr).toContain('already present on machine and can be accessed by the pod');
    runs(await run(withSecret('Never').replaceAll(htpasswdUser.password, 'rotated')), 'a');
    isRefused(await run(withoutSecret('IfNotPresent')), 'RegistryUnavailable');
  });

  test('a kill -9 forgets nothing: not of a pull that had ended, not of one that was about to', async () => {
    const running = await node();
    const killed = running.start(withSecret('IfNotPresent', 'echo up; sleep 60'));
    await killed.prints('up');
    killed.child.kill('SIGKILL');
    await killed.ended;
    isRefused(await running.run(withoutSecret('IfNotPresent')), '401 Unauthorized');

    const pulled = await node();
    const { exitCode } = await pulled.run(withSecret('IfNotPresent'), { LADING_CRASH_AT: 'image-pulled' });
    expect(exitCode).toBeNull();
    expect((await pulled.lading(['images'])).stdout).toContain('private');
    isRefused(await pulled.run(withoutSecret('Never')), 'ErrImageNeverPull');
    runs(await pulled.run(withSecret('IfNotPresent')), 'a');
  });

  test('what was brought to the node by hand is for all, until a pod fetches it with its own', async () => {
    const { run, lading } = await node();
    const login = await temporaryFolder();
    const loggedIn = { DOCKER_CONFIG: login };
    const password = ['login', '--username', htpasswdUser.username, '--password-stdin', registry.address];
    const in_ = await runLading(password, { stdin: htpasswdUser.password, env: { ...loggedIn, HOME: login } });
    expect(in_.exitCode, in_.stderr).toBe(0);
    expect((await lading(['pull', image.name], loggedIn)).exitCode).toBe(0);
    runs(await run(withoutSecret('IfNotPresent')), 'b');
    runs(await run(withSecret('Always')), 'a');
    isRefused(await run(withoutSecret('IfNotPresent')), '401 Unauthorized');
    // With the login of the node every pod of it may use the image.
    runs(await run(withoutSecret('Always'), loggedIn), 'b');
    runs(await run(withoutSecret('IfNotPresent')), 'b');
  });
});
