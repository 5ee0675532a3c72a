/** `Always` while a real registry is down. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { busyboxMissing } from '../support/busybox.ts';
import { pushBusyboxImage } from '../support/busybox-image.ts';
import { dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { runLading } from '../support/lading-process.ts';
import { manifestText } from '../support/manifest.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo');

test.skipIf(missing)(
  `a pod that allows it runs what the node has${missing ? ` (skipped: ${missing})` : ''}`,
  async () => {
    const root = await mkdtemp(path.join(tmpdir(), 'lading-e2e-outage-'));
    onTestFinished(() => rm(root, { recursive: true, force: true }));
    const registry = await startDockerRegistry();
    onTestFinished(() => registry.close());
    const image = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
    const run = (annotations: Record<string, string>) => {
      const spec = {
        restartPolicy: 'Never',
        containers: [{ name: 'main', image: image.name, imagePullPolicy: 'Always' }],
      };
      const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', annotations }, spec };
      return runLading(['--root', root, 'run', '-'], { stdin: manifestText(pod) });
    };
    const useCached = { 'lading.dev/when-registry-unreachable': 'use-cached' };
    expect((await run(useCached)).stdout).toBe('[web/main] one\n');

    await registry.close();
    const cached = await run({ ...useCached, 'lading.dev/use-cached-max-age': '1h' });
    expect([cached.exitCode, cached.stdout]).toEqual([0, '[web/main] one\n']);
    expect(cached.stderr).toContain('UsingCachedImage');
    expect(cached.stderr).toContain(`using ${image.name.replace(/:1$/, '')}@${image.manifest} of this node`);
    expect(cached.stderr).toMatch(/it was last known to be current [0-9.]+s ago/);

    const strict = await run({});
    expect([strict.exitCode, strict.stdout]).toEqual([1, '']);
    expect(strict.stderr).toContain('RegistryUnavailable');
    const tooOld = await run({ ...useCached, 'lading.dev/use-cached-max-age': '1ms' });
    expect(tooOld.exitCode).toBe(1);
  },
);
