import { type ExecFileException, execFile, spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestHex, digestOf, mediaTypes, parseReference } from '../../src/oci/index.ts';
import { RegistryClient } from '../../src/registry/index.ts';
import { tarOfFolder, writeOciLayout } from '../support/oci-layout.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { descriptorOf, jsonBytes, TestRegistry } from './support/registry.ts';

const registry = new TestRegistry();
const lacks = (program: string) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status !== 0;

/** Runs a program with a home and credentials (none) of its own, and fails with what it printed. */
async function run(home: string, program: string, args: readonly string[]): Promise<string> {
  const authFile = path.join(home, 'auth.json');
  await writeFile(authFile, '{}');
  const env = { ...process.env, HOME: home, XDG_RUNTIME_DIR: home, REGISTRY_AUTH_FILE: authFile };
  return new Promise((resolve, reject) => {
    execFile(program, args, { env, timeout: 50_000 }, (error: ExecFileException | null, stdout, stderr) => {
      if (error) reject(new Error(`${program} ${args.join(' ')}: ${error.message}\n${stdout}${stderr}`));
      else resolve(stdout);
    });
  });
}

async function tinyLayout(): Promise<{ folder: string; manifest: string; config: string }> {
  const folder = await temporaryFolder();
  const content = path.join(folder, 'content');
  await mkdir(path.join(content, 'etc'), { recursive: true });
  await writeFile(path.join(content, 'etc', 'hello'), `hello ${folder}\n`);
  const lower = tarOfFolder(content);
  await writeFile(path.join(content, 'etc', 'hello'), 'hello again\n');
  const layout = path.join(folder, 'layout');
  return { folder: layout, ...writeOciLayout(layout, { layers: [lower, tarOfFolder(content)], tag: 'tiny' }) };
}

