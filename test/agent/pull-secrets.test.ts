import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { credentialsOfPullSecrets, type Pod, parsePodManifests } from '../../src/agent/index.ts';
import { AgentHarness } from './support.ts';

const dockerConfig = JSON.stringify({ auths: { 'registry.example': { username: 'alice', password: 'pw-of-alice' } } });

function secret(name: string, fields: object = { stringData: { '.dockerconfigjson': dockerConfig } }): object {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type: 'kubernetes.io/dockerconfigjson', ...fields };
}

function podWith(...names: string[]): object {
  const spec = {
    imagePullSecrets: names.map((name) => ({ name })),
    containers: [{ name: 'app', image: 'registry.example/app:1' }],
  };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web' }, spec };
}

function read(...objects: object[]): Pod {
  const text = objects.map((object) => JSON.stringify(object)).join('\n---\n');
  return parsePodManifests(text, { file: 'pod.yaml' })[0]!;
}

const credentials = (pod: Pod) => credentialsOfPullSecrets(pod, 'registry.example/app');

describe('pull secrets of a file', () => {
  test('are found wherever they stand, in data or stringData, in the order of the pod', async () => {
    const data = { '.dockerconfigjson': Buffer.from(dockerConfig.replaceAll('alice', 'bob')).toString('base64') };
    const pod = read(secret('one'), podWith('two', 'one'), secret('two', { data }));
    expect(pod.warnings).toEqual([]);
    expect(await credentials(pod)).toMatchObject([
      { auth: { username: 'bob' }, source: { secret: { namespace: 'default', name: 'two' } } },
      { auth: { username: 'alice', password: 'pw-of-alice' }, source: { secret: { name: 'one' } } },
    ]);
  });

  test('have an identity that changes with their content, so that none passes for another', () => {
    const uidOf = (fields?: object) => read(secret('one', fields), podWith('one')).pullSecrets[0]!.uid;
    expect(uidOf()).toBe(uidOf());
    expect(uidOf({ stringData: { '.dockerconfigjson': '{}' } })).not.toBe(uidOf());
  });

  test('show nothing of what is in them', () => {
    const pod = read(secret('one'), podWith('one'));
    expect(JSON.stringify(pod) + inspect(pod, { depth: 10 })).not.toContain('pw-of-alice');
  });

  test('that are not there are named, and so at each sync', async () => {
    const pod = read(secret('one'), podWith('one', 'other'));
    expect(pod.warnings).toEqual([expect.stringMatching(/^pull secrets that are not in the file: other;/)]);
    const h = await AgentHarness.create();
    h.start(pod);
    await h.clock.advance(1000);
    expect(h.said()).toContain(
      'FailedToRetrieveImagePullSecret Unable to retrieve some image pull secrets (other); attempting to pull the image may not succeed.',
    );
  });

  test('of other namespaces and other types do not count', () => {
    const elsewhere = {
      metadata: { name: 'one', namespace: 'prod' },
      stringData: { '.dockerconfigjson': dockerConfig },
    };
    expect(read(secret('one', elsewhere), podWith('one')).pullSecrets).toEqual([]);
    const opaque = { type: 'Opaque', stringData: { '.dockerconfigjson': dockerConfig } };
    expect(read(secret('one', opaque), podWith('one')).pullSecrets).toEqual([]);
  });

  test('that cannot be read are why the container waits, without a word of their content', async () => {
    const h = await AgentHarness.create();
    const worker = h.start(read(secret('one', { stringData: { '.dockerconfigjson': 'pw-of-alice' } }), podWith('one')));
    await h.clock.advance(1000);
    const { waiting } = worker.status().containerStatuses[0]!.state;
    expect(waiting).toMatchObject({ reason: "invalid character 'p' looking for beginning of value" });
    expect(h.cri.calls.filter((call) => call.startsWith('pullImage'))).toEqual([]);
  });
});
