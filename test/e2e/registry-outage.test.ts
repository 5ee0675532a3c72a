/** `Always` while a real registry is down. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { busyboxMissing } from '../support/busybox.ts';
import { pushBusyboxImage } from '../support/busybox-image.ts';
import { dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { sendJson, startHostileServer } from '../support/hostile-server.ts';
import { RunningLading, runLading } from '../support/lading-process.ts';
import { manifestText, shell } from '../support/manifest.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

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

test.skipIf(missing)(
  `what the registry named before it failed is told, and its answer to each container${missing ? ` (skipped: ${missing})` : ''}`,
  async () => {
    const root = await temporaryFolder();
    const registry = await startDockerRegistry();
    onTestFinished(() => registry.close());
    let hasLayers = true;
    const failing = await startHostileServer(async ({ method, path: asked, headers }, response) => {
      if (asked.includes('/blobs/') && !hasLayers) return sendJson(response, 503, {}, { 'retry-after': '3600' });
      const answer = await fetch(registry.url + asked, { method, headers: { accept: headers.accept ?? '*/*' } });
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(Buffer.from(await answer.arrayBuffer()));
    });
    onTestFinished(() => failing.close());
    const one = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
    const name = `${failing.address}/app:1`;
    await runLading(['--root', root, 'pull', name]);
    const two = await pushBusyboxImage(registry.address, 'app:1', { version: 'two' });
    hasLayers = false;

    const containers = ['first', 'second'].map((container) =>
      shell(container, name, 'cat /version; exec sleep 1000', { imagePullPolicy: 'Always' }),
    );
    const annotations = { 'lading.dev/when-registry-unreachable': 'use-cached' };
    const web = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web', annotations }, spec: { containers } };
    const lading = new RunningLading(['--root', root, 'run', '--grace-period', '0', '-'], {
      stdin: manifestText(web),
    });
    onTestFinished(() => lading.end());
    for (const container of ['first', 'second']) {
      await lading.prints(`[web/${container}] one\n`);
      await lading.prints(`web/${container}  CachedImageStale`, { stream: 'stderr' });
    }
    const repository = `${failing.address}/app`;
    expect(lading.stderr).toMatch(
      new RegExp(
        `web/first  UsingCachedImage: .* using ${repository}@${one.manifest} of this node, it was last known to be current .* ago; the name now means ${repository}@${two.manifest}, which could not be fetched: RegistryUnavailable`,
      ),
    );
    await lading.interrupted();
  },
  30_000,
);

test.skipIf(missing)(
  `as soon as the registry answers again a running pod is told to be stale${missing ? ` (skipped: ${missing})` : ''}`,
  async () => {
    const root = await temporaryFolder();
    const registry = await startDockerRegistry();
    onTestFinished(() => registry.close());
    const one = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
    await runLading(['--root', root, 'pull', one.name]);
    const two = await pushBusyboxImage(registry.address, 'app:1', { version: 'two' });
    await registry.stop();
    const containers = [shell('main', one.name, 'cat /version; exec sleep 1000', { imagePullPolicy: 'Always' })];
    const web = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web' }, spec: { containers } };
    // Here the node allows it, for pods that say nothing.
    const env = { LADING_IMAGES_WHEN_REGISTRY_UNREACHABLE: 'use-cached', LADING_IMAGES_USE_CACHED_MAX_AGE: '24h' };
    const lading = new RunningLading(['--root', root, 'run', '--grace-period', '0', '-'], {
      env,
      stdin: manifestText(web),
    });
    onTestFinished(() => lading.end());
    await lading.prints('[web/main] one\n');
    await registry.start();
    await lading.prints('CachedImageStale', { stream: 'stderr' });
    const repository = `${registry.address}/app`;
    expect(lading.stderr).toContain(
      `Registry of image "${one.name}" answers again: ${repository}@${one.manifest}, which was used meanwhile, is stale; the name now means ${two.manifest}`,
    );
    const asked = (await registry.requests()).filter(({ path: asked }) => asked.includes('/manifests/1')).slice(-2);
    // The last one of before the outage is skopeo's push.
    expect(asked.map(({ method }) => method)).toEqual(['PUT', 'HEAD']);
    await lading.interrupted();
  },
  30_000,
);

test.skipIf(missing)(
  `a pod that does not allow it waits, and starts when the registry is back${missing ? ` (skipped: ${missing})` : ''}`,
  async () => {
    const root = await temporaryFolder();
    const registry = await startDockerRegistry();
    onTestFinished(() => registry.close());
    const image = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
    await runLading(['--root', root, 'pull', image.name]);
    await registry.stop();
    const containers = [{ name: 'main', image: image.name, imagePullPolicy: 'Always' }];
    const web = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web' },
      spec: { restartPolicy: 'Never', containers },
    };
    const lading = new RunningLading(['--root', root, 'run', '--retry', '-'], { stdin: manifestText(web) });
    onTestFinished(() => lading.end());
    await lading.prints('web/main  Failed: Error: RegistryUnavailable', { stream: 'stderr' });
    await registry.start();
    // The kubelet's first delay, of ten seconds.
    const { exitCode, stdout, stderr } = await lading.ended;
    expect([exitCode, stdout]).toEqual([0, '[web/main] one\n']);
    expect(stderr.match(/web\/main {2}Pulling: /g)).toHaveLength(2);
    const asked = (await registry.requests()).slice(-1).map(({ method, path: at }) => `${method} ${at}`);
    expect(asked).toEqual(['HEAD /v2/app/manifests/1']);
  },
  60_000,
);
