/** Images go both ways between Lading's registry and skopeo and podman; what they push, `lading run` runs. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildDemoImage, pushDemoImage } from '../../src/cli/demo-images/index.ts';
import { digestHex, mediaTypes, parseReference } from '../../src/oci/index.ts';
import { RegistryClient } from '../../src/registry/index.ts';
import { busyboxMissing, makeBusyboxRootfs } from '../support/busybox.ts';
import { pushBusyboxImage } from '../support/busybox-image.ts';
import { podman, programMissing, skopeo } from '../support/foreign-clients.ts';
import { RunningLading, runLading } from '../support/lading-process.ts';
import { manifestText, pod } from '../support/manifest.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const noSkopeo = busyboxMissing ?? programMissing('skopeo');
const noPodman =
  noSkopeo ?? programMissing('podman') ?? (process.getuid?.() === 0 ? undefined : 'podman needs root here');

let folder: string;
let registry: RunningLading;
let address: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lading-e2e-clients-'));
  const root = path.join(folder, 'registry');
  registry = new RunningLading(['--root', root, 'registry', 'serve', '--addr', '127.0.0.1:0']);
  await registry.prints('Ctrl-C ends it.');
  address = /http:\/\/(\S+),/.exec(registry.stdout)![1]!;
});
afterAll(async () => {
  registry.child.kill('SIGTERM');
  await registry.ended;
  await rm(folder, { recursive: true, force: true });
});

/** Runs a pod of the image on the node that all these tests share. */
async function printedBy(image: string): Promise<string> {
  const stdin = manifestText(pod('web', [{ name: 'main', image }]));
  const root = path.join(folder, 'node');
  const { exitCode, stdout, stderr } = await runLading(['--root', root, 'run', '-'], { stdin });
  expect(exitCode, stderr).toBe(0);
  return stdout;
}

/** What the registry has under the tag 1. */
async function manifestOf(repository: string) {
  const accept = [mediaTypes.ociManifest, mediaTypes.dockerManifest].join(', ');
  const answer = await fetch(`http://${address}/v2/${repository}/manifests/1`, { headers: { accept } });
  const { layers } = (await answer.json()) as { layers: { mediaType: string }[] };
  return { mediaType: answer.headers.get('content-type'), layerType: layers.at(-1)!.mediaType };
}

describe.skipIf(noSkopeo)(`skopeo${noSkopeo ? ` (skipped: ${noSkopeo})` : ''}`, () => {
  const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];

  test('what it pushes runs: an OCI image', async () => {
    const { name } = await pushBusyboxImage(address, 'skopeo/oci:1', { version: 'pushed by skopeo' });
    expect((await manifestOf('skopeo/oci')).mediaType).toBe(mediaTypes.ociManifest);
    expect(await printedBy(name)).toBe('[web/main] pushed by skopeo\n');
  });

  test('what it converts runs: a Docker image', async () => {
    const { name } = await pushBusyboxImage(address, 'skopeo/source:1', { version: 'as a Docker image' });
    const converted = `${address}/skopeo/docker:1`;
    await skopeo('copy', '-q', ...insecure, '--format', 'v2s2', `docker://${name}`, `docker://${converted}`);
    expect((await manifestOf('skopeo/docker')).mediaType).toBe(mediaTypes.dockerManifest);
    expect(await printedBy(converted)).toBe('[web/main] as a Docker image\n');
  });

  test('the images of the demo: it inspects and copies them', async () => {
    const image = await pushDemo('skopeo/demo');
    const inspected = JSON.parse(await skopeo('inspect', '--tls-verify=false', `docker://${address}/skopeo/demo:1`));
    expect(inspected).toMatchObject({
      Digest: image.digest,
      Os: 'linux',
      RepoTags: ['1'],
      Labels: { 'org.opencontainers.image.title': 'img1', 'org.opencontainers.image.version': '1.0.0' },
      Layers: image.blobs.slice(1).map(({ descriptor }) => descriptor.digest),
    });
    const layout = path.join(await temporaryFolder(), 'layout');
    await skopeo('copy', '-q', '--src-tls-verify=false', `docker://${address}/skopeo/demo:1`, `oci:${layout}:1`);
    const copied = await readFile(path.join(layout, 'blobs/sha256', digestHex(image.digest)));
    expect(copied.equals(image.manifest)).toBe(true);
  });
});

describe.skipIf(noPodman)(`podman${noPodman ? ` (skipped: ${noPodman})` : ''}`, () => {
  const storage = () => path.join(folder, 'podman');

  test.each([
    ['oci', 'gzip', mediaTypes.ociManifest, mediaTypes.ociLayerGzip],
    ['oci', 'zstd', mediaTypes.ociManifest, mediaTypes.ociLayerZstd],
    ['docker', 'gzip', mediaTypes.dockerManifest, mediaTypes.dockerLayerGzip],
  ])('what it builds and pushes runs: format %s, layers in %s', async (format, compression, mediaType, layerType) => {
    const context = await temporaryFolder();
    await makeBusyboxRootfs(path.join(context, 'rootfs'));
    // A layer that the registry knows already is not compressed anew.
    await writeFile(path.join(context, 'rootfs', 'unique'), randomBytes(8));
    const said = `${format}, ${compression}`;
    const lines = [
      'FROM scratch',
      'COPY rootfs/ /',
      'ENV WHO=podman',
      `CMD ["/bin/sh", "-c", "echo by $WHO, ${said}"]`,
    ];
    await writeFile(path.join(context, 'Containerfile'), `${lines.join('\n')}\n`);
    const repository = `podman/${format}-${compression}`;
    const name = `${address}/${repository}:1`;
    await podman(storage(), 'build', '--quiet', '--format', format, '--tag', name, context);
    await podman(storage(), 'push', '--quiet', '--tls-verify=false', '--compression-format', compression, name);
    expect(await manifestOf(repository)).toEqual({ mediaType, layerType });
    expect(await printedBy(name)).toBe(`[web/main] by podman, ${said}\n`);
  });

  test('the images of the demo: it pulls and inspects them', async () => {
    const image = await pushDemo('podman/demo');
    const name = `${address}/podman/demo:1`;
    const id = (await podman(storage(), 'pull', '--quiet', '--tls-verify=false', name)).trim();
    expect(id).toBe(digestHex(image.imageId));
    const [inspected] = JSON.parse(await podman(storage(), 'image', 'inspect', name));
    expect(inspected).toMatchObject({ Digest: image.digest, Os: 'linux', Config: { Entrypoint: ['/img1'] } });
    expect(inspected.RootFS.Layers).toHaveLength(2);
  });
});

async function pushDemo(repository: string) {
  const image = buildDemoImage({ name: 'img1', version: '1.0.0' });
  const client = new RegistryClient();
  try {
    expect(await pushDemoImage(client, parseReference(`${address}/${repository}:1`), image)).toBe(image.digest);
  } finally {
    await client.close();
  }
  return image;
}