/** Makes the layout's only entry an index of the image for two platforms. */
async function asIndex(folder: string, manifest: string): Promise<{ index: string }> {
  const blob = (digest: string) => path.join(folder, 'blobs', 'sha256', digest.slice('sha256:'.length));
  const image = descriptorOf(mediaTypes.ociManifest, await readFile(blob(manifest)));
  const manifests = ['amd64', 'arm64'].map((architecture) => ({ ...image, platform: { os: 'linux', architecture } }));
  const index = jsonBytes({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
  await writeFile(path.join(folder, 'blobs', 'sha256', digestHex(digestOf(index))), index);
  const entry = {
    ...descriptorOf(mediaTypes.ociIndex, index),
    annotations: { 'org.opencontainers.image.ref.name': 'many' },
  };
  await writeFile(path.join(folder, 'index.json'), jsonBytes({ schemaVersion: 2, manifests: [entry] }));
  return { index: entry.digest };
}

test('the registry client of this project pushes, resolves, lists, pulls and deletes', async () => {
  const client = new RegistryClient({ credentials: async () => [] });
  onTestFinished(() => client.close());
  const reference = parseReference(`${registry.address}/lading/image:1`);
  const [layer, config] = [Buffer.alloc(3_000_000, 'layer'), jsonBytes({ architecture: 'amd64', os: 'linux' })];
  const layers = [descriptorOf(mediaTypes.ociLayer, layer)];
  const bytes = jsonBytes({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptorOf(mediaTypes.ociConfig, config),
    layers,
  });
  expect(await client.pushBlob(reference, layers[0]!, () => layer)).toBe(true);
  expect(await client.pushBlob(reference, layers[0]!, () => layer)).toBe(false);
  expect(await client.pushBlob(reference, descriptorOf(mediaTypes.ociConfig, config), () => config)).toBe(true);
  const digest = await client.pushManifest(reference, bytes, mediaTypes.ociManifest);
  registry.records.length = 0;
  const { descriptor } = await client.resolve(reference);
  expect(descriptor).toMatchObject({ digest, mediaType: mediaTypes.ociManifest, size: bytes.length });
  expect(registry.records.map(({ method, status }) => [method, status])).toEqual([['HEAD', 200]]);
  expect(await client.listTags(reference)).toEqual(['1']);
  const { body } = await client.fetchBlob(reference, layers[0]!, { offset: 1_000_000 });
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  expect(Buffer.concat(chunks).equals(layer.subarray(1_000_000))).toBe(true);
  expect(await client.deleteManifest(reference)).toBe(true);
  await expect(client.resolve(reference)).rejects.toMatchObject({ data: { kind: 'not-found' } });
});

describe.skipIf(lacks('skopeo'))('skopeo (skipped where it is not installed)', () => {
  const skopeo = (home: string, ...args: string[]) => run(home, 'skopeo', ['--insecure-policy', ...args]);

  test('an image goes there and back with the same digests', async () => {
    const [home, image] = [await temporaryFolder(), await tinyLayout()];
    const remote = `docker://${registry.address}/skopeo/tiny:1`;
    await skopeo(home, 'copy', '--dest-tls-verify=false', `oci:${image.folder}:tiny`, remote);
    const head = await registry.send('HEAD', '/v2/skopeo/tiny/manifests/1');
    expect(head.headers['docker-content-digest']).toBe(image.manifest);
    const inspected = JSON.parse(await skopeo(home, 'inspect', '--tls-verify=false', remote));
    expect([inspected.Digest, inspected.RepoTags]).toEqual([image.manifest, ['1']]);
    const back = path.join(home, 'back');
    await skopeo(home, 'copy', '--src-tls-verify=false', remote, `oci:${back}:tiny`);
    const index = JSON.parse(await readFile(path.join(back, 'index.json'), 'utf8'));
    expect(index.manifests[0].digest).toBe(image.manifest);
    await expectSameBlobs(image.folder, back, image.manifest);
  });

  test('an image of many platforms goes there and back, and between repositories by mount', async () => {
    const [home, image] = [await temporaryFolder(), await tinyLayout()];
    const { index } = await asIndex(image.folder, image.manifest);
    const remote = (name: string) => `docker://${registry.address}/skopeo/${name}`;
    await skopeo(home, 'copy', '--all', '--dest-tls-verify=false', `oci:${image.folder}:many`, remote('many:1'));
    const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];
    await skopeo(home, 'copy', '--all', ...insecure, remote('many:1'), remote('copied:1'));
    const head = await registry.send('HEAD', '/v2/skopeo/copied/manifests/1');
    expect(head.headers).toMatchObject({ 'docker-content-digest': index, 'content-type': mediaTypes.ociIndex });
    const mounts = registry.records.filter(
      ({ method, path: target, status }) =>
        method === 'POST' && status === 201 && target === '/v2/skopeo/copied/blobs/uploads/',
    );
    expect(mounts.length).toBeGreaterThanOrEqual(2);
    const back = path.join(home, 'back');
    await skopeo(home, 'copy', '--all', '--src-tls-verify=false', remote('copied:1'), `oci:${back}:many`);
    expect(JSON.parse(await readFile(path.join(back, 'index.json'), 'utf8')).manifests[0].digest).toBe(index);
    await expectSameBlobs(image.folder, back, image.manifest);
  });

  test('lists tags and deletes', async () => {
    const [home, image] = [await temporaryFolder(), await tinyLayout()];
    const repository = `docker://${registry.address}/skopeo/listed`;
    for (const tag of ['2', '10', '1']) {
      await skopeo(home, 'copy', '--dest-tls-verify=false', `oci:${image.folder}:tiny`, `${repository}:${tag}`);
    }
    const list = async () => JSON.parse(await skopeo(home, 'list-tags', '--tls-verify=false', repository)).Tags;
    expect(await list()).toEqual(['1', '10', '2']);
    await skopeo(home, 'delete', '--tls-verify=false', `${repository}:10`);
    expect(await list()).toEqual([]);
  });
});

describe.skipIf(lacks('podman') || process.getuid?.() !== 0)(
  'podman (skipped where it is not installed, or without root)',
  () => {
    test('pulls, pushes and pulls again with the same image id', async () => {
      const [home, image] = [await temporaryFolder(), await tinyLayout()];
      const folders = [
        '--root',
        path.join(home, 'root'),
        '--runroot',
        path.join(home, 'run'),
        '--tmpdir',
        path.join(home, 'tmp'),
      ];
      const settings = ['--storage-driver', 'vfs', '--events-backend', 'none', '--cgroup-manager', 'cgroupfs'];
      const podman = (...args: string[]) => run(home, 'podman', [...folders, ...settings, ...args]);
      const id = digestHex(image.config as ReturnType<typeof digestOf>);
      const [from, to] = [`${registry.address}/podman/source:1`, `${registry.address}/podman/target:2`];
      await pushLayout(image.folder, image.manifest, 'podman/source');
      expect((await podman('pull', '--quiet', '--tls-verify=false', from)).trim()).toBe(id);
      await podman('push', '--quiet', '--tls-verify=false', from, to);
      await podman('rmi', '--all', '--force');
      expect((await podman('pull', '--quiet', '--tls-verify=false', to)).trim()).toBe(id);
    });
  },
);

/** Pushes an image of a layout under the tag 1, without any of the programs under test. */
async function pushLayout(folder: string, manifest: string, repository: string): Promise<void> {
  const read = (digest: string) => readFile(path.join(folder, 'blobs', 'sha256', digest.slice('sha256:'.length)));
  const bytes = await read(manifest);
  const { config, layers } = JSON.parse(bytes.toString());
  for (const { digest } of [config, ...layers]) await registry.pushBlob(repository, await read(digest));
  expect((await registry.putManifest(repository, '1', bytes, mediaTypes.ociManifest)).status).toBe(201);
}

/** Every blob that a manifest in one layout names is in the other with the same bytes. */
async function expectSameBlobs(folder: string, other: string, manifest: string): Promise<void> {
  const read = (root: string, digest: string) =>
    readFile(path.join(root, 'blobs', 'sha256', digest.slice('sha256:'.length)));
  const { config, layers } = JSON.parse((await read(folder, manifest)).toString());
  for (const { digest } of [{ digest: manifest }, config, ...layers]) {
    expect((await read(other, digest)).equals(await read(folder, digest))).toBe(true);
  }
}
