import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import type { ByteSource } from './byte-source.ts';
import { checkPadding, gunzipThroughStream, unzstdThroughStreams, zstdParams } from './decompress-stream.ts';
import type { UnpackLimits } from './limits.ts';
import { type Sink, SyncDecompressor, syncZlibWorks } from './sync-zlib.ts';
import { looksLikeZstd, ZstdFrameWalker } from './zstd-frames.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

/**
 * Decompresses a blob to its end, whatever its media type says (C1): one layer of compression, all gzip members and
 * zstd frames, every checksum.
 * @param engine `sync` drives zlib inside this thread, `stream` is the public API; default what works here
 * @throws LayerError `bad-compression`, or what the sink throws
 */
export async function decompress(
  source: ByteSource,
  sink: Sink,
  limits: UnpackLimits,
  engine: 'sync' | 'stream' = syncZlibWorks() ? 'sync' : 'stream',
): Promise<Compression> {
  const first = readStart(source);
  const compression = first === undefined ? 'none' : compressionOf(first);
  if (compression === 'none') {
    for (let chunk = first; chunk !== undefined; chunk = source.read()) sink(chunk);
  } else if (compression === 'gzip') {
    if (engine === 'sync') gunzip(first!, source, sink);
    else await gunzipThroughStream(first!, source, sink);
  } else if (engine === 'sync') unzstd(first!, source, sink, limits);
  else await unzstdThroughStreams(first!, source, sink, limits);
  return compression;
}

/** Enough to see the compression, if there is as much. */
function readStart(source: ByteSource): Buffer | undefined {
  const magicBytes = 4;
  let start = source.read();
  while (start !== undefined && start.byteLength < magicBytes) {
    // A copy first: reading uses the memory again.
    const copy = Buffer.from(start);
    const more = source.read();
    if (more === undefined) return copy;
    start = Buffer.concat([copy, more]);
  }
  return start;
}

function compressionOf(start: Buffer): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b && start[2] === 0x08) return 'gzip';
  return looksLikeZstd(start) ? 'zstd' : 'none';
}

/** C2: the native decoder takes member after member and checks the CRC and length of each. */
function gunzip(first: Buffer, source: ByteSource, sink: Sink): void {
  const decompressor = new SyncDecompressor(createGunzip(), sink);
  try {
    let ended = false;
    for (let chunk: Buffer | undefined = first; chunk !== undefined; chunk = source.read()) {
      const left: number = ended ? chunk.byteLength : decompressor.write(chunk, constants.Z_NO_FLUSH);
      // What the decoder leaves begins with a NUL: padding, and nothing may follow it.
      if (left > 0) ended = true;
      checkPadding(chunk.subarray(chunk.byteLength - left));
    }
    decompressor.write(Buffer.alloc(0), constants.Z_FINISH);
  } finally {
    decompressor.close();
  }
}

/** C3, C5: the walker judges every frame before the decoder sees it. */
function unzstd(first: Buffer, source: ByteSource, sink: Sink, limits: UnpackLimits): void {
  const decompressor = new SyncDecompressor(createZstdDecompress({ params: zstdParams(limits) }), sink);
  const walker = new ZstdFrameWalker(
    {
      data: (bytes) => {
        decompressor.write(bytes, constants.ZSTD_e_continue);
      },
      frameEnd: () => undefined,
    },
    limits.maxZstdWindowSize,
  );
  try {
    for (let chunk: Buffer | undefined = first; chunk !== undefined; chunk = source.read()) walker.write(chunk);
    walker.end();
  } finally {
    decompressor.close();
  }
}
