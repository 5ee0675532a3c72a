/**
 * A forward proxy for tests, on 127.0.0.1: CONNECT and plain http, and SOCKS 5 at a port of its own, all with the same
 * login (`CREDENTIALS`, `user:password`) if there is one. It knows the names of its table (`NAMES`, JSON: `host:port` to
 * `address:port`) and no others. Prints its ports, then one JSON text for each request.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

const names = JSON.parse(process.env.NAMES ?? '{}') as Record<string, string>;
const credentials = process.env.CREDENTIALS;

const tell = (kind: string, target: string) => process.stdout.write(`${JSON.stringify({ kind, target })}\n`);

function open(target: string): Socket | undefined {
  const [host, port] = (names[target] ?? '').split(':');
  return host ? connect(Number(port), host) : undefined;
}

function isKnown({ headers }: IncomingMessage): boolean {
  const wanted = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`;
  return !wanted || headers['proxy-authorization'] === wanted;
}

const http = createServer((message: IncomingMessage, response: ServerResponse) => {
  if (!isKnown(message)) return response.writeHead(407).end();
  const url = new URL(message.url ?? '');
  tell('http', url.host);
  const [host, port] = (names[url.port ? url.host : `${url.host}:80`] ?? '').split(':');
  if (!host) return response.writeHead(502).end();
  const { 'proxy-authorization': _, ...headers } = message.headers;
  const path = url.pathname + url.search;
  const onward = request({ host, port, path, method: message.method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  return message.pipe(onward);
});
http.on('connect', (message: IncomingMessage, client: Duplex) => {
  client.on('error', () => {});
  if (!isKnown(message)) return client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
  tell('connect', message.url ?? '');
  const onward = open(message.url ?? '');
  if (!onward) return client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
  onward.on('error', () => client.destroy());
  onward.once('connect', () => {
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    client.pipe(onward).pipe(client);
  });
  return undefined;
});

const socks = createTcpServer(async (client) => {
  client.on('error', () => {});
  const next = async () => ((await once(client, 'data')) as [Buffer])[0];
  await next();
  client.write(Buffer.from([5, credentials ? 2 : 0]));
  if (credentials) {
    const login = await next();
    const user = login.subarray(2, 2 + login[1]!);
    const isKnownUser = `${user}:${login.subarray(3 + user.length)}` === credentials;
    client.write(Buffer.from([1, isKnownUser ? 0 : 1]));
    if (!isKnownUser) return client.end();
  }
  const asked = await next();
  const length = asked[4] ?? 0;
  const target = `${asked.subarray(5, 5 + length).toString()}:${asked.readUInt16BE(5 + length)}`;
  tell('socks', target);
  const onward = open(target);
  if (!onward) return client.end(Buffer.from([5, 4, 0, 1, 0, 0, 0, 0, 0, 0]));
  onward.on('error', () => client.destroy());
  onward.once('connect', () => {
    client.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    client.pipe(onward).pipe(client);
  });
  return undefined;
});

http.listen(0, '127.0.0.1', () => {
  socks.listen(0, '127.0.0.1', () => {
    const ports = [http, socks].map((server) => (server.address() as AddressInfo).port);
    process.stdout.write(`${JSON.stringify(ports)}\n`);
  });
});
process.stdin.on('end', () => process.exit()).resume();
