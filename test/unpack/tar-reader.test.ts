import { describe, expect, test } from 'vitest';
import { LayerError } from '../../src/unpack/errors.ts';
import { defaultLimits, type UnpackLimits } from '../../src/unpack/limits.ts';
import { type TarEntry, TarReader } from '../../src/unpack/tar-reader.ts';
import {
  endOfArchive,
  gnuLongHeader,
  padded,
  paxHeader,
  tar,
  tarEntry,
  tarHeader,
  withChecksum,
} from '../support/tar-builder.ts';

type ReadEntry = TarEntry & { content: Buffer };

function read(archive: Buffer, options: { chunkBytes?: number; limits?: Partial<UnpackLimits> } = {}): ReadEntry[] {
  const entries: ReadEntry[] = [];
  let complete = 0;
  const reader = new TarReader(
    {
      entry: (entry) => entries.push({ ...entry, content: Buffer.alloc(entry.size) }),
      data: (bytes, position) => bytes.copy(entries.at(-1)!.content, position),
      end: () => {
        complete += 1;
      },
    },
    { ...defaultLimits, ...options.limits },
  );
  const chunkBytes = options.chunkBytes ?? archive.byteLength;
  for (let start = 0; start < archive.byteLength; start += chunkBytes) {
    reader.write(Buffer.from(archive.subarray(start, start + chunkBytes)));
  }
  reader.end();
  expect(complete).toBe(entries.length);
  return entries;
}

function errorClass(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof LayerError) return error.class;
    throw error;
  }
  return undefined;
}

const sparse = Buffer.concat([
  paxHeader({
    'GNU.sparse.major': '1',
    'GNU.sparse.minor': '0',
    'GNU.sparse.name': 'holes',
    'GNU.sparse.realsize': '5000',
  }),
  tarHeader({ name: 'GNUSparseFile.0/holes', size: 512 + 1024 }),
  padded(Buffer.from('2\n1000\n600\n4000\n424\n')),
  Buffer.alloc(600, 'a'),
  Buffer.alloc(424, 'b'),
]);

describe('a stream in pieces of any size', () => {
  const archive = Buffer.concat([
    tarEntry({ name: 'dir/', type: '5' }),
    tarEntry({
      name: 'dir/file',
      data: 'x'.repeat(1300),
      pax: { mtime: '5.25', 'SCHILY.xattr.user.a': '\n12 path=no\n' },
    }),
    gnuLongHeader('L', `long/${'n'.repeat(700)}`),
    tarEntry({ name: 'cut', data: 'y' }),
    sparse,
    tar({ name: 'last', data: 'z'.repeat(512) }),
    Buffer.from('ignored after the end'),
  ]);
  const whole = read(archive);

  test('is read the same', () => {
    expect(whole.map(({ name }) => name)).toEqual(['dir/', 'dir/file', `long/${'n'.repeat(700)}`, 'holes', 'last']);
    expect(whole[1]).toMatchObject({ mtime: { sec: 5, nsec: 250_000_000 }, size: 1300 });
    expect(whole[1]!.xattrs?.get('user.a')?.toString()).toBe('\n12 path=no\n');
    expect(whole[3]).toMatchObject({ size: 5000, sparse: true });
    expect(whole[3]!.content.toString('latin1', 1000, 1600)).toBe('a'.repeat(600));
    expect(whole[3]!.content.toString('latin1', 4000, 4424)).toBe('b'.repeat(424));
    for (const chunkBytes of [1, 7, 511, 512, 513, 1000]) {
      expect(read(archive, { chunkBytes })).toEqual(whole);
    }
  });
});

describe('ends (T1)', () => {
  const entry = tarEntry({ name: 'a', data: 'abc' });
  test.each([
    ['nothing at all', Buffer.alloc(0), undefined],
    ['a block boundary', entry, undefined],
    ['one zero block', Buffer.concat([entry, Buffer.alloc(512)]), undefined],
    ['part of a zero block', Buffer.concat([entry, Buffer.alloc(100)]), 'bad-tar'],
    ['inside the padding', entry.subarray(0, 600), undefined],
    ['inside the data', entry.subarray(0, 514), 'bad-tar'],
    ['inside a PAX header', paxHeader({ path: 'x'.repeat(600) }).subarray(0, 700), 'bad-tar'],
    ['inside a global header', paxHeader({ path: 'x'.repeat(600) }, 'g').subarray(0, 700), 'bad-tar'],
    ['after a long name', gnuLongHeader('L', 'name'), undefined],
    ['a sparse file inside its map', Buffer.concat([sparse.subarray(0, 1536 + 3)]), 'bad-tar'],
  ])('%s', (_, archive, expected) => {
    expect(errorClass(() => read(archive))).toBe(expected);
  });
});

