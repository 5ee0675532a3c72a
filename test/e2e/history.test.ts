/** What a tag meant on a node, who pulled it and what ran it. */
import { expect, onTestFinished, test } from 'vitest';
import { busyboxMissing } from '../support/busybox.ts';
import { pushBusyboxImage } from '../support/busybox-image.ts';
import { dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { runLading } from '../support/lading-process.ts';
import { manifestText } from '../support/manifest.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo');

test.skipIf(missing)(
  `history tells which pods pulled and ran each digest${missing ? ` (skipped: ${missing})` : ''}`,
  async () => {
    const root = await temporaryFolder();
    const registry = await startDockerRegistry();
    onTestFinished(() => registry.close());
    const lading = (args: string[], stdin?: string) =>
      runLading(['--root', root, ...args], stdin === undefined ? {} : { stdin });
    const run = (pod: string, image: string) => {
      const containers = [{ name: 'main', image, imagePullPolicy: 'Always' }];
      const spec = { restartPolicy: 'Never', containers };
      return lading(['run', '-'], manifestText({ apiVersion: 'v1', kind: 'Pod', metadata: { name: pod }, spec }));
    };
    const one = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
    expect((await run('web', one.name)).stdout).toBe('[web/main] one\n');
    expect((await run('web', one.name)).stdout).toBe('[web/main] one\n');
    const two = await pushBusyboxImage(registry.address, 'app:1', { version: 'two' });
    await lading(['pull', one.name]);
    expect((await run('other', one.name)).stdout).toBe('[other/main] two\n');
    const byDigest = `${registry.address}/app@${one.manifest}`;
    expect((await run('digest', byDigest)).stdout).toBe('[digest/main] one\n');

    const data = await pushBusyboxImage(registry.address, 'data:1', { version: 'data' });
    const withVolume = {
      restartPolicy: 'Never',
      volumes: [{ name: 'data', image: { reference: data.name } }],
      containers: [{ name: 'main', image: byDigest, volumeMounts: [{ name: 'data', mountPath: '/data' }] }],
    };
    const mounting = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'mounting' }, spec: withVolume };
    expect((await lading(['run', '-'], manifestText(mounting))).exitCode).toBe(0);
    const ofData = JSON.parse((await lading(['history', data.name, '-o', 'json'])).stdout);
    expect(ofData).toMatchObject([
      { pulledBy: 'pod default/mounting', ranBy: [{ pod: 'mounting', container: 'main' }] },
    ]);

    const { stdout } = await lading(['history', one.name, '-o', 'json']);
    const main = { namespace: 'default', container: 'main' };
    expect(JSON.parse(stdout)).toMatchObject([
      { digest: two.manifest, pulledBy: 'lading pull', ranBy: [{ ...main, pod: 'other', count: 1 }] },
      {
        digest: one.manifest,
        pulledBy: 'pod default/web',
        ranBy: [
          { ...main, pod: 'mounting', count: 1 },
          { ...main, pod: 'digest', count: 1 },
          { ...main, pod: 'web', count: 2 },
        ],
      },
    ]);
    const table = (await lading(['history', one.name])).stdout;
    expect(table).toMatch(/lading pull +default\/other\/main \(.*\)\n/);
    expect(table).toMatch(/pod default\/web {3}default\/mounting\/main \(.*\), default\/digest\/main \(.*\), 1 more\n/);
  },
);
