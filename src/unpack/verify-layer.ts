import { fstatSync, readSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import type { EntryRecord, XattrRecord } from '../lib/layer-facts.ts';
import { splitDevice } from '../lib/libc.ts';
import { closeFd, openAt, openFlags, readLinkAt } from '../lib/libc-at.ts';
import { errnoName } from '../lib/libc-library.ts';
import { checksumOf, mayBeFromImage, recordXattrs, type XattrReader, xattrsAt, xattrsOfFd } from './attributes.ts';
import { chunkBytes, giveChunkBack, takeChunk } from './byte-source.ts';
import { crc32 } from './crc32.ts';
import { namesIn, openSteps, openTreeRoot } from './directory-handles.ts';
import { printableName } from './errors.ts';
import { noXattrs, readLayerRecord } from './layer-record.ts';

/** One thing about a layer on disk that is not as it was unpacked. */
export interface LayerFinding {
  /** Byte string, as in `LayerFacts`. */
  readonly path: string;
  /** `missing`, `not part of the layer`, or what differs: `mode 0644, want 0755`. */
  readonly problem: string;
}

const entriesPerTurn = 100;
/** 16 MiB: a turn for whoever waits, a signal for example, costs nothing then. */
const chunksPerTurn = 64;

/** No entry names the root, which is always like this. @see layers.md N4 */
const root: EntryRecord = {
  ...{ path: '.', type: 'dir', mode: 0o755, uid: 0, gid: 0, size: 0, mtime: '0', content: '' },
  xattrs: noXattrs,
};

export interface VerifyOptions {
  readonly content?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Compares an unpacked layer with the record made when it was unpacked: every path, its type, mode, owner, size, time,
 * extended attributes, symlink targets, devices, whiteouts, opaque marks, and on request the content of files (CRC-32:
 * against damage, not malice). Reads only.
 * @throws the reason of the signal when it was aborted
 */
export async function* verifyLayer(
  dir: string,
  entriesFile: string,
  options: VerifyOptions = {},
): AsyncGenerator<LayerFinding> {
  const records = readLayerRecord(entriesFile);
  const rootFd = openTreeRoot(dir);
  try {
    let done = 0;
    for (const record of [root, ...records.values()]) {
      const problem = await compare(rootFd, record, options);
      if (problem !== undefined) yield { path: record.path, problem };
      done += 1;
      if (done % entriesPerTurn === 0) await nextTurn(options);
    }
    const directories = ['', ...[...records.values()].filter(({ type }) => type === 'dir').map(({ path }) => path)];
    for (const directory of directories) {
      for (const name of namesBelow(rootFd, directory)) {
        const path = directory === '' ? name : `${directory}/${name}`;
        if (!records.has(path)) yield { path, problem: 'not part of the layer' };
      }
      await nextTurn(options);
    }
  } finally {
    closeFd(rootFd);
  }
}

async function nextTurn({ signal }: VerifyOptions): Promise<void> {
  await setImmediate();
  signal?.throwIfAborted();
}

async function compare(rootFd: number, record: EntryRecord, options: VerifyOptions): Promise<string | undefined> {
  const names = record.path.split('/');
  const name = names.pop()!;
  const parent = names.length === 0 ? rootFd : openSteps(rootFd, names);
  if (parent < 0) return whyNotOpen(parent);
  try {
    return await compareIn(parent, name, record, options);
  } finally {
    if (parent !== rootFd) closeFd(parent);
  }
}

async function compareIn(
  parent: number,
  name: string,
  record: EntryRecord,
  options: VerifyOptions,
): Promise<string | undefined> {
  const { type } = record;
  const readable = type === 'dir' || (type === 'file' && options.content === true);
  // What has become a fifo would wait for a writer.
  const access = readable ? openFlags.readOnly | openFlags.nonBlock : openFlags.pathOnly;
  const fd = openAt(parent, name, access | openFlags.noFollow);
  if (fd < 0) return whyNotOpen(fd);
  try {
    const stat = fstatSync(fd, { bigint: true });
    const foundType = typeOf(stat);
    const isWhiteout = foundType === 'char' && stat.rdev === 0n;
    if (type === 'whiteout') return isWhiteout ? undefined : `${foundType}, want a whiteout`;
    if (foundType !== type) return `${foundType}, want ${type}`;
    const found: Record<string, string> = {
      mode: octal(Number(stat.mode) & 0o7777),
      owner: `${stat.uid}:${stat.gid}`,
      size: type === 'file' ? `${stat.size}` : '0',
      time: isHeldAs(record.mtime, stat) ? record.mtime : `${stat.mtimeNs}`,
      content: await contentOf(fd, record, stat.rdev, options),
    };
    const wanted: Record<string, string> = {
      mode: octal(record.mode),
      owner: `${record.uid}:${record.gid}`,
      size: `${record.size}`,
      time: record.mtime,
      content: record.content,
    };
    const wantedXattrs = xattrsOf(record);
    const problems = [
      ...differences(found, wanted),
      ...differences(
        foundXattrs(readable ? xattrsOfFd(fd) : xattrsAt(parent, name), record, wantedXattrs),
        wantedXattrs,
        (xattr) => `xattr ${printableName(xattr)}`,
      ),
    ];
    return problems.length === 0 ? undefined : problems.join('; ');
  } finally {
    closeFd(fd);
  }
}

const secondNs = 1_000_000_000n;
/** In 2038, where 32 bits end. */
const lastShortTimeNs = 0x7fff_ffffn * secondNs;

/**
 * Whether a file system that was given a time shows this one. Coarse ones (ext4 with small inodes: seconds, until 2038)
 * show the same zeros in the time of the last change, which no program can set.
 */
function isHeldAs(time: string, { mtimeNs, ctimeNs }: { mtimeNs: bigint; ctimeNs: bigint }): boolean {
  if (`${mtimeNs}` === time) return true;
  if (!/^\d+$/.test(time)) return false;
  const wanted = BigInt(time);
  let unit = 1n;
  while (unit < secondNs && ctimeNs % (unit * 10n) === 0n) unit *= 10n;
  return mtimeNs === wanted - (wanted % unit) || (mtimeNs === lastShortTimeNs && wanted > lastShortTimeNs);
}

type Values = Readonly<Record<string, string>>;

function differences(found: Values, wanted: Values, shown = (key: string) => key): string[] {
  return Object.keys({ ...wanted, ...found })
    .filter((key) => found[key] !== wanted[key])
    .map((key) => `${shown(key)} ${found[key] ?? 'missing'}, want ${wanted[key] ?? 'none'}`);
}

const opaqueMark = checksumOf(Buffer.from('y'));

/** What an entry has to have, as far as its record says, and the mark of an opaque directory. */
function xattrsOf({ type, content, xattrs = noXattrs }: EntryRecord): XattrRecord {
  return type === 'dir' && content !== '' ? { ...xattrs, [content]: opaqueMark } : xattrs;
}

/** The wanted ones, and others that are damage. */
function foundXattrs(reader: XattrReader, { xattrs }: EntryRecord, wanted: XattrRecord): XattrRecord {
  const others = reader
    .names()
    .filter((xattr) => xattr.startsWith('trusted.overlay.') || (xattrs && mayBeFromImage(xattr)));
  return recordXattrs(new Set([...Object.keys(wanted), ...others]), reader);
}

async function contentOf(
  fd: number,
  { type, content }: EntryRecord,
  rdev: bigint,
  options: VerifyOptions,
): Promise<string> {
  switch (type) {
    case 'file':
      return options.content && content !== '' ? checksum(fd, options) : content;
    case 'symlink': {
      const buffer = Buffer.allocUnsafe(8192);
      return buffer.toString('latin1', 0, Math.max(0, readLinkAt(fd, '', buffer)));
    }
    case 'char':
    case 'block': {
      const { major, minor } = splitDevice(rdev);
      return `${major}:${minor}`;
    }
    default:
      return content;
  }
}

async function checksum(fd: number, options: VerifyOptions): Promise<string> {
  const buffer = takeChunk();
  try {
    let crc = 0;
    for (let chunks = 1; ; chunks++) {
      const length = readSync(fd, buffer, 0, chunkBytes, null);
      if (length === 0) return crc.toString(16).padStart(8, '0');
      crc = crc32(buffer.subarray(0, length), crc);
      if (chunks % chunksPerTurn === 0) await nextTurn(options);
    }
  } finally {
    giveChunkBack(buffer);
  }
}

function whyNotOpen(result: number): string {
  const name = errnoName(-result);
  return ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(name) ? 'missing' : name;
}

function namesBelow(rootFd: number, directory: string): string[] {
  const fd = directory === '' ? rootFd : openSteps(rootFd, directory.split('/'));
  if (fd < 0) return [];
  try {
    return namesIn(fd);
  } finally {
    if (fd !== rootFd) closeFd(fd);
  }
}

function typeOf(stat: {
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
  isFIFO(): boolean;
  isCharacterDevice(): boolean;
}): string {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'dir';
  if (stat.isSymbolicLink()) return 'symlink';
  if (stat.isFIFO()) return 'fifo';
  return stat.isCharacterDevice() ? 'char' : 'block';
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}
