/** `lading run` in one terminal, `lading ps`, `events` and `retry` in another. */
import { randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { busyboxMissing } from '../support/busybox.ts';
import { pushBusyboxImage } from '../support/busybox-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { startHostileServer } from '../support/hostile-server.ts';
import { RunningLading, runLading } from '../support/lading-process.ts';
import { manifestText, pod, shell } from '../support/manifest.ts';
import { rootMissing } from '../support/root.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo');
const script = 'cat /version; exec sleep 1000';

describe.skipIf(missing)(`a second terminal${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let registry: DockerRegistry;

  beforeAll(async () => {
    registry = await startDockerRegistry();
  });
  afterAll(() => registry?.close());

  async function node() {
    const [root, sockets] = [await temporaryFolder(), await temporaryFolder()];
    const env = { LADING_SOCKET_DIR: sockets };
    return {
      lading: (...args: string[]) => runLading(['--root', root, ...args], { env }),
      start: (args: string[], stdin?: string) => {
        const options = stdin === undefined ? { env } : { env, stdin };
        const lading = new RunningLading(['--root', root, ...args], options);
        onTestFinished(() => lading.end());
        return lading;
      },
    };
  }

  test('sees why a pod waits, and lets it try again at once', async () => {
    const { lading, start } = await node();
    const image = `${registry.address}/late:1`;
    const run = start(
      ['run', '--retry', '--grace-period', '0', '-'],
      manifestText(pod('web', [shell('main', image, script)])),
    );
    await run.prints('Error: ErrImagePull', { stream: 'stderr' });
    const [waiting] = JSON.parse((await lading('ps', '-o', 'json')).stdout);
    expect(waiting).toMatchObject({
      name: 'web',
      // In a user namespace another process does the work.
      pid: rootMissing ? expect.any(Number) : run.child.pid,
      containers: [{ name: 'main', image, imageID: '', status: 'ErrImagePull', imagePullPolicy: 'IfNotPresent' }],
      backOffs: [{ image, failure: expect.stringContaining('ErrImagePull: ') }],
    });
    const { manifest } = await pushBusyboxImage(registry.address, 'late:1', { version: 'one' });
    const retried = await lading('retry', 'web');
    expect([retried.exitCode, retried.stderr]).toEqual([0, '']);
    expect(retried.stdout).toContain('default/web tries again now\n   main   ErrImagePull   ');
    expect(retried.stdout).toMatch(new RegExp(`The next pull of ${image} was to wait \\d+s more\\.`));
    await run.prints('[web/main] one\n');

    const again = await lading('retry', 'default/web');
    expect([again.exitCode, again.stdout]).toEqual([1, '']);
    expect(again.stderr).toContain('error: the pod default/web is not in back-off: main is running\n');
    const other = await lading('retry', 'other');
    expect([other.exitCode, other.stderr]).toEqual([
      1,
      expect.stringMatching(/^error: no pod other runs on this node .*\nhint: These run: web\.\n$/),
    ]);
    const ps = (await lading('ps')).stdout.split('\n');
    expect(ps[0]).toMatch(/^POD +CONTAINER +STATUS +RESTARTS +AGE +IMAGE +DIGEST$/);
    expect(ps[1]).toMatch(new RegExp(`^web +main +Running +0 +\\d+s +${image} +${manifest.slice(7, 19)}$`));
    const wide = (await lading('ps', '-o', 'wide')).stdout.split('\n');
    expect(wide[0]).toMatch(/^NAMESPACE +POD +.* +DIGEST +PID +NEXT PULL +MESSAGE$/);
    expect(wide[1]).toContain(` ${manifest} `);
    await run.interrupted();
    expect((await lading('ps')).stderr).toContain('Nothing runs on this node');
    expect((await lading('retry', 'web')).stderr).toContain('error: nothing runs on this node');
    expect((await lading('metrics')).stderr).toContain('error: nothing runs on this node');
  }, 30_000);

  test('counts what happens to the images of all of them', async () => {
    const { lading, start } = await node();
    const { name } = await pushBusyboxImage(registry.address, 'counted:1', { version: 'one' });
    for (const names of [['first'], ['second', 'third']]) {
      const pods = names.map((each) => pod(each, [shell('main', name, script)]));
      const run = start(['run', '--grace-period', '0', '-'], manifestText(...pods));
      for (const each of names) await run.prints(`[${each}/main] one\n`);
    }
    const { stdout } = await lading('metrics');
    const requests = 'kubelet_image_manager_ensure_image_requests_total{pull_policy="ifnotpresent"';
    expect(stdout).toContain(`${requests},present_locally="false",pull_required="true"} 1\n`);
    expect(stdout).toContain(`${requests},present_locally="true",pull_required="false"} 2\n`);
    expect(stdout).toContain('kubelet_image_pull_duration_seconds_count{image_size_in_bytes="0-10MB"} 1\n');
    expect(stdout).toContain('kubelet_imagemanager_ondisk_pulledrecords 1\n');
  }, 30_000);

  test('also a container that ends again and again', async () => {
    const { lading, start } = await node();
    const { name } = await pushBusyboxImage(registry.address, 'crash:1', { version: 'one' });
    const crashing = pod('web', [shell('main', name, 'echo started; exit 1')], { restartPolicy: 'Always' });
    const run = start(['run', '--grace-period', '0', '-'], manifestText(crashing));
    await run.prints('BackOff', { stream: 'stderr' });
    expect(run.stdout.match(/started/g)).toHaveLength(2);
    expect((await lading('ps')).stdout).toContain('CrashLoopBackOff');
    expect((await lading('retry', 'web')).stdout).toContain('main   CrashLoopBackOff   back-off 10s restarting failed');
    await run.prints('started', { times: 3 });
    await run.interrupted();
  }, 30_000);

  test('follows events as they happen, also the progress of a slow pull', async () => {
    const { lading, start } = await node();
    const bytes = 3_000_000;
    await pushBusyboxImage(registry.address, 'large:1', {
      version: 'one',
      files: { random: randomBytes(bytes) },
    });
    const slow = await startHostileServer(({ method, path, headers }, response) => {
      const onward = httpRequest(`${registry.url}${path}`, { method, headers }, async (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        for await (const chunk of answer) {
          response.write(chunk);
          // A megabyte a second.
          if (path.includes('/blobs/')) await delay(chunk.length / 1000);
        }
        response.end();
      });
      onward.on('error', (error) => response.destroy(error)).end();
    });
    onTestFinished(() => slow.close());
    const follower = start(['events', '--follow', '-o', 'json']);
    const reader = start(['events', '--follow']);
    const run = start(
      ['run', '--grace-period', '0', '-'],
      manifestText(pod('web', [shell('main', `${slow.address}/large:1`, script)])),
    );
    await run.prints('[web/main] one\n');
    await follower.prints('"Started"');
    await run.interrupted();
    await follower.prints('"Killing"');
    await reader.prints('Killing');
    expect((await reader.interrupted()).stdout).toMatch(/^TIME .*\n\d\d:\d\d:\d\dZ {3}Normal {4}Pulling {12}pod\/web /);
    const { exitCode, stdout, stderr } = await follower.interrupted();
    expect([exitCode, stderr]).toEqual([0, '']);
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(new Set(events.map(({ reason }) => reason))).toEqual(
      new Set(['Pulling', 'PullProgress', 'Pulled', 'Created', 'Started', 'Killing']),
    );
    const progress = events.filter(({ reason }) => reason === 'PullProgress');
    for (const event of progress) {
      expect(event).toMatchObject({
        apiVersion: 'v1',
        kind: 'Event',
        involvedObject: { kind: 'Pod', namespace: 'default', name: 'web', fieldPath: 'spec.containers{main}' },
        type: 'Normal',
        progress: { image: `${slow.address}/large:1`, layers: 2 },
      });
      expect(event.progress.totalBytes).toBeGreaterThan(bytes);
      expect(event.progress.bytes).toBeLessThanOrEqual(event.progress.totalBytes);
    }
    expect(progress[0].progress.bytesPerSecond).toBeGreaterThan(0);
    expect(progress[0].message).toMatch(/^Pulling image ".*": .*MB of .*MB \(\d+%\), .*\/s, \d+s left$/);

    const listed = JSON.parse((await lading('events', '--pod', 'web', '-o', 'json')).stdout);
    expect(listed).toMatchObject({ kind: 'EventList', apiVersion: 'v1' });
    // Of one pull one event is kept, with its count.
    const [kept, ...others] = listed.items.filter(({ reason }: { reason: string }) => reason === 'PullProgress');
    expect([others.length, kept.count]).toEqual([0, progress.length]);
    const table = (await lading('events')).stdout.split('\n');
    expect(table[0]).toMatch(/^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE$/);
    expect(table.find((line) => line.includes('Started'))).toMatch(/Normal +Started +pod\/web +Container started$/);
    const wrong = await lading('events', '--pod', 'a/b/c');
    expect([wrong.exitCode, wrong.stderr]).toEqual([2, expect.stringContaining('"a/b/c" is not the name of a pod')]);
    expect((await lading('events', '--pod', 'other')).stderr).toContain('No events of pod other in the last hour');
  }, 60_000);
});
