import { expect, test } from 'vitest';
import { failureOf, newClient, newServer } from './fixtures.ts';

const credential = { username: 'alice', password: 'topsecret', origin: 'user "alice"' };

test.each([
  [404, {}, /no registry: check its name and port/],
  [401, {}, /does not say how to log in/],
  [403, {}, /does not say how to log in/],
  [401, { 'www-authenticate': 'Basic realm="r"' }, /may be wrong or expired/],
])('a front page that is answered %d with %j', async (status, headers, hint) => {
  const server = await newServer((_, response) => response.writeHead(status, headers).end());
  const error = await failureOf(newClient().client.checkCredential(server.address, credential));
  expect(error.data.status).toBe(status);
  expect(error.hint).toMatch(hint);
});

test('one that wants none, and one that accepts it', async () => {
  const open = await newServer((_, response) => response.end('{}'));
  expect(await newClient().client.checkCredential(open.address, credential)).toBe(false);
  const closed = await newServer(({ headers }, response) => {
    response.writeHead(headers.authorization ? 200 : 401, { 'www-authenticate': 'Basic realm="r"' }).end();
  });
  expect(await newClient().client.checkCredential(closed.address, credential)).toBe(true);
});

test('one that answers everybody and says how to log in is shown it', async () => {
  const right = `Basic ${Buffer.from('alice:topsecret').toString('base64')}`;
  const { address } = await newServer(({ headers: { authorization } }, response) => {
    const status = authorization === undefined || authorization === right ? 200 : 401;
    response.writeHead(status, { 'www-authenticate': 'Basic realm="r"' }).end('{}');
  });
  expect(await newClient().client.checkCredential(address, credential)).toBe(true);
  const wrong = { ...credential, password: 'wrong' };
  const error = await failureOf(newClient().client.checkCredential(address, wrong));
  expect(error.data).toMatchObject({ kind: 'unauthorized', status: 401, credentials: ['user "alice"'] });
});

test('one that answers everybody and offers a login of another kind is not shown it', async () => {
  const server = await newServer((_, response) => response.writeHead(200, { 'www-authenticate': 'Negotiate' }).end());
  expect(await newClient().client.checkCredential(server.address, credential)).toBe(false);
  expect(server.requests).toHaveLength(1);
});
