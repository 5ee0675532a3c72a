import { describe, expect, test } from 'vitest';
import { digestOf, parseImageConfig } from '../../src/oci/index.ts';

const bytes = (document: unknown) =>
  new TextEncoder().encode(typeof document === 'string' ? document : JSON.stringify(document));
const rootfs = { type: 'layers', diff_ids: [digestOf('a'), digestOf('b')] };

describe('parseImageConfig', () => {
  test('reads what a runtime needs, under the names of the specification', () => {
    const document = {
      architecture: 'arm64',
      os: 'linux',
      variant: 'v8',
      created: '2026-08-01T00:00:00Z',
      author: 'someone',
      config: {
        User: '1000:1000',
        Env: ['PATH=/bin', 'EMPTY='],
        Entrypoint: ['/entry'],
        Cmd: ['serve'],
        WorkingDir: '/srv',
        StopSignal: 'SIGQUIT',
        ExposedPorts: { '80/tcp': {} },
        Labels: { a: 'b' },
        Volumes: { '/data': {} },
        OnBuild: ['ignored'],
      },
      rootfs,
      history: [
        { created: '2026-08-01T00:00:00Z', created_by: 'COPY', comment: 'c' },
        { created_by: 'ENV', empty_layer: true },
      ],
    };
    const { OnBuild: _, ...known } = document.config;
    expect(parseImageConfig(bytes(document))).toEqual({
      architecture: 'arm64',
      os: 'linux',
      variant: 'v8',
      created: '2026-08-01T00:00:00Z',
      author: 'someone',
      config: known,
      rootfs: { type: 'layers', diffIds: rootfs.diff_ids },
      history: [
        { created: '2026-08-01T00:00:00Z', createdBy: 'COPY', comment: 'c' },
        { createdBy: 'ENV', emptyLayer: true },
      ],
    });
  });

  test('takes absent and null members for unset', () => {
    const minimal = { architecture: '', os: '', config: {}, rootfs: { type: 'layers', diffIds: [] } };
    expect(parseImageConfig(bytes({ rootfs: { diff_ids: [] } }))).toEqual(minimal);
    expect(
      parseImageConfig(
        bytes({
          architecture: null,
          config: { Env: null, Cmd: null, Volumes: null },
          rootfs: { type: 'layers', diff_ids: [] },
          history: null,
        }),
      ),
    ).toEqual(minimal);
    expect(parseImageConfig(bytes({ config: null, rootfs })).config).toEqual({});
  });

  test.each([
    ['no JSON', '', /not JSON/],
    ['no rootfs', { architecture: 'amd64' }, /rootfs must be an object, but is nothing/],
    ['no diff ids', { rootfs: { type: 'layers' } }, /rootfs\.diff_ids must be a list of digests/],
    [
      'another rootfs type',
      { rootfs: { ...rootfs, type: 'windows' } },
      /rootfs\.type must be "layers", but is "windows"/,
    ],
    [
      'a bad diff id',
      { rootfs: { type: 'layers', diff_ids: ['sha256:1'] } },
      /rootfs\.diff_ids\[0\]: invalid checksum/,
    ],
    ['an environment of numbers', { rootfs, config: { Env: [1] } }, /config\.Env\[0\] must be a text, but is 1/],
    ['a command that is one text', { rootfs, config: { Cmd: 'serve' } }, /config\.Cmd must be a list, but is "serve"/],
    [
      'a flag that is a text',
      { rootfs, history: [{ empty_layer: 'yes' }] },
      /history\[0\]\.empty_layer must be true or false/,
    ],
  ])('refuses %s', (_, document, problem) => {
    expect(() => parseImageConfig(bytes(document))).toThrow(
      expect.objectContaining({
        code: 'ERR_LADING_IMAGE_CONFIG_INVALID',
        message: expect.stringMatching(problem),
        hint: expect.any(String),
      }),
    );
  });

  test('long values are cut in messages', () => {
    expect(() => parseImageConfig(bytes({ rootfs, config: { Cmd: 'x'.repeat(10_000) } }))).toThrow(/"x{50,60}…$/);
  });
});
