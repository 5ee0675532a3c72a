import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { hashSync } from 'bcryptjs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type AccessRecord, type Registry, startRegistry } from '../../src/distribution/index.ts';
import { digestOf, mediaTypes, parseReference } from '../../src/oci/index.ts';
import { RegistryClient } from '../../src/registry/index.ts';
import { programMissing, skopeo } from '../support/foreign-clients.ts';
import { tarOfFolder, writeOciLayout } from '../support/oci-layout.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { descriptorOf, errorCodes, jsonBytes, randomBlob, sendTo } from './support/registry.ts';

const challenge = 'Basic realm="Lading registry"';
/** Cost 4: these tests are not about the time that bcrypt takes. */
const hashOf = (password: string) => hashSync(password, 4);
const alice = { name: 'alice', password: 'colon:and blank' };

function basic(name: string, password: string): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` };
}

interface Served {
  readonly registry: Registry;
  readonly htpasswdFile: string;
  readonly folder: string;
  readonly records: AccessRecord[];
}

async function serve(anonymous?: 'nothing' | 'pull'): Promise<Served> {
  const folder = await temporaryFolder();
  const htpasswdFile = path.join(folder, 'htpasswd');
  // What `htpasswd -B` writes has 2y, other programs write 2a and 2b: three names of one thing.
  const lines = [
    `${alice.name}:${hashOf(alice.password).replace('$2b$', '$2y$')}`,
    '# a comment',
    '',
    `bob:${hashOf('b')}`,
  ];
  await writeFile(htpasswdFile, lines.join('\n'));
  const records: AccessRecord[] = [];
  const registry = await startRegistry({
    root: path.join(folder, 'registry'),
    users: { htpasswdFile, anonymous },
    onRequest: (record) => records.push(record),
  });
  onTestFinished(() => registry.close());
  return { registry, htpasswdFile, folder, records };
}

const everywhere = [
  ['GET', '/v2/'],
  ['HEAD', '/v2/'],
  ['GET', '/v2/_catalog'],
  ['GET', '/metrics'],
  ['GET', '/v2/a/tags/list'],
  ['GET', '/v2/a/manifests/x'],
  ['GET', `/v2/a/blobs/${digestOf('x')}`],
  ['GET', `/v2/a/referrers/${digestOf('x')}`],
  ['POST', '/v2/a/blobs/uploads/'],
  ['PUT', '/v2/a/manifests/x'],
  ['DELETE', '/v2/a/manifests/x'],
  ['GET', '/nothing'],
] as const;

test('without a login nothing is answered but the challenge', async () => {
  const { registry } = await serve();
  for (const [method, target] of everywhere) {
    const answer = await sendTo(registry.port, method, target, {});
    expect([method, target, answer.status]).toEqual([method, target, 401]);
    expect(answer.headers['www-authenticate']).toBe(challenge);
    if (method !== 'HEAD') expect(errorCodes(answer)).toEqual(['UNAUTHORIZED']);
  }
});

test('with a login everything is; the record says whose it was', async () => {
  const { registry, records } = await serve();
  const headers = basic(alice.name, alice.password);
  for (const [method, target] of everywhere) {
    expect((await sendTo(registry.port, method, target, { headers })).status).not.toBe(401);
  }
  expect(new Set(records.map(({ user }) => user))).toEqual(new Set(['alice']));
});

test.each([
  ['a wrong password', basic(alice.name, 'wrong')],
  ["another user's password", basic(alice.name, 'b')],
  ['an unknown user', basic('carol', alice.password)],
  ['no password', basic(alice.name, '')],
  ['no user', basic('', 'b')],
  ['a name without a colon', { authorization: `Basic ${Buffer.from('alice').toString('base64')}` }],
  ['a token', { authorization: 'Bearer abc' }],
  ['no base64', { authorization: 'Basic ***' }],
])('%s is refused, before and after a right login', async (_, headers) => {
  const { registry } = await serve();
  const status = async (sent: object) => (await sendTo(registry.port, 'GET', '/v2/', { headers: { ...sent } })).status;
  expect(await status(headers)).toBe(401);
  expect(await status(basic(alice.name, alice.password))).toBe(200);
  expect(await status(headers)).toBe(401);
});

test('a user who is taken out of the file is out, one who is added is in', async () => {
  const { registry, htpasswdFile } = await serve();
  const status = async (name: string, password: string) =>
    (await sendTo(registry.port, 'GET', '/v2/', { headers: basic(name, password) })).status;
  expect([await status('bob', 'b'), await status('carol', 'c')]).toEqual([200, 401]);
  await writeFile(`${htpasswdFile}.new`, `carol:${hashOf('c')}\n`);
  await rename(`${htpasswdFile}.new`, htpasswdFile);
  expect([await status('bob', 'b'), await status('carol', 'c')]).toEqual([401, 200]);
  await writeFile(`${htpasswdFile}.new`, 'carol:plain');
  await rename(`${htpasswdFile}.new`, htpasswdFile);
  expect(await status('carol', 'c')).toBe(200);
});

test('many logins at once, right and wrong ones', async () => {
  const { registry } = await serve();
  const attempts = Array.from({ length: 24 }, (_, index) => (index % 3 === 0 ? 'wrong' : alice.password));
  const answers = await Promise.all(
    attempts.map((password) => sendTo(registry.port, 'GET', '/v2/', { headers: basic(alice.name, password) })),
  );
  expect(answers.map(({ status }) => status)).toEqual(attempts.map((p) => (p === 'wrong' ? 401 : 200)));
});

describe('with anonymous pulls', () => {
  test('reading needs no login, writing does, and a wrong login is refused for reading too', async () => {
    const { registry } = await serve('pull');
    for (const [method, target] of everywhere) {
      const reads = method === 'GET' || method === 'HEAD';
      const anonymous = await sendTo(registry.port, method, target, {});
      expect([target, anonymous.status === 401]).toEqual([target, !reads]);
      const wrong = await sendTo(registry.port, method, target, { headers: basic('alice', 'wrong') });
      expect(wrong.status).toBe(401);
    }
  });

  test('the first answer says how to log in; an empty name and password are no login', async () => {
    const { registry } = await serve('pull');
    for (const headers of [{}, basic('', '')]) {
      const answer = await sendTo(registry.port, 'GET', '/v2/', { headers: { ...headers } });
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([200, challenge]);
    }
  });
});

test.each([
  ['a missing file', undefined],
  ['a plain password', 'alice:secret-word'],
  ['an MD5 hash', 'alice:$apr1$abcdefgh$0123456789abcdefghijkl'],
  ['a line without a name', `:${'x'.repeat(60)}`],
])('%s: a clear error that gives nothing away', async (_, text) => {
  const folder = await temporaryFolder();
  const htpasswdFile = path.join(folder, 'htpasswd');
  if (text !== undefined) await writeFile(htpasswdFile, `bob:${hashOf('b')}\n${text}\n`);
  const started = startRegistry({ root: path.join(folder, 'registry'), users: { htpasswdFile } });
  const error = await started.catch((caught: unknown) => caught);
  expect(error).toMatchObject({
    code: 'ERR_LADING_DISTRIBUTION_USERS',
    message: expect.stringContaining(htpasswdFile),
  });
  expect((error as Error).message).not.toMatch(/secret-word|apr1|xxxx/);
});

describe('tokens of programs', () => {
  const token = 'c0ffee'.repeat(6);

  async function serveWithTokens(anonymous?: 'pull'): Promise<{ registry: Registry; file: string; users: string[] }> {
    const folder = await temporaryFolder();
    const file = path.join(folder, 'tokens');
    await writeFile(file, `# programs\nci:${token}\n`);
    const users: string[] = [];
    const registry = await startRegistry({
      root: path.join(folder, 'registry'),
      users: { tokenFile: file, anonymous },
      onRequest: ({ user }) => users.push(user ?? ''),
    });
    onTestFinished(() => registry.close());
    return { registry, file, users };
  }

  const statusOf = async ({ port }: Registry, headers: Record<string, string>, method = 'GET') =>
    (await sendTo(port, method, method === 'GET' ? '/v2/' : '/v2/a/blobs/uploads/', { headers })).status;

  test('are taken as a bearer token, and as the password of their name', async () => {
    const { registry, users } = await serveWithTokens();
    expect(await statusOf(registry, {})).toBe(401);
    expect(await statusOf(registry, { authorization: `Bearer ${token}` }, 'POST')).toBe(202);
    expect(await statusOf(registry, basic('ci', token))).toBe(200);
    for (const headers of [
      { authorization: `Bearer ${token}x` },
      { authorization: 'Bearer' },
      basic('other', token),
      basic('ci', 'guess'),
    ]) {
      expect(await statusOf(registry, headers)).toBe(401);
    }
    expect(users).toEqual(['', 'ci', 'ci', '', '', '', '']);
  });

  test('one that is taken out of the file is out; a wrong one is refused for reading too', async () => {
    const { registry, file } = await serveWithTokens('pull');
    expect(await statusOf(registry, {})).toBe(200);
    expect(await statusOf(registry, { authorization: 'Bearer guess' })).toBe(401);
    expect(await statusOf(registry, { authorization: `Bearer ${token}` }, 'POST')).toBe(202);
    await writeFile(`${file}.new`, `cd:${'1'.repeat(32)}\n`);
    await rename(`${file}.new`, file);
    expect(await statusOf(registry, { authorization: `Bearer ${token}` }, 'POST')).toBe(401);
  });

  test.each(['ci:short', 'no-colon', ':0123456789abcdef', 'ci:0123456789 abcdef'])(
    '%j is no line of it',
    async (line) => {
      const folder = await temporaryFolder();
      await writeFile(path.join(folder, 'tokens'), `a:${token}\n${line}\n`);
      const started = startRegistry({ root: folder, users: { tokenFile: path.join(folder, 'tokens') } });
      await expect(started).rejects.toMatchObject({
        code: 'ERR_LADING_DISTRIBUTION_USERS',
        message: expect.stringMatching(/tokens cannot be read: line 2 is not NAME:TOKEN/),
      });
    },
  );

  test('the client of this project sends one', async () => {
    const { registry } = await serveWithTokens();
    const client = new RegistryClient({
      credentials: async () => [{ username: 'ci', password: token, origin: 'a test' }],
    });
    onTestFinished(() => client.close());
    await client.pushBlob(parseReference(`${registry.address}/a:1`), descriptorOf('x/y', Buffer.from('z')), () =>
      Buffer.from('z'),
    );
  });
});