describe('what a header may not say', () => {
  const base256 = (offset: number, bytes: number[]) => {
    const header = tarHeader({ name: 'a' });
    Buffer.from(bytes).copy(header, offset);
    return Buffer.concat([withChecksum(header), endOfArchive]);
  };
  test.each([
    ['a size above 2^63', base256(124, [0xbf, ...Array(11).fill(0xff)]), 'too-large'],
    ['a negative size', base256(124, Array(12).fill(0xff)), 'bad-tar'],
    ['a PAX key that is empty', paxHeader({ '': 'x' }), 'bad-tar'],
    ['a PAX key with a NUL', paxHeader({ 'SCHILY.xattr.user.a\0b': 'x' }), 'bad-tar'],
    ['a negative PAX uid', tar({ name: 'a', pax: { uid: '-1' } }), 'bad-tar'],
    ['a PAX time without digits', tar({ name: 'a', pax: { mtime: '.5' } }), 'bad-tar'],
    ['a NUL in a sparse name', tar({ name: 'a', pax: { 'GNU.sparse.name': 'a\0b' } }), 'bad-tar'],
    ['sparse data of a directory', tar({ name: 'a', type: '5', pax: { 'GNU.sparse.map': '0,0' } }), 'bad-tar'],
    ['more data than extents', tar({ name: 'a', data: 'abc', pax: { 'GNU.sparse.map': '0,2' } }), 'bad-tar'],
    ['fewer data than extents', tar({ name: 'a', data: 'a', pax: { 'GNU.sparse.map': '0,2' } }), 'bad-tar'],
    [
      'a wrong number of extents',
      tar({ name: 'a', data: 'ab', pax: { 'GNU.sparse.numblocks': '2', 'GNU.sparse.map': '0,2' } }),
      'bad-tar',
    ],
  ])('%s', (_, archive, expected) => {
    expect(errorClass(() => read(archive))).toBe(expected);
  });
});

test('a sparse version that nobody knows is a plain file under its own name', () => {
  const [entry] = read(
    tar({
      name: 'own',
      data: 'abc',
      pax: { 'GNU.sparse.major': '2', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 'other' },
    }),
  );
  expect(entry).toMatchObject({ name: 'own', sparse: false, content: Buffer.from('abc') });
});

test('a size beyond all files is not shown with digits that the archive does not have', () => {
  for (const size of ['9'.repeat(26), '9223372036854775807']) {
    expect(() => read(tar({ name: 'a', pax: { size } }))).toThrow(/^entry "a" has more than 9007199254740991 bytes; /);
  }
});

test('times before 1970 keep their sign through the fraction', () => {
  const [entry] = read(tar({ name: 'a', pax: { mtime: '-1.25' } }));
  expect(entry!.mtime).toEqual({ sec: -2, nsec: 750_000_000 });
});

test('limits hold for what a header says, before any data', () => {
  const header = tarHeader({ name: 'a', size: 1000 });
  expect(errorClass(() => read(header, { limits: { maxEntrySize: 999 } }))).toBe('too-large');
  expect(errorClass(() => read(sparse, { limits: { maxEntrySize: 4999 } }))).toBe('too-large');
  const extension = tarHeader({ name: 'x', type: 'x', size: 2000 });
  expect(errorClass(() => read(extension, { limits: { maxExtensionHeaderSize: 1999 } }))).toBe('too-large');
});

test('a sparse file of format 0.0 without extents is one hole', () => {
  const hole = { 'GNU.sparse.size': '7000', 'GNU.sparse.numblocks': '0' };
  const [entry, after] = read(tar({ name: 'hole', pax: hole }, { name: 'after', data: 'x' }));
  expect(entry).toMatchObject({ name: 'hole', size: 7000, sparse: true });
  expect(after).toMatchObject({ name: 'after', size: 1 });
});

test('a mode in base-256 keeps its low bits, however large it is', () => {
  const header = tarHeader({ name: 'f' });
  Buffer.from('90000000000001ed', 'hex').copy(header, 100);
  const [entry] = read(Buffer.concat([withChecksum(header), endOfArchive]));
  expect(entry!.mode & 0o7777).toBe(0o755);
});
