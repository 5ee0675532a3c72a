import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { PullRecords, PullTracker } from '../../src/agent/index.ts';
import { type ImagePullSecret, verificationPolicy } from '../../src/policy/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

// The rules are in the vector tables must-attempt-pull, pull-record-lifecycle and record-files.

const image = 'registry.example/app:1';
const secret: ImagePullSecret = { uid: 'u', namespace: 'n', name: 'pull', credentialHash: 'h' };

let directory: string;
let records: PullRecords;
let tracker: PullTracker;

beforeEach(async () => {
  directory = await temporaryFolder();
  records = new PullRecords(directory);
  tracker = newTracker();
  await tracker.start([]);
});

function newTracker(): PullTracker {
  const policy = verificationPolicy('NeverVerifyPreloadedImages');
  return new PullTracker({ records, policy, clock: new VirtualClock() });
}

const withSecrets = (...secrets: ImagePullSecret[]) => ({ secrets });

describe('an image pulled with a secret', () => {
  test('is for pods with that secret, also after a restart', async () => {
    await tracker.recordIntent(image);
    await tracker.recordPulled(image, 'sha256:1', { kubernetesSecrets: [secret] });
    tracker = newTracker();
    await tracker.start([]);
    expect(await tracker.mustAttemptPull(image, 'sha256:1', () => withSecrets(secret))).toMatchObject({
      mustPull: false,
    });
    expect(await tracker.mustAttemptPull(image, 'sha256:1', () => withSecrets())).toMatchObject({ mustPull: true });
  });
});

describe('a kill in the middle of a pull', () => {
  test('leaves an intent that makes everybody show credentials', async () => {
    await tracker.recordIntent(image);
    tracker = newTracker();
    await tracker.start([{ id: 'sha256:1', repoTags: [image], repoDigests: [] }]);
    expect(await records.intents()).toEqual([]);
    expect(await records.record('sha256:1')).toMatchObject({ credentialMapping: {} });
    expect(await tracker.mustAttemptPull(image, 'sha256:1', () => withSecrets(secret))).toMatchObject({
      mustPull: true,
    });
  });
});

describe('disks that fail', () => {
  test('an intent that cannot be written is an error, so that no pull starts', async () => {
    await rm(directory, { recursive: true });
    await expect(tracker.recordIntent(image)).rejects.toThrow('ENOENT');
    expect(tracker.pullsInFlight.size).toBe(0);
  });

  test('an intent that cannot be decoded forces a pull', async () => {
    await tracker.recordIntent('other:1');
    await records.writeIntent(image);
    const folder = join(directory, 'image_manager', 'pulling');
    for (const name of await readdir(folder)) await writeFile(join(folder, name), '{}');
    expect(await tracker.mustAttemptPull(image, 'sha256:1', () => withSecrets())).toEqual({
      mustPull: true,
      result: 'error',
    });
  });
});

test('records of images that are gone are pruned, but not those written since then', async () => {
  await tracker.recordPulled('a:1', 'sha256:a', { nodePodsAccessible: true });
  await tracker.recordPulled('b:1', 'sha256:b', { nodePodsAccessible: true });
  const writtenMs = ((await records.records())[0]?.lastUpdatedMs ?? 0) + 1000;
  await tracker.prune(['sha256:b'], writtenMs - 5000);
  expect(await records.records()).toHaveLength(2);
  await tracker.prune(['sha256:b'], writtenMs);
  expect((await records.records()).map(({ imageRef }) => imageRef)).toEqual(['sha256:b']);
});

test('an intent that the runtime knows under a longer text does not stay for ever', async () => {
  for (const text of ['app', 'gone']) await records.writeIntent(text);
  await tracker.start([{ id: 'sha256:1', repoTags: ['docker.io/library/app:latest'], repoDigests: [] }]);
  expect(await records.intents()).toEqual(['app', 'gone']);
  await tracker.endLeftPulls(async (text) => (text === 'app' ? 'sha256:1' : undefined));
  expect(await records.intents()).toEqual([]);
  expect(await records.records()).toMatchObject([{ imageRef: 'sha256:1', credentialMapping: {} }]);
  expect(await tracker.mustAttemptPull('app', 'sha256:1', () => withSecrets(secret))).toMatchObject({ mustPull: true });
});

test('without an image there is nothing to verify, so it must be pulled', async () => {
  expect(await tracker.mustAttemptPull(image, '', () => withSecrets())).toEqual({ mustPull: true });
});

describe('a file of another hand', () => {
  const write = async (record: object) => {
    const imageRef = 'sha256:1';
    await records.writeRecord({ imageRef, lastUpdatedMs: 0, credentialMapping: {} });
    const folder = join(directory, 'image_manager', 'pulled');
    const [name] = await readdir(folder);
    const common = { kind: 'ImagePulledRecord', apiVersion: 'kubelet.config.k8s.io/v1beta1', imageRef };
    await writeFile(join(folder, name!), JSON.stringify({ ...common, ...record }));
    return records.record(imageRef);
  };

  test('may leave out what is empty', async () => {
    const mapping = { app: { kubernetesSecrets: [{ name: 'pull' }], kubernetesServiceAccounts: null }, other: null };
    expect(await write({ credentialMapping: mapping })).toMatchObject({
      lastUpdatedMs: 0,
      credentialMapping: {
        app: { kubernetesSecrets: [{ uid: '', namespace: '', name: 'pull', credentialHash: '' }] },
        other: {},
      },
    });
  });

  test('is unreadable with a member that is unknown, or of another type', async () => {
    for (const mapping of [
      { app: { secrets: [] } },
      { app: { kubernetesSecrets: [{ name: 1 }] } },
      { app: 'all' },
      [],
    ]) {
      expect(await write({ credentialMapping: mapping }), JSON.stringify(mapping)).toBe('unreadable');
    }
  });
});

test('credentials that cannot be known are an answer, not a failure', async () => {
  await tracker.recordIntent(image);
  await tracker.recordPulled(image, 'sha256:1', { kubernetesSecrets: [secret] });
  const error = new Error('unreadable');
  const answer = await tracker.mustAttemptPull(image, 'sha256:1', () => Promise.reject(error));
  expect(answer).toEqual({ mustPull: true, result: 'error', error });
});

test('an intent that cannot be removed leaves the pull as running, and stops nobody', async () => {
  await tracker.recordIntent(image);
  const intents = join(directory, 'image_manager', 'pulling');
  const [name] = await readdir(intents);
  await rm(join(intents, name!));
  await mkdir(join(intents, name!, 'x'), { recursive: true });
  await tracker.recordFailed(image);
  expect([...tracker.pullsInFlight]).toEqual([[image, 1]]);
});
