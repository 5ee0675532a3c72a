import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { constants, crc32, deflateRawSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { ByteSource } from '../../src/unpack/byte-source.ts';
import { decompress, type Engine } from '../../src/unpack/decompress.ts';
import type { LayerError } from '../../src/unpack/errors.ts';
import { workingIsal } from '../../src/unpack/isal-gunzip.ts';
import { defaultLimits } from '../../src/unpack/limits.ts';
import { syncZlibWorks } from '../../src/unpack/sync-zlib.ts';

/** Hands out the same memory again and again, as a file does. */
class PieceSource implements ByteSource {
  readonly #bytes: Buffer;
  readonly #memory: Buffer;
  #position = 0;

  constructor(bytes: Buffer, pieceBytes: number) {
    this.#bytes = bytes;
    this.#memory = Buffer.alloc(pieceBytes);
  }

  read(): Buffer | undefined {
    if (this.#position === this.#bytes.byteLength) return undefined;
    const length = this.#bytes.copy(this.#memory, 0, this.#position, this.#position + this.#memory.byteLength);
    this.#position += length;
    return this.#memory.subarray(0, length);
  }
}

async function unpacked(blob: Buffer, engine: Engine, pieceBytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  const sink = (bytes: Buffer) => parts.push(Buffer.from(bytes));
  await decompress(new PieceSource(blob, pieceBytes), sink, defaultLimits, engine);
  return Buffer.concat(parts);
}

const text = Buffer.from(Array.from({ length: 3000 }, (_, index) => `line ${index * index}\n`).join(''));
const gzip = gzipSync(text);
const zstd = zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
const skippable = Buffer.concat([Buffer.from('5f2a4d1805000000', 'hex'), Buffer.from('hello')]);
const empty = Buffer.alloc(0);

/** A header of every optional field but its checksum, which may follow. */
const namedHeader = (flags: string) =>
  Buffer.concat([
    Buffer.from(`1f8b08${flags}0000000000ff`, 'hex'),
    Buffer.from('0400', 'hex'),
    Buffer.from('LDxx'),
    Buffer.from('name\0comment\0'),
  ]);
const deflated = Buffer.concat([deflateRawSync(text), gzip.subarray(gzip.byteLength - 8)]);
const named = Buffer.concat([namedHeader('1c'), deflated]);
const headerCrc = Buffer.alloc(2);
headerCrc.writeUInt16LE(crc32(namedHeader('1e')) & 0xffff);
const checkedHeader = Buffer.concat([namedHeader('1e'), headerCrc, deflated]);
const wrongHeaderCrc = Buffer.concat([namedHeader('1e'), Buffer.from([headerCrc[0]!, headerCrc[1]! ^ 1]), deflated]);
const reservedFlag = Buffer.concat([namedHeader('3c'), deflated]);
/** Asks for 128 MiB and an eighth. */
const wideWindow = Buffer.from(`28b52ffd00${((17 << 3) | 1).toString(16)}`, 'hex');
const withDictionary = Buffer.from('28b52ffd2107' + '00' + '010000', 'hex');
const zeroDictionary = Buffer.from('28b52ffd2100' + '00' + '010000', 'hex');

test('this Node lets zlib be driven inside a thread', () => {
  expect(syncZlibWorks()).toBe(true);
});

/** Debian: `apt-get install libisal2`. */
const isalMissing = workingIsal() === undefined;

test.runIf(existsSync('/usr/bin/igzip'))('the ISA-L of this host is as it is expected', () => {
  expect(isalMissing).toBe(false);
});

test.skipIf(isalMissing)(
  'blobs of the layer corpus come out alike or are refused alike with ISA-L and zlib',
  async () => {
    const folder = new URL('../layers/blobs/', import.meta.url);
    const names = readdirSync(folder);
    expect(names.length).toBeGreaterThan(100);
    /** Of the first megabytes: some blobs are bombs. */
    const outcome = async (blob: Buffer, engine: Engine, pieceBytes: number) => {
      const hash = createHash('sha256');
      const enough = new Error('enough');
      let bytes = 0;
      const sink = (piece: Buffer) => {
        if (bytes > 4_000_000) throw enough;
        hash.update(piece.subarray(0, 4_000_000 - bytes));
        bytes += piece.byteLength;
      };
      try {
        await decompress(new PieceSource(blob, pieceBytes), sink, defaultLimits, engine);
      } catch (error) {
        if (error !== enough) return (error as LayerError).class;
      }
      return hash.digest('hex');
    };
    for (const name of names) {
      const blob = readFileSync(new URL(name, folder));
      const expected = await outcome(blob, 'sync', 1000);
      for (const pieceBytes of [61, 1 << 18]) expect(await outcome(blob, 'isal', pieceBytes), name).toBe(expected);
    }
  },
);

test('where libisal.so.2 is no library, zlib decompresses', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lading-no-isal-'));
  try {
    writeFileSync(join(folder, 'libisal.so.2'), '');
    const module = new URL('../../src/unpack/isal-gunzip.ts', import.meta.url);
    const script = `import { workingIsal } from ${JSON.stringify(module.href)}; console.log(String(workingIsal()));`;
    const env = { ...process.env, LD_LIBRARY_PATH: folder };
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8' });
    expect(stdout).toBe('undefined\n');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe.each(isalMissing ? (['sync', 'stream'] as const) : (['isal', 'sync', 'stream'] as const))('%s', (engine) => {
  const pieces = engine === 'stream' ? [3, 1 << 20] : [1, 2, 1000, 1 << 20];

  test.each([
    ['gzip', gzip, text],
    ['gzip, several members, one empty', Buffer.concat([gzip, gzipSync(empty), gzip]), Buffer.concat([text, text])],
    ['gzip, all header fields', named, text],
    ['gzip, header checksums', Buffer.concat([checkedHeader, checkedHeader]), Buffer.concat([text, text])],
    ['gzip, NULs behind it', Buffer.concat([gzip, Buffer.alloc(700)]), text],
    ['zstd', zstd, text],
    [
      'zstd, skippable frames and empty ones',
      Buffer.concat([skippable, zstd, zstdCompressSync(empty), skippable, zstd]),
      Buffer.concat([text, text]),
    ],
    ['zstd, only a skippable frame', skippable, empty],
    ['zstd, dictionary 0, which is none', zeroDictionary, empty],
    ['no compression', text, text],
    ['nothing', empty, empty],
  ])('%s', async (_, blob, expected) => {
    for (const pieceBytes of pieces) expect((await unpacked(blob, engine, pieceBytes)).equals(expected)).toBe(true);
  });

  const flipped = Buffer.from(gzip);
  flipped[gzip.byteLength - 6]! ^= 1;
  const zstdFlipped = Buffer.from(zstd);
  zstdFlipped[zstd.byteLength - 1]! ^= 1;
  test.each([
    ['gzip, cut in its trailer', gzip.subarray(0, -1)],
    ['gzip, cut in its second member', Buffer.concat([gzip, gzip.subarray(0, 5)])],
    ['gzip, cut in its header', named.subarray(0, 20)],
    ['gzip, wrong CRC', flipped],
    ['gzip, wrong CRC of its second header', Buffer.concat([gzip, wrongHeaderCrc])],
    ['gzip, a reserved flag', reservedFlag],
    [
      'gzip, another method in its second member',
      Buffer.concat([gzip, Buffer.from('1f8b07', 'hex'), named.subarray(3)]),
    ],
    ['gzip, other bytes behind it', Buffer.concat([gzip, Buffer.from('more')])],
    ['gzip, other bytes behind NULs', Buffer.concat([gzip, Buffer.alloc(5), Buffer.from('more')])],
    ['gzip, another member behind NULs', Buffer.concat([gzip, Buffer.alloc(5), gzip])],
    ['zstd, cut in its header', zstd.subarray(0, 5)],
    ['zstd, cut in its checksum', zstd.subarray(0, -1)],
    ['zstd, cut in a skippable frame', Buffer.concat([zstd, skippable.subarray(0, -1)])],
    ['zstd, wrong checksum', zstdFlipped],
    ['zstd, other bytes behind it', Buffer.concat([zstd, Buffer.from('other bytes')])],
    ['zstd, one byte behind it', Buffer.concat([zstd, Buffer.from([0x28])])],
    ['zstd, a window above the limit', wideWindow],
    ['zstd, a dictionary', withDictionary],
  ])('%s is refused', async (_, blob) => {
    for (const pieceBytes of pieces) {
      await expect(unpacked(blob, engine, pieceBytes)).rejects.toMatchObject({ class: 'bad-compression' });
    }
  });

  test('what the receiver throws comes through', async () => {
    const full = new Error('full');
    const sink = () => {
      throw full;
    };
    for (const blob of [gzip, zstd]) {
      await expect(decompress(new PieceSource(blob, 100), sink, defaultLimits, engine)).rejects.toBe(full);
    }
  });
});
