import { expect, test } from 'vitest';
import { parseLocation } from '../../src/transfer/index.ts';

const reference = { registry: 'docker.io', repository: 'library/app', tag: '1' };

test.each([
  ['app:1', { kind: 'registry', reference }],
  ['docker://app:1', { kind: 'registry', reference }],
  ['docker:1', { kind: 'registry', reference: { ...reference, repository: 'library/docker' } }],
  ['oci:folder', { kind: 'oci', path: 'folder' }],
  ['oci:/a/b:app:1', { kind: 'oci', path: '/a/b', label: 'app:1' }],
  ['oci:./-', { kind: 'oci', path: './-' }],
  ['oci-archive:-', { kind: 'oci-archive', path: '-' }],
  ['oci-archive:x.tar:latest', { kind: 'oci-archive', path: 'x.tar', label: 'latest' }],
  ['docker-archive:x.tar:app', { kind: 'docker-archive', path: 'x.tar', label: 'docker.io/library/app:latest' }],
])('%s', (text, location) => {
  expect(parseLocation(text)).toMatchObject(location);
});

test.each([
  ['oci:', 'ERR_LADING_LOCATION_INVALID'],
  ['oci:-', 'ERR_LADING_LOCATION_INVALID'],
  ['oci:-:app', 'ERR_LADING_LOCATION_INVALID'],
  ['oci-archive::x', 'ERR_LADING_LOCATION_INVALID'],
  ['docker-archive:x.tar:a b', 'ERR_LADING_REFERENCE_INVALID_FORMAT'],
  ['docker://', 'ERR_LADING_REFERENCE_INVALID_FORMAT'],
])('%s is refused', (text, code) => {
  expect(() => parseLocation(text)).toThrow(expect.objectContaining({ code }));
});
