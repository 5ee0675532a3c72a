/** `lading run` with the kubelet's options for credential plugins: a real registry that wants a login, a real plugin. */
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type DockerRegistry,
  dockerRegistryMissing,
  htpasswdUser,
  startDockerRegistry,
} from '../support/docker-registry.ts';
import { runLading } from '../support/lading-process.ts';
import { manifestText, pod, shell } from '../support/manifest.ts';
import { whyNot } from '../support/runtimes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const missing = dockerRegistryMissing ?? (await whyNot('embedded'));
const apiVersion = 'credentialprovider.kubelet.k8s.io/v1';

describe.skipIf(missing)(`credential plugins of lading run${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let registry: DockerRegistry;
  let folder: string;
  beforeAll(async () => {
    registry = await startDockerRegistry({ auth: 'htpasswd' });
  });
  afterAll(() => registry?.close());
  beforeEach(async () => {
    folder = await temporaryFolder();
    await mkdir(path.join(folder, 'bin'));
    const providers = [{ name: 'plugin', apiVersion, matchImages: [registry.address], defaultCacheDuration: '1h' }];
    const config = { apiVersion: 'kubelet.config.k8s.io/v1', kind: 'CredentialProviderConfig', providers };
    await writeFile(path.join(folder, 'config.yaml'), JSON.stringify(config));
    const auth = { [registry.address]: htpasswdUser };
    const answer = JSON.stringify({ kind: 'CredentialProviderResponse', apiVersion, cacheKeyType: 'Registry', auth });
    await writeFile(path.join(folder, 'bin', 'plugin'), `#!/bin/sh\necho '${answer}'\n`);
    await chmod(path.join(folder, 'bin', 'plugin'), 0o755);
  });

  const run = (...options: string[]) => {
    const text = manifestText(pod('web', [shell('main', `${registry.address}/private:1`, 'true')]));
    const args = ['--root', path.join(folder, 'node'), 'run', '--runtime', 'embedded', ...options, '-'];
    return runLading(args, { stdin: text, env: { DOCKER_CONFIG: folder, LADING_CERTS_D: '' } });
  };
  const config = () => ['--image-credential-provider-config', path.join(folder, 'config.yaml')];
  const programs = () => ['--image-credential-provider-bin-dir', path.join(folder, 'bin')];

  test('what a plugin gives is shown to the registry', async () => {
    const without = await run();
    expect(without.stderr).toContain('401 Unauthorized');
    const withPlugin = await run(...config(), ...programs());
    expect(withPlugin.stderr).toContain('404 Not Found');
    expect(withPlugin.stderr).not.toContain(htpasswdUser.password);
    expect([without.exitCode, withPlugin.exitCode]).toEqual([1, 1]);
  });

  test('one option without the other is wrong usage', async () => {
    const { exitCode, stderr } = await run(...config());
    expect(exitCode).toBe(2);
    expect(stderr).toContain('need each other');
  });
});
