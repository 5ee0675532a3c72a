import { withChecksum } from '../../test/support/tar-builder.ts';

/** Changes to tar archives that keep them near what readers accept, so that the changes get far. */

export type Random = (below: number) => number;

const blockSize = 512;
/** Where a header has what decides: name, mode, owners, size, time, type, link target, magic, device, prefix. */
const fields = [
  ...[
    [0, 100],
    [100, 8],
    [108, 8],
    [116, 8],
    [124, 12],
    [136, 12],
    [156, 1],
    [157, 100],
  ],
  ...[
    [257, 8],
    [329, 8],
    [337, 8],
    [345, 155],
  ],
] as const;
const types = '01234567gxLKSVD\0';
const names = [
  'a',
  'a/b',
  'a/',
  './a',
  '../a',
  '/a',
  'a/../..',
  '.wh.a',
  'a/.wh.b',
  '.wh..wh..opq',
  'a/.wh..wh..opq',
  '',
  '.',
];

export function randomNumbers(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * below);
  };
}

/** One to four changes. */
export function mutateTar(archive: Buffer, random: Random): Buffer {
  let mutated: Buffer = Buffer.from(archive);
  for (let left = 1 + random(4); left > 0; left -= 1) mutated = changeOnce(mutated, random);
  return mutated;
}

/** Bytes changed, cut off or put in twice; for blobs whose structure is not known here. */
export function mutateBytes(blob: Buffer, random: Random): Buffer {
  const at = random(blob.byteLength + 1);
  switch (random(4)) {
    case 0:
      return blob.subarray(0, at);
    case 1:
      return Buffer.concat([blob, blob.subarray(at)]);
    case 2:
      return Buffer.concat([blob.subarray(0, at), Buffer.alloc(random(600)), blob.subarray(at)]);
    default: {
      const mutated = Buffer.from(blob);
      for (let left = 1 + random(3); left > 0 && blob.byteLength > 0; left -= 1) {
        mutated[random(blob.byteLength)]! ^= 1 << random(8);
      }
      return mutated;
    }
  }
}

function changeOnce(archive: Buffer, random: Random): Buffer {
  const entries = entriesOf(archive);
  if (entries.length === 0 || random(8) === 0) return Buffer.from(mutateBytes(archive, random));
  const entry = entries[random(entries.length)]!;
  const other = entries[random(entries.length)]!;
  switch (random(6)) {
    case 0:
      return Buffer.concat(entries.filter((each) => each !== entry));
    case 1:
      return Buffer.concat(entries.flatMap((each) => (each === entry ? [entry, other] : [each])));
    case 2:
      return Buffer.concat(entries.map((each) => (each === entry ? other : each === other ? entry : each)));
    default:
      if (entry.byteLength < blockSize || other.byteLength < blockSize) return Buffer.concat(entries);
      changeHeader(entry.subarray(0, blockSize), other.subarray(0, blockSize), random);
      return Buffer.concat(entries);
  }
}

function changeHeader(header: Buffer, other: Buffer, random: Random): void {
  const [start, length] = fields[random(fields.length)]!;
  switch (random(5)) {
    case 0:
      other.copy(header, start, start, start + length);
      break;
    case 1:
      header[start + random(length)] = random(256);
      break;
    case 2:
      header.fill(0, 0, 100);
      header.write(names[random(names.length)]!, 0, 'latin1');
      break;
    case 3:
      header.write(types[random(types.length)]!, 156, 'latin1');
      break;
    default:
      header.fill(0, 157, 257);
      header.write(names[random(names.length)]!, 157, 'latin1');
  }
  // A wrong checksum ends the archive here: seldom interesting.
  if (random(20) > 0) withChecksum(header);
}

/** Headers with their data, as far as sizes are plain octal; the end with whatever follows is the last one. */
function entriesOf(archive: Buffer): Buffer[] {
  const entries: Buffer[] = [];
  let at = 0;
  while (at + blockSize <= archive.byteLength && archive[at] !== 0) {
    const type = String.fromCharCode(archive[at + 156]!);
    const size = Number.parseInt(archive.toString('latin1', at + 124, at + 136), 8) || 0;
    const end = at + blockSize + ('123456'.includes(type) ? 0 : Math.ceil(size / blockSize) * blockSize);
    if (end > archive.byteLength) break;
    entries.push(Buffer.from(archive.subarray(at, end)));
    at = end;
  }
  if (at < archive.byteLength) entries.push(Buffer.from(archive.subarray(at)));
  return entries;
}
