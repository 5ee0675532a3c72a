import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { defaultLimits } from '../unpack/limits.ts';
import { looksLikeZstd, ZstdFrameWalker } from '../unpack/zstd-frames.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

/** What the first bytes of content say. */
export function compressionOf(start: Uint8Array): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b && start[2] === 0x08) return 'gzip';
  return looksLikeZstd(Buffer.from(start)) ? 'zstd' : 'none';
}

/** The program whose compression the first bytes of content have, of those that are not read. */
export function foreignCompression(start: Uint8Array): 'xz' | 'bzip2' | 'lz4' | undefined {
  const beginning = Buffer.from(start.subarray(0, 4)).toString('latin1');
  if (beginning === '\xfd7zX') return 'xz';
  if (beginning.startsWith('BZh')) return 'bzip2';
  return beginning === '\x04"M\x18' ? 'lz4' : undefined;
}

/** Whether an error with this code is about compressed content that is damaged. */
export function isCompressionFault(code: string): boolean {
  return /^(Z_|ZSTD_|ERR_ZSTD)/.test(code) || code === 'ERR_LADING_LAYER_BAD_COMPRESSION';
}

/** Content without its compression, whichever it has; nothing of it is verified. */
export async function* decompressed(content: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const { start, all } = await peek(content);
  const compression = compressionOf(start);
  if (compression === 'none') yield* all;
  else if (compression === 'gzip') yield* through(all, (await import('node:zlib')).createGunzip());
  else yield* unzstd(all);
}

/** The first bytes, as many as tell the compression, and everything with them. */
async function peek(content: AsyncIterable<Uint8Array>) {
  const iterator = content[Symbol.asyncIterator]();
  let start: Uint8Array = Buffer.alloc(0);
  while (start.byteLength < 4) {
    const { done, value } = await iterator.next();
    if (done) break;
    start = Buffer.concat([start, value]);
  }
  async function* all(): AsyncIterable<Uint8Array> {
    try {
      if (start.byteLength > 0) yield start;
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  return { start, all: all() };
}

async function* through(
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  decompressor: NodeJS.ReadWriteStream & AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const fed = pipeline(Readable.from(content, { objectMode: true, highWaterMark: 1 }), decompressor);
  // Reading reports the failure.
  fed.catch(() => {});
  yield* decompressor;
  await fed;
}

/** Frame by frame, since the stream of Node stops after the first. */
async function* unzstd(content: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const { constants, createZstdDecompress } = await import('node:zlib');
  const params = { [constants.ZSTD_d_windowLogMax]: Math.ceil(Math.log2(defaultLimits.maxZstdWindowSize)) };
  const pieces = zstdPieces(content);
  for (let piece = await pieces.next(); !piece.done; piece = await pieces.next()) {
    if (piece.value === 'frame-end') continue;
    const first = piece.value;
    async function* frame(): AsyncIterable<Uint8Array> {
      yield first;
      for (let part = await pieces.next(); !part.done && part.value !== 'frame-end'; part = await pieces.next()) {
        yield part.value;
      }
    }
    yield* through(frame(), createZstdDecompress({ params }));
  }
}

async function* zstdPieces(content: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer | 'frame-end', void> {
  const pending: (Buffer | 'frame-end')[] = [];
  const walker = new ZstdFrameWalker(
    { data: (bytes) => pending.push(Buffer.from(bytes)), frameEnd: () => pending.push('frame-end') },
    defaultLimits.maxZstdWindowSize,
  );
  for await (const chunk of content) {
    walker.write(Buffer.from(chunk));
    yield* pending.splice(0);
  }
  walker.end();
  yield* pending.splice(0);
}
