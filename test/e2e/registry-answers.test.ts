/** Which answers of a registry let `Always` use what the node has, and which never do: over the engine and real HTTP. */

import type { ServerResponse } from 'node:http';
import { request as httpRequest } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { EventRecorder, ImageManager, parsePodManifests } from '../../src/agent/index.ts';
import { openNode } from '../../src/cli/node.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { pushBusyboxImage } from '../support/busybox-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { type Answer, type ReceivedRequest, startHostileServer } from '../support/hostile-server.ts';
import { manifestText, pod } from '../support/manifest.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo');

describe.skipIf(missing)(`Always, best effort, when the registry${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let registry: DockerRegistry;

  beforeAll(async () => {
    registry = await startDockerRegistry();
    await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
    return () => registry.close();
  });

  /** Evaluates `Always` with the image on the node and a registry that answers so. */
  async function evaluate(answer: Answer) {
    let answerNow: Answer = (request, response) => passOn(registry.address, request, response);
    const front = await startHostileServer((request, response) => answerNow(request, response));
    onTestFinished(() => front.close());
    // Nothing runs here, and without unpacking users who are not root can pull.
    const store = { unpacks: false };
    const node = await openNode({ root: await temporaryFolder(), store, registry: { retry: { attempts: 1 } } });
    onTestFinished(() => node.close());
    const reasons: string[] = [];
    const events = new EventRecorder(Date.now, ({ reason }) => reasons.push(reason));
    const manager = new ImageManager({ images: node.images, clock: systemClock, events });
    const image = `${front.address}/app:1`;
    const [web] = parsePodManifests(
      manifestText({
        ...pod('web', [{ name: 'main', image }]),
        metadata: { name: 'web', annotations: { 'lading.dev/when-registry-unreachable': 'use-cached' } },
      }),
      { file: 'pod.yaml' },
    );
    const request = { image, policy: 'Always', fieldPath: undefined };
    const first = await manager.ensureImageExists(web!, request);
    expect(first.error).toBeUndefined();
    answerNow = answer;
    const { imageRef, error } = await manager.ensureImageExists(web!, request);
    manager.podEnded(web!.metadata.uid);
    return { isFirst: imageRef === first.imageRef, error, reasons };
  }

  test.each([429, 500, 501, 502, 503, 504])('answers %i: the image of the node is used', async (status) => {
    const { isFirst, error, reasons } = await evaluate((_, response) => response.writeHead(status).end());
    expect([isFirst, error, reasons.at(-1)]).toEqual([true, undefined, 'UsingCachedImage']);
  });

  test('does not answer: the image of the node is used', async () => {
    const { isFirst, reasons } = await evaluate((_, response) => response.destroy());
    expect([isFirst, reasons.at(-1)]).toEqual([true, 'UsingCachedImage']);
  });

  test.each([401, 403, 404])('answers %i: it is not', async (status) => {
    const { isFirst, error, reasons } = await evaluate((_, response) => response.writeHead(status).end());
    expect([isFirst, error, reasons.at(-1)]).toEqual([false, 'ErrImagePull', 'Failed']);
  });

  test('sends something else than its digest says: it is not', async () => {
    const type = 'application/vnd.oci.image.manifest.v1+json';
    const { isFirst, error, reasons } = await evaluate(({ method }, response) => {
      response.writeHead(200, { 'content-type': type, 'docker-content-digest': `sha256:${'a'.repeat(64)}` });
      response.end(method === 'HEAD' ? undefined : '{"schemaVersion":2}');
    });
    expect([isFirst, error, reasons.at(-1)]).toEqual([false, 'ErrImagePull', 'Failed']);
  });
});

function passOn(address: string, { method, path, headers }: ReceivedRequest, response: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    const onward = httpRequest(`http://${address}${path}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      pipeline(answer, response).then(resolve, reject);
    });
    onward.on('error', reject).end();
  });
}
