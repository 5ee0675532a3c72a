import { expect, test } from 'vitest';
import { failureOf, newClient, newServer, referenceAt } from './fixtures.ts';

test('pages are followed by their links, relative or absolute', async () => {
  const server = await newServer(({ path }, response) => {
    const pages: Record<string, [string, string[]]> = {
      '/v2/team/app/tags/list?n=1000': ['</v2/team/app/tags/list?last=b&n=2>; rel="next"', ['a', 'b']],
      '/v2/team/app/tags/list?last=b&n=2': [`<x>; rel="prev", <${server.url}/v2/p3>; title="a, b"; rel=next`, ['c']],
      '/v2/p3': ['', ['d']],
    };
    const [link, tags] = pages[path]!;
    if (link !== '') response.setHeader('link', link);
    response.end(JSON.stringify({ name: 'team/app', tags }));
  });
  expect(await newClient().client.listTags(referenceAt(server))).toEqual(['a', 'b', 'c', 'd']);
});

test('a loop, and a link to another host, end the list', async () => {
  const loop = await newServer(({ path }, response) => {
    response.setHeader('link', `<${path}>; rel="next"`);
    response.end('{"tags":["a"]}');
  });
  expect(await newClient().client.listTags(referenceAt(loop))).toEqual(['a']);
  const foreign = await newServer((_, response) => {
    response.setHeader('link', `<${loop.url}/v2/x>; rel="next"`);
    response.end('{"tags":["b"]}');
  });
  expect(await newClient().client.listTags(referenceAt(foreign))).toEqual(['b']);
  expect(loop.requests).toHaveLength(1);
});

test('no tags may be null', async () => {
  const server = await newServer((_, response) => response.end('{"name":"team/app","tags":null}'));
  expect(await newClient().client.listTags(referenceAt(server))).toEqual([]);
});

test.each(['<html>', '{"tags":"a"}', '{"tags":[1]}', 'null'])('%s is no list', async (body) => {
  const server = await newServer((_, response) => response.end(body));
  expect((await failureOf(newClient().client.listTags(referenceAt(server)))).data.kind).toBe('protocol');
});
