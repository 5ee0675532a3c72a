import { describe, expect, test } from 'vitest';
import { HostsFileFault, parseHostsFile } from '../../../src/registry/hosts/hosts-file.ts';

function faultOf(text: string): HostsFileFault {
  try {
    parseHostsFile(text, '/dir');
  } catch (error) {
    if (error instanceof HostsFileFault) return error;
    throw error;
  }
  throw new Error('it should have been refused');
}

const hostsOf = (text: string) => parseHostsFile(text, '/dir').mirrors.map(({ address }) => address?.host);

describe('mirrors come in the order of their first header', () => {
  test('whatever form the header has', () => {
    const text = `
[ host . 'http://c.test:80'.header ]
  X = "1"
["host"."https://a.test"] # not "the last one"
[host."b.test"]
[host."http://c.test:80"]
`;
    expect(hostsOf(text)).toEqual(['c.test:80', 'a.test', 'b.test']);
  });

  test('lines that only look like headers are none', () => {
    const text = `
server = "https://s.test"
ca = [
  ["host"],
]
`;
    expect(() => hostsOf(text)).toThrow(HostsFileFault);
    expect(hostsOf('[host."https://a.test"]\nclient = [\n  ["host", "https://b.test"],\n]\n')).toEqual(['a.test']);
  });
});

test('a password in an address is not repeated', () => {
  expect(faultOf('[host."https://bob:geheim@a.test:port"]').message).toBe(
    'https://a.test:port: "https://a.test:port" is not an http or https URL',
  );
  expect(faultOf('server = "bob:geheim@a.test:port"').message).toBe('"a.test:port" is not an http or https URL');
});

test('client certificates may be files and pairs in one list', () => {
  const [mirror] = parseHostsFile('[host."https://a.test"]\nclient = ["a.pem", ["b.cert", "b.key"]]', '/dir').mirrors;
  expect(mirror!.clients).toEqual([
    { cert: '/dir/a.pem', key: undefined },
    { cert: '/dir/b.cert', key: '/dir/b.key' },
  ]);
});

describe('a fault says what and where', () => {
  test.each([
    ['\n\nserver = "https://a\n', 3, /./],
    ['server = 5', 1, 'server is not text'],
    ['server = "ftp://a.test"', 1, '"ftp://a.test" is not an http or https URL'],
    ['\n[host."https://a.test"]\n  skip_verify = true\n  capabilities = ["pull", "fly"]', 4, '"fly" is not one of'],
    ['[host."https://a.test"]\n[host."https://b.test"]\nca = 5', 3, 'https://b.test: ca is not a list of texts'],
    ['[host."https://a.test"]\nclient = [["a", "b", "c"]]', 2, 'client is neither'],
    ['[host."https://a.test"]\nskip_verify = "yes"', 2, 'skip_verify is neither true nor false'],
    ['[host."https://a.test"]\ndial_timeout = "soon"', 2, 'dial_timeout is not a duration'],
    ['[host."https://a.test"]\n\n[host."https://a.test".header]\nX-A = 5', 4, 'X-A is not a list of texts'],
    ['[host."https://a.test".header]\n"X A" = "b"', 2, 'the header "X A" cannot be sent'],
    ['[host."https://a.test"]\nheader = { X = "a\\nb" }', 1, 'the header "X" cannot be sent'],
    ['host = 1', 1, 'host is not a table'],
    ['host = { a = 1 }', undefined, 'a: it is not a table'],
    ['[[host."https://a.test"]]', undefined, 'it is not a table'],
  ])('%j', (text, line, message) => {
    const fault = faultOf(text);
    expect(fault.message).toMatch(message);
    expect(fault.line).toBe(line);
  });

  test('and quotes nothing of the file', () => {
    expect(faultOf('[header]\nAuthorization = "Bearer geheim\n').message).not.toContain('geheim');
  });
});

test('a user and a password in a URL are not part of the host', () => {
  expect(hostsOf('[host."https://user:geheim@a.test/x"]')).toEqual(['a.test']);
});