test('the registry client of this project logs in to push and pull', async () => {
  const { registry } = await serve();
  const credential = { username: alice.name, password: alice.password, origin: 'test' };
  const client = new RegistryClient({ credentials: async () => [credential] });
  onTestFinished(() => client.close());
  const reference = parseReference(`${registry.address}/team/app:1`);
  const bytes = jsonBytes({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
  const digest = await client.pushManifest(reference, bytes, mediaTypes.ociIndex);
  expect((await client.resolve(reference)).descriptor.digest).toBe(digest);
});

const noSkopeo = programMissing('skopeo');
describe.skipIf(noSkopeo)(`skopeo${noSkopeo ? ` (skipped: ${noSkopeo})` : ''}`, () => {
  test.each(['nothing', 'pull'] as const)('logs in to push; without a login it may do: %s', async (anonymous) => {
    const { registry, folder } = await serve(anonymous);
    await writeFile(path.join(folder, 'hello'), randomBlob());
    const layout = path.join(folder, 'layout');
    writeOciLayout(layout, { layers: [tarOfFolder(folder)], tag: 'tiny' });
    const [remote, login] = [`docker://${registry.address}/team/app:1`, `${alice.name}:${alice.password}`];
    const push = ['copy', '--dest-tls-verify=false', `oci:${layout}:tiny`, remote];
    await expect(skopeo(...push, '--dest-no-creds')).rejects.toThrow(/401|unauthorized|authentication required/i);
    await expect(skopeo(...push, '--dest-creds', 'alice:wrong')).rejects.toThrow(/401|unauthorized/i);
    await skopeo(...push, '--dest-creds', login);
    const inspect = ['inspect', '--tls-verify=false', remote];
    expect(JSON.parse(await skopeo(...inspect, '--creds', login)).RepoTags).toEqual(['1']);
    if (anonymous === 'pull') await skopeo(...inspect, '--no-creds');
    else await expect(skopeo(...inspect, '--no-creds')).rejects.toThrow(/401|unauthorized|authentication required/i);
  });
});
