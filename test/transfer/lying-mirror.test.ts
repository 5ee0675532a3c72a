import { exec, execFileSync } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { digestHex, digestOf, mediaTypes } from '../../src/oci/index.ts';
import { copyImage, openSource, openTarget, parseLocation, registrySource } from '../../src/transfer/index.ts';
import { tarOf, testImage } from '../pull/support/test-image.ts';
import { failureOf, newCertsDir, newClient, newServer, noise, referenceAt } from '../registry/fixtures.ts';
import type { Answer } from '../support/hostile-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const compress = (tar: Buffer) => gzipSync(tar, { level: 0 });
const image = testImage({ layers: [tarOf({ small: noise(1000) }), tarOf({ large: noise(3 << 20) })], compress });

const wrongByte = (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -9), Buffer.from('!'), bytes.subarray(-8)]);
const webPage = () => Buffer.from('<html>Please log in</html>');

/** Serves the image, with what `change` makes of its blobs. */
function serving(change: (bytes: Buffer) => Buffer = (bytes) => bytes): Answer {
  const bodies = new Map<string, Buffer>(image.blobs.map((blob) => [digestOf(blob), change(blob)]));
  return ({ method, path: asked, headers }, response) => {
    const digest = /sha256:[0-9a-f]{64}/.exec(asked)?.[0] ?? '';
    const whole = bodies.get(digest);
    const body = whole ?? image.manifestBytes;
    const start = Number(/^bytes=([0-9]+)-/.exec(headers.range ?? '')?.[1] ?? 0);
    response.writeHead(start > 0 ? 206 : 200, {
      'content-type': whole ? mediaTypes.octetStream : mediaTypes.ociManifest,
      ...(start > 0 && { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` }),
      ...(!whole && { 'docker-content-digest': image.manifest.digest, 'content-length': body.length }),
    });
    response.end(method === 'HEAD' ? undefined : body.subarray(start));
  };
}

async function behindMirror(mirror: Answer, upstream: Answer) {
  const registry = await newServer(upstream);
  const { url } = await newServer(mirror);
  const hosts = `[host."${url}"]\ncapabilities = ["pull", "resolve"]\n`;
  const certsDir = await newCertsDir({ [`127.0.0.1_${registry.port}_/hosts.toml`]: hosts });
  const { client } = newClient({ certsDirs: [certsDir] });
  return { client, source: registrySource(client, referenceAt(registry)) };
}

describe.each([
  ['blobs with a wrong byte', wrongByte],
  ['a web page for each blob', webPage],
])('of a mirror that gives %s', (_, lie) => {
  test.each(['oci', 'oci-archive', 'docker-archive'])('a copy to %s takes them from the registry', async (kind) => {
    const { client, source } = await behindMirror(serving(lie), serving());
    const location = parseLocation(`${kind}:${path.join(await temporaryFolder(), 'copy')}:app:1`);
    const { target, labels, commit, close } = await openTarget(location, client);
    const { blobsWritten } = await copyImage(source, target, { labels });
    await commit();
    await close();
    expect(blobsWritten).toBe(3);
    const copied = await openSource(location, client);
    const elsewhere = await openTarget(parseLocation(`oci:${path.join(await temporaryFolder(), 'again')}`), client);
    await copyImage(copied.source, elsewhere.target);
    await copied.close();
    await elsewhere.close();
  });
});

test('a pipe cannot take back what it has: the copy fails, and nothing follows', async () => {
  const { client, source } = await behindMirror(serving(wrongByte), serving());
  const folder = await temporaryFolder();
  const pipe = path.join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const reading = promisify(exec)(`cat ${pipe} > ${folder}/read.tar`);
  const { target, close } = await openTarget(parseLocation(`oci-archive:${pipe}`), client);
  expect(await failureOf(copyImage(source, target))).toMatchObject({ code: 'ERR_LADING_DIGEST_MISMATCH' });
  await close();
  await reading;
  const list = execFileSync('sh', ['-c', `tar tf ${folder}/read.tar 2> /dev/null || true`], { encoding: 'utf8' });
  expect(list).not.toContain('index.json');
  expect(list.split('\n').length).toBeLessThanOrEqual(2);
  expect(list).not.toContain(digestHex(image.manifest.digest));
});

test('wrong everywhere, the copy fails', async () => {
  const { client, source } = await behindMirror(serving(wrongByte), serving(wrongByte));
  const { target, close } = await openTarget(parseLocation(`oci:${path.join(await temporaryFolder(), 'x')}`), client);
  expect(await failureOf(copyImage(source, target))).toMatchObject({ code: 'ERR_LADING_DIGEST_MISMATCH' });
  await close();
});
