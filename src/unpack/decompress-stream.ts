import { Readable } from 'node:stream';
import { constants, createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib';
import { type ByteSource, chunkBytes } from './byte-source.ts';
import { LayerError } from './errors.ts';
import type { UnpackLimits } from './limits.ts';
import type { Sink } from './sync-zlib.ts';
import { ZstdFrameWalker } from './zstd-frames.ts';

/** Decompression through the public streams of `node:zlib`: slower, for a Node whose internals are not as expected. */

/** @throws LayerError `bad-compression`, or what the sink throws */
export async function gunzipThroughStream(first: Buffer, source: ByteSource, sink: Sink): Promise<void> {
  const gunzip = createGunzip({ chunkSize: chunkBytes });
  /** Copies of what went in and was not consumed yet: the stream ends at padding and does not say so. */
  let position = 0;
  let unconsumed: { at: number; bytes: Buffer }[] = [];
  function* chunks() {
    for (let chunk: Buffer | undefined = first; chunk !== undefined; chunk = source.read()) {
      const bytes = Buffer.from(chunk);
      unconsumed = unconsumed.filter((piece) => piece.at + piece.bytes.byteLength > gunzip.bytesWritten);
      unconsumed.push({ at: position, bytes });
      position += bytes.byteLength;
      yield bytes;
    }
  }
  await drain(chunks(), gunzip, sink);
  for (const { at, bytes } of unconsumed) checkPadding(bytes.subarray(Math.max(0, gunzip.bytesWritten - at)));
  for (let chunk = source.read(); chunk !== undefined; chunk = source.read()) checkPadding(chunk);
}

/** One stream per frame, since each of them stops after its first. */
export async function unzstdThroughStreams(
  first: Buffer,
  source: ByteSource,
  sink: Sink,
  limits: UnpackLimits,
): Promise<void> {
  const pending: (Buffer | 'frame-end')[] = [];
  const walker = new ZstdFrameWalker(
    {
      data: (bytes) => pending.push(Buffer.from(bytes)),
      frameEnd: () => pending.push('frame-end'),
    },
    limits.maxZstdWindowSize,
  );
  let chunk: Buffer | undefined = first;
  /** The next piece of the stream; undefined at its end. */
  const next = () => {
    while (pending.length === 0) {
      if (chunk === undefined) return undefined;
      walker.write(chunk);
      chunk = source.read();
      if (chunk === undefined) walker.end();
    }
    return pending.shift();
  };
  for (let piece = next(); piece !== undefined; piece = next()) {
    if (piece === 'frame-end') continue;
    const start = piece;
    function* frame() {
      for (let part: Buffer | 'frame-end' | undefined = start; part instanceof Buffer; part = next()) yield part;
    }
    await drain(frame(), createZstdDecompress({ chunkSize: chunkBytes, params: zstdParams(limits) }), sink);
  }
}

async function drain(input: Iterable<Buffer>, decompressor: Gunzip | ZstdDecompress, sink: Sink): Promise<void> {
  const readable = Readable.from(input, { objectMode: true, highWaterMark: 1 });
  readable.on('error', (error) => decompressor.destroy(error));
  readable.pipe(decompressor);
  try {
    for await (const bytes of decompressor) sink(bytes as Buffer);
  } catch (error) {
    throw isZlibError(error) ? new LayerError('bad-compression', error.message, { cause: error }) : error;
  } finally {
    readable.destroy();
  }
}

function isZlibError(error: unknown): error is Error {
  const { code } = error as NodeJS.ErrnoException;
  return code !== undefined && /^(Z_|ZSTD_|ERR_ZSTD)/.test(code);
}

/** @throws LayerError `bad-compression` for anything but NULs behind the last gzip member */
export function checkPadding(bytes: Buffer): void {
  if (bytes.some((byte) => byte !== 0)) {
    throw new LayerError('bad-compression', 'bytes that are not gzip follow the end of the gzip stream');
  }
}

export function zstdParams(limits: UnpackLimits): Record<number, number> {
  return { [constants.ZSTD_d_windowLogMax]: Math.ceil(Math.log2(limits.maxZstdWindowSize)) };
}
