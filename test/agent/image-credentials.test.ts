import { rm } from 'node:fs/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  EventRecorder,
  ImageManager,
  type PodCredential,
  type PodCredentialSource,
  PullRecords,
  PullTracker,
} from '../../src/agent/index.ts';
import { CriError, type ImageService } from '../../src/cri/index.ts';
import { verificationPolicy } from '../../src/policy/index.ts';
import { FakeCri } from '../support/fake-cri.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { podOf } from './support.ts';

// The rules are in the vector tables ensure-image and tenant-scenarios.

const image = 'registry.example/app:1';
const request = { image, policy: 'IfNotPresent', fieldPath: undefined };
const pod = podOf([{ name: 'app', image }]);
const secret = (name: string, username: string): PodCredential => ({
  auth: { username, password: 'secret' },
  source: { secret: { uid: name, namespace: 'default', name, credentialHash: username } },
});

let directory: string;
let cri: FakeCri;
let shown: (string | undefined)[];
let records: PullRecords;

beforeEach(async () => {
  directory = await temporaryFolder();
  cri = new FakeCri(new VirtualClock());
  cri.registry.set(image, { id: 'sha256:1' });
  shown = [];
  records = new PullRecords(directory);
});

/** A manager in front of a registry that lets only alice in. */
async function managerFor(credentials: PodCredentialSource): Promise<ImageManager> {
  const clock = new VirtualClock();
  const tracking = new PullTracker({ records, policy: verificationPolicy('NeverVerifyPreloadedImages'), clock });
  await tracking.start([]);
  const images: ImageService = {
    listImages: () => cri.listImages(),
    imageStatus: (spec) => cri.imageStatus(spec),
    removeImage: (spec) => cri.removeImage(spec),
    imageFsInfo: () => cri.imageFsInfo(),
    pullImage: async (pull) => {
      const user = pull.auth?.username;
      shown.push(user);
      if (user !== 'alice') throw new CriError('UNKNOWN', `${user ?? 'nobody'} may not pull`);
      return cri.pullImage(pull);
    },
  };
  return new ImageManager(
    {
      images,
      clock,
      events: new EventRecorder(
        () => clock.now(),
        () => {},
      ),
    },
    { credentials, tracking },
  );
}

describe('credentials of a pod', () => {
  test('are tried in order; the one that works is recorded, the others are not', async () => {
    const manager = await managerFor(async () => [secret('a', 'eve'), secret('b', 'alice'), secret('c', 'bob')]);
    expect(await manager.ensureImageExists(pod, request)).toMatchObject({ imageRef: 'sha256:1' });
    expect(shown).toEqual(['eve', 'alice']);
    expect(await records.record('sha256:1')).toMatchObject({
      credentialMapping: { 'registry.example/app': { kubernetesSecrets: [{ name: 'b' }] } },
    });
  });

  test('that all fail give one message, and no anonymous attempt follows', async () => {
    const manager = await managerFor(async () => [secret('a', 'eve'), secret('b', 'bob'), secret('c', 'eve')]);
    const { error, message } = await manager.ensureImageExists(pod, request);
    expect({ error, message }).toEqual({ error: 'ErrImagePull', message: '[eve may not pull, bob may not pull]' });
    expect(shown).toEqual(['eve', 'bob', 'eve']);
    expect(await records.intents()).toEqual([]);
  });

  test('of another pod do not open an image that is on the node', async () => {
    await (await managerFor(async () => [secret('a', 'alice')])).ensureImageExists(pod, request);
    const other = await managerFor(async () => []);
    const never = await other.ensureImageExists(pod, { ...request, policy: 'Never' });
    expect(never).toMatchObject({ present: true, error: 'ErrImageNeverPull' });
    expect(await other.ensureImageExists(pod, request)).toMatchObject({ error: 'ErrImagePull' });
    expect(shown).toEqual(['alice', undefined]);
  });

  test('are looked up once, by the normalised repository', async () => {
    const asked: string[] = [];
    const manager = await managerFor(async (_, repository) => {
      asked.push(repository);
      return [secret('a', 'alice')];
    });
    await manager.ensureImageExists(pod, request);
    await manager.ensureImageExists(pod, request);
    await manager.ensureImageExists(pod, { ...request, policy: 'Always' });
    expect(asked).toEqual(Array(3).fill('registry.example/app'));
  });

  test('that cannot be read are why the container waits: no event, no intent, no back-off', async () => {
    const manager = await managerFor(async () => {
      throw new Error('bad secret');
    });
    for (let time = 0; time < 3; time++) {
      const evaluation = await manager.ensureImageExists(pod, request);
      expect(evaluation).toMatchObject({ error: 'bad secret', message: 'bad secret', decision: { action: 'refuse' } });
    }
    expect(shown).toEqual([]);
    expect(await records.intents()).toEqual([]);
  });
});

test('without an intent on disk nothing is pulled', async () => {
  const manager = await managerFor(async () => [secret('a', 'alice')]);
  await rm(directory, { recursive: true });
  const { error, message } = await manager.ensureImageExists(pod, request);
  expect(error).toMatch(/^failed to record image pull intent: ENOENT/);
  expect(message).toBe(`Failed to record image pull intent for container image "${image}": ${error}`);
  expect(shown).toEqual([]);
});
