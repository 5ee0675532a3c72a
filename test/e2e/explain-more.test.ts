/** `lading explain`: credentials, mirrors, collection, what runs, what-ifs and comparisons; and its documented JSON. */
import { readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Diff } from '../../src/cli/explain/diff.ts';
import type { ExplainedContainer } from '../../src/cli/explain/explain-subject.ts';
import { busyboxMissing } from '../support/busybox.ts';
import {
  type DockerRegistry,
  dockerRegistryMissing,
  htpasswdUser,
  startDockerRegistry,
} from '../support/docker-registry.ts';
import { programMissing, skopeo } from '../support/foreign-clients.ts';
import { RunningLading, runLading } from '../support/lading-process.ts';
import { manifestText, pod, shell } from '../support/manifest.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { Stage } from './support/stage.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo');

type Item = ExplainedContainer & { diff?: Diff };

describe.skipIf(missing)(`lading explain, all of it${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let stage: Stage;
  let home: string;
  const documents: unknown[] = [];

  beforeAll(async () => {
    stage = new Stage(await startDockerRegistry());
    home = await mkdtemp(path.join(tmpdir(), 'lading-e2e-explain-'));
  });
  afterAll(async () => {
    await stage?.registry.close();
    await rm(home, { recursive: true, force: true });
  });

  /** Without any login of this machine, and with sockets of its own. */
  const environment = (more: Record<string, string> = {}) => {
    return { DOCKER_CONFIG: home, HOME: home, LADING_SOCKET_DIR: path.join(home, 'run'), ...more };
  };

  async function explain(
    root: string,
    args: readonly string[],
    { stdin = '', env = {}, exitCode = 0 }: { stdin?: string; env?: Record<string, string>; exitCode?: number } = {},
  ): Promise<readonly Item[]> {
    const command = ['--root', root, 'explain', '-o', 'json', ...args];
    const result = await runLading(command, { stdin, env: environment(env) });
    expect([result.exitCode, result.stderr]).toEqual([exitCode, '']);
    expect(result.stdout).not.toContain(htpasswdUser.password);
    documents.push(JSON.parse(result.stdout));
    return (documents.at(-1) as { items: readonly Item[] }).items;
  }

  describe('credentials', () => {
    let registry: DockerRegistry;
    let image: string;
    const secret = (content?: string) => ({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'login', uid: 'login-uid' },
      type: 'kubernetes.io/dockerconfigjson',
      stringData: {
        '.dockerconfigjson': content ?? JSON.stringify({ auths: { [registry.address]: htpasswdUser } }),
      },
    });
    const web = (spec: object = {}, policy = 'IfNotPresent') =>
      pod('web', [shell('main', image, 'cat /version', { imagePullPolicy: policy })], spec);
    const withSecret = { imagePullSecrets: [{ name: 'login' }] };

    beforeAll(async () => {
      registry = await startDockerRegistry({ auth: 'htpasswd' });
      image = `${registry.address}/private:1`;
      const { username, password } = htpasswdUser;
      const { name } = await stage.push('private:1', 'one');
      const tls = ['--src-tls-verify=false', '--dest-tls-verify=false'];
      await skopeo(
        'copy',
        '-q',
        ...tls,
        '--dest-creds',
        `${username}:${password}`,
        `docker://${name}`,
        `docker://${image}`,
      );
    });
    afterAll(() => registry?.close());

    test('of a pull secret: offered, accepted, and verified once a pod has pulled with it', async () => {
      const root = await temporaryFolder();
      const stdin = manifestText(web(withSecret), secret());
      const offered = [{ source: 'secret default/login', username: htpasswdUser.username }];
      const [before] = await explain(root, ['-'], { stdin });
      expect(before!.credentials).toEqual({ offered, accepted: 'secret default/login' });
      const run = await runLading(['--root', root, 'run', '-'], { stdin, env: environment() });
      expect([run.exitCode, run.stdout]).toEqual([0, '[web/main] one\n']);
      const [after] = await explain(root, ['-'], { stdin });
      expect(after!.credentials).toMatchObject({ offered, verified: true, verification: expect.any(String) });

      const [without] = await explain(root, ['-'], { stdin: manifestText(web()), exitCode: 1 });
      expect(without!.credentials).toMatchObject({ offered: [], verified: false });
      expect(without!.outcomes.map(({ error }) => error)).toEqual([
        'ErrImagePull',
        'ErrImagePull',
        'ErrImageNeverPull',
      ]);
      expect(without!.outcome.sentence).toContain("this node does not know that the pod's credentials give access to");
      const text = (await runLading(['--root', root, 'explain', '-'], { stdin, env: environment() })).stdout;
      expect(text).toContain(
        `credentials   secret default/login (user ${htpasswdUser.username}); accepted: secret default/login; verified: A pull is recorded`,
      );
    });

    test('of a secret that is not in the file, and of one that cannot be read', async () => {
      const root = await temporaryFolder();
      const [item] = await explain(root, ['-'], { stdin: manifestText(web(withSecret)), exitCode: 1 });
      expect(item!.credentials).toEqual({ offered: [], missingSecrets: ['login'] });
      const stdin = manifestText(web(withSecret), secret('{"auths":'));
      const [broken] = await explain(root, ['-'], { stdin, exitCode: 1 });
      expect(broken!.credentials).toEqual({ offered: [], problem: expect.any(String) });
    });

    test('of the node and of plugins', async () => {
      const folder = await temporaryFolder();
      const root = path.join(folder, 'node');
      const { username, password } = htpasswdUser;
      const auths = { [registry.address]: { username, password } };
      await writeFile(path.join(folder, 'config.json'), JSON.stringify({ auths }));
      const [ofNode] = await explain(root, [image], { env: { DOCKER_CONFIG: folder } });
      const source = "the node's docker configuration";
      expect(ofNode!.credentials).toEqual({ offered: [{ source, username }], accepted: source });

      const apiVersion = 'credentialprovider.kubelet.k8s.io/v1';
      const providers = [{ name: 'plugin', apiVersion, matchImages: [registry.address], defaultCacheDuration: '1h' }];
      const config = { apiVersion: 'kubelet.config.k8s.io/v1', kind: 'CredentialProviderConfig', providers };
      await writeFile(path.join(folder, 'plugins.json'), JSON.stringify(config));
      const answer = { kind: 'CredentialProviderResponse', apiVersion, cacheKeyType: 'Registry', auth: auths };
      await mkdir(path.join(folder, 'bin'));
      await writeFile(path.join(folder, 'bin/plugin'), `#!/bin/sh\necho '${JSON.stringify(answer)}'\n`);
      await chmod(path.join(folder, 'bin/plugin'), 0o755);
      const [ofPlugin] = await explain(root, [
        image,
        ...['--image-credential-provider-config', path.join(folder, 'plugins.json')],
        ...['--image-credential-provider-bin-dir', path.join(folder, 'bin')],
      ]);
      expect(ofPlugin!.credentials).toMatchObject({ accepted: 'a credential plugin' });
    });
  });

  test('mirrors: in their order, and which of them answered', async () => {
    const { manifest } = await stage.push('mirrored:1', 'one');
    const nobody = 'http://127.0.0.1:1';
    const env = { LADING_REGISTRY_MIRRORS: JSON.stringify({ 'registry.test': [nobody, stage.registry.url] }) };
    const root = await temporaryFolder();
    const [item] = await explain(root, ['registry.test/mirrored:1'], { env });
    expect(item!.registry).toMatchObject({ reachable: true, digest: manifest });
    const target = '/v2/mirrored/manifests/1';
    expect(item!.endpoints).toEqual([
      { url: `${nobody}${target}`, result: 'no-answer' },
      { url: `${stage.registry.url}${target}`, result: 'answered', status: 200 },
      { url: `https://registry.test${target}`, result: 'not-asked' },
    ]);
    const command = ['--root', root, 'explain', 'registry.test/mirrored:1'];
    const { stdout } = await runLading(command, { env: environment(env) });
    expect(stdout).toMatch(
      /asked +127\.0\.0\.1:1: no answer, then 127\.0\.0\.1:\d+: answered \(200\), then registry\.test: not asked/,
    );
  });

  test('the collection of unused images', async () => {
    const root = await temporaryFolder();
    const image = await stage.pushAndPull(root, 'gc:1', 'one');
    const risk = async (env: Record<string, string>) =>
      (await explain(root, [image.name], { env }))[0]!.garbageCollection;
    expect(await risk({ LADING_KUBELET_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '99' })).toEqual({
      risk: 'when-full',
      reason: expect.stringMatching(
        /^It is the only one to go when the disk is used to 99% \(now \d+%\): no container/,
      ),
    });
    expect(await risk({ LADING_KUBELET_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '100' })).toMatchObject({ risk: 'none' });
    const soon = {
      LADING_KUBELET_IMAGE_GC_HIGH_THRESHOLD_PERCENT: '1',
      LADING_KUBELET_IMAGE_GC_LOW_THRESHOLD_PERCENT: '0',
      LADING_KUBELET_IMAGE_MINIMUM_GC_AGE: '1ms',
    };
    expect(await risk(soon)).toMatchObject({ risk: 'next-collection' });
  });

  test('an image for another platform', async () => {
    const root = await temporaryFolder();
    const { name } = await stage.push('foreign:1', 'one', { platform: { os: 'linux', architecture: 's390x' } });
    const [item] = await explain(root, [name]);
    const warning = expect.stringMatching(/^the image is for linux\/s390x, not for linux\//);
    expect(item!.registry).toMatchObject({ platform: 'linux/s390x', warnings: [warning] });
    const { stdout } = await runLading(['--root', root, 'explain', name], { env: environment() });
    expect(stdout).toMatch(/^ {3}platform +the image is for linux\/s390x, not for linux\//m);
  });

  test('the platform that is chosen from an index', async () => {
    const root = await temporaryFolder();
    const other = { os: 'linux', architecture: 's390x' };
    const own = { os: 'linux', architecture: process.arch === 'arm64' ? 'arm64' : 'amd64' };
    const entries = await Promise.all(
      [other, own].map(async (platform) => {
        const pushed = await stage.push(`multi:${platform.architecture}`, platform.architecture, { platform });
        const { manifest: digest, manifestSize: size } = pushed;
        return { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size, platform };
      }),
    );
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    await stage.registry.putManifest('multi', 'all', { schemaVersion: 2, mediaType, manifests: entries }, mediaType);
    const name = `${stage.registry.address}/multi:all`;
    const ownText = `linux/${own.architecture}`;
    const expected = { platform: ownText, platforms: ['linux/s390x', ownText] };
    expect((await explain(root, [name]))[0]!.registry).toMatchObject(expected);
    await stage.pull(root, name);
    expect((await explain(root, [name]))[0]!.registry).toMatchObject(expected);
    const { stdout } = await runLading(['--root', root, 'explain', name], { env: environment() });
    expect(stdout).toContain(`${ownText} of linux/s390x, ${ownText}\n`);
  });

  test('image volumes, like containers', async () => {
    const root = await temporaryFolder();
    const { name, manifest } = await stage.pushAndPull(root, 'volume:1', 'one');
    const stdin = manifestText({
      ...pod('web', [{ name: 'main', image: name }], {
        volumes: [
          { name: 'data', image: { reference: name } },
          { name: 'more', image: { reference: `${stage.registry.address}/volume:none`, pullPolicy: 'Never' } },
        ],
      }),
    });
    const items = await explain(root, ['-'], { stdin, exitCode: 1 });
    expect(items).toMatchObject([
      { pod: 'web', volume: 'data', policy: 'IfNotPresent', policyOrigin: 'defaulted', outcome: { digest: manifest } },
      { pod: 'web', volume: 'more', policy: 'Never', policyOrigin: 'written', outcome: { error: 'ErrImageNeverPull' } },
      { pod: 'web', container: 'main' },
    ]);
    const { stdout } = await runLading(['--root', root, 'explain', '-'], { stdin, env: environment() });
    expect(stdout).toContain(`pod web, image volume data: ${name} (standard input)`);
  });

  test('what if: another policy, another registry', async () => {
    const root = await temporaryFolder();
    const { name } = await stage.pushAndPull(root, 'whatif:1', 'one');
    const { manifest } = await stage.push('whatif:1', 'two');
    const [always] = await explain(root, ['--policy', 'Always', name]);
    expect(always).toMatchObject({ policy: 'Always', policyOrigin: 'assumed', outcome: { digest: manifest } });
    const [moved] = await explain(root, ['--at-registry', stage.registry.address, 'elsewhere.test/whatif:1']);
    expect(moved).toMatchObject({
      image: name,
      insteadOf: 'elsewhere.test/whatif:1',
      registry: { digest: manifest },
      policy: 'IfNotPresent',
    });
    const wrong = await runLading(['--root', root, 'explain', '--policy', 'Sometimes', name]);
    expect([wrong.exitCode, wrong.stderr]).toEqual([2, expect.stringContaining('Allowed choices are Always')]);
    for (const none of ['', 'https://mirror.test', 'mirror.test:5000/team', 'mirror']) {
      const { exitCode, stderr } = await runLading(['--root', root, 'explain', '--at-registry', none, name]);
      expect([exitCode, stderr]).toEqual([2, expect.stringContaining(`"${none}" is not the name of a registry`)]);
    }
    const alone = await runLading(['--root', root, 'explain', '--node', root, name]);
    expect([alone.exitCode, alone.stderr]).toEqual([2, expect.stringContaining('--node needs --diff')]);
  });

  test('Always while the registry is down, where that is allowed', async () => {
    const root = await temporaryFolder();
    const image = await stage.pushAndPull(root, 'cached:1', 'one');
    const annotated = (maxAge?: string) => {
      const annotations = {
        'lading.dev/when-registry-unreachable': 'use-cached',
        ...(maxAge ? { 'lading.dev/use-cached-max-age': maxAge } : {}),
      };
      const containers = [{ name: 'main', image: image.name, imagePullPolicy: 'Always' }];
      return manifestText({ ...pod('web', containers), metadata: { name: 'web', annotations } });
    };
    await stage.registry.stop();
    try {
      const [item] = await explain(root, ['-'], { stdin: annotated('24h') });
      expect(item).toMatchObject({
        whenRegistryUnreachable: { useCached: true, maxAgeMs: 86_400_000 },
        outcome: { starts: true, digest: image.manifest, source: 'node' },
      });
      expect(item!.outcome.sentence).toMatch(
        /may be used meanwhile, so sha256:.* runs: it was last known to be current/,
      );
      const [tooOld] = await explain(root, ['-'], { stdin: annotated('1ms'), exitCode: 1 });
      expect(tooOld!.outcome.error).toBe('RegistryUnavailable');
      expect(tooOld!.outcome.reasons.at(-1)!.text).toContain('and the limit is 1ms.');
      const env = { LADING_IMAGES_WHEN_REGISTRY_UNREACHABLE: 'use-cached' };
      const [byNode] = await explain(root, ['--policy', 'Always', image.name], { env });
      expect(byNode!.outcome).toMatchObject({ starts: true, digest: image.manifest });
    } finally {
      await stage.registry.start();
    }
  });

  test('what runs now, beside what would run after a restart and on other nodes', async () => {
    const [root, other] = [await temporaryFolder(), await temporaryFolder()];
    const one = await stage.push('app:1', 'one');
    const pods = [
      pod('web', [shell('main', one.name, 'exec sleep 1000', { imagePullPolicy: 'Always' })]),
      pod('old', [shell('main', one.name, 'exec sleep 1000')]),
      pod('waiting', [shell('main', `${stage.registry.address}/app:none`, 'true')]),
    ];
    const stdin = manifestText(...pods);
    const run = new RunningLading(['--root', root, 'run', '--retry', '--grace-period', '0', '-'], {
      stdin,
      env: environment(),
    });
    onTestFinished(() => run.end());
    await run.prints('Container started', { times: 2, stream: 'stderr' });
    await run.prints('ErrImagePull', { stream: 'stderr' });
    const two = await stage.push('app:1', 'two');

    const [web, old, waiting] = await explain(root, ['--diff', '-'], { stdin, exitCode: 1 });
    expect(web!.running).toEqual({
      status: 'Running',
      digest: one.manifest,
      imageId: one.config,
      since: expect.stringMatching(/Z$/),
    });
    expect(web!.garbageCollection).toMatchObject({ risk: 'none' });
    expect(web!.diff).toMatchObject({
      from: { what: 'running', digest: one.manifest },
      to: { what: 'after a restart', digest: two.manifest },
      same: false,
    });
    const short = (digest: string) => `${digest.slice(0, 19)}…`;
    expect(web!.diff!.sentence).toBe(
      `${short(one.manifest)} runs now; after a restart another image, ${short(two.manifest)}, would run.`,
    );
    expect(old!.diff).toMatchObject({ to: { digest: one.manifest }, same: true });
    expect(waiting).toMatchObject({
      backOff: { leftMs: expect.any(Number), failure: expect.stringContaining('404 Not Found') },
      running: { status: 'ErrImagePull' },
      diff: { from: { what: 'running', error: 'ErrImagePull' }, to: { error: 'ErrImagePull' } },
    });
    const text = (await runLading(['--root', root, 'explain', '--diff', '-'], { stdin, env: environment() })).stdout;
    expect(text.split('\n')[0]).toMatch(/^POD +CONTAINER +IMAGE +RUNS NOW +AFTER A RESTART$/);
    expect(text.split('\n')[1]).toMatch(/^web +main .* +[0-9a-f]{12} +[0-9a-f]{12} +differs$/);

    // IfNotPresent on a node that has nothing runs what the registry says now.
    const there = await explain(root, ['--diff', '--node', other, '-'], { stdin, exitCode: 1 });
    expect(there[1]!.diff).toMatchObject({ from: { digest: one.manifest }, to: { what: other, digest: two.manifest } });
    const saved = path.join(await temporaryFolder(), 'other.json');
    const explained = await runLading(['--root', other, 'explain', '-o', 'json', '-'], { stdin, env: environment() });
    await writeFile(saved, explained.stdout);
    const fromFile = await explain(root, ['--diff', '--node', saved, '-'], { stdin, exitCode: 1 });
    expect(fromFile[1]!.diff).toMatchObject({
      from: { digest: one.manifest },
      to: { what: `${other} (${saved})`, digest: two.manifest },
      same: false,
    });
    // Nothing runs of an image that no manifest names.
    const [named] = await explain(root, ['--diff', '--node', saved, `${stage.registry.address}/app:2`], {
      exitCode: 1,
    });
    expect(named!.diff!.sentence).toContain('is not known');
    await writeFile(saved, '{}');
    const wrong = await runLading(['--root', root, 'explain', '--diff', '--node', saved, '-'], { stdin });
    expect(wrong.stderr).toContain(`error: ${saved} is no explanation of another node`);
    const manifest = path.join(root, 'pod.yaml');
    await writeFile(manifest, stdin);
    const noNode = await runLading(['--root', root, 'explain', '--diff', '--node', manifest, manifest]);
    expect(noNode.stderr).toContain(`error: ${manifest} is no explanation of another node`);
    await run.interrupted();
  }, 60_000);

  test('the members of the JSON are those that are documented', async () => {
    const root = await temporaryFolder();
    const { name } = await stage.pushAndPull(root, 'members:1', 'one');
    await stage.push('members:1', 'two');
    await explain(root, [name, 'No Name'], { exitCode: 1 });
    await stage.registry.stop();
    await explain(root, [name]).finally(() => stage.registry.start());
    const documentation = readFileSync(new URL('../../docs/explain.md', import.meta.url), 'utf8');
    const documented = [...documentation.matchAll(/^\| `(\S+)`/gm)].map(([, member]) => member!);
    const members = documents.flatMap((document) => membersOf(document));
    const ownMembers = members.filter((member) => !member.startsWith('items[].outcome.'));
    expect([...new Set(ownMembers)].sort()).toEqual(documented.sort());
  });
});

/** `items[].node.digest` and so on, for everything that a document holds. */
function membersOf(value: unknown, path = ''): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => membersOf(item, `${path}[]`));
  const own = path === '' ? [] : [path];
  if (typeof value !== 'object' || value === null) return own;
  const members = Object.entries(value);
  return [...own, ...members.flatMap(([name, member]) => membersOf(member, path === '' ? name : `${path}.${name}`))];
}
