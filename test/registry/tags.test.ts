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

test('a registry that knows itself by another name is asked at the name that it is known by here', async () => {
  const other = await newServer((_, response) => response.end('{"tags":["x"]}'));
  const server = await newServer(({ path }, response) => {
    if (!path.includes('last=')) response.setHeader('link', `<${other.url}/v2/team/app/tags/list?last=a>; rel="next"`);
    response.end(path.includes('last=') ? '{"tags":["b"]}' : '{"tags":["a"]}');
  });
  expect(await newClient().client.listTags(referenceAt(server))).toEqual(['a', 'b']);
  expect(other.requests).toEqual([]);
});

test('a loop ends the list, and one without end is an error', async () => {
  const loop = await newServer(({ path }, response) => {
    response.setHeader('link', `<${path}>; rel="next"`);
    response.end('{"tags":["a"]}');
  });
  expect(await newClient().client.listTags(referenceAt(loop))).toEqual(['a']);
  let pages = 0;
  const endless = await newServer((_, response) => {
    pages += 1;
    response.setHeader('link', `</v2/team/app/tags/list?page=${pages}>; rel="next"`);
    response.end('{"tags":["a"]}');
  });
  const error = await failureOf(newClient().client.listTags(referenceAt(endless)));
  expect(error.data.kind).toBe('protocol');
  expect(error.message).toContain('no end: it goes on after 10000 pages');
}, 30_000);

test('no tags may be null', async () => {
  const server = await newServer((_, response) => response.end('{"name":"team/app","tags":null}'));
  expect(await newClient().client.listTags(referenceAt(server))).toEqual([]);
});

test.each(['<html>', '{"tags":"a"}', '{"tags":[1]}', 'null'])('%s is no list', async (body) => {
  const server = await newServer((_, response) => response.end(body));
  expect((await failureOf(newClient().client.listTags(referenceAt(server)))).data.kind).toBe('protocol');
});
