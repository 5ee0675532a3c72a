import { constants, createZstdDecompress } from 'node:zlib';
import type { ByteSource } from './byte-source.ts';
import { checkPadding, gunzipThroughStream, unzstdThroughStreams, zstdParams } from './decompress-stream.ts';
import { IsalGunzip, workingIsal } from './isal-gunzip.ts';
import type { UnpackLimits } from './limits.ts';
import { type Sink, SyncDecompressor, syncZlibWorks, ZlibGunzip } from './sync-zlib.ts';
import { looksLikeZstd, ZstdFrameWalker } from './zstd-frames.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

/** `isal` is the host's ISA-L for gzip, `sync` drives Node's decoders inside this thread, `stream` is Node's public API. */
export type Engine = 'isal' | 'sync' | 'stream';

/**
 * Decompresses a blob to its end, whatever its media type says (C1): one layer of compression, all gzip members and
 * zstd frames, every checksum.
 * @param engine default the fastest that works here
 * @throws LayerError `bad-compression`, or what the sink throws
 */
export async function decompress(
  source: ByteSource,
  sink: Sink,
  limits: UnpackLimits,
  engine?: Engine,
): Promise<Compression> {
  const first = readStart(source);
  const compression = first === undefined ? 'none' : compressionOf(first);
  if (compression === 'none') {
    for (let chunk = first; chunk !== undefined; chunk = source.read()) sink(chunk);
  } else if (compression === 'gzip') {
    const isal = engine === undefined || engine === 'isal' ? workingIsal() : undefined;
    if (isal !== undefined) gunzip(first!, source, new IsalGunzip(isal, sink));
    else if (insideThread(engine)) gunzip(first!, source, new ZlibGunzip(sink));
    else await gunzipThroughStream(first!, source, sink);
  } else if (insideThread(engine)) unzstd(first!, source, sink, limits);
  else await unzstdThroughStreams(first!, source, sink, limits);
  return compression;
}

function insideThread(engine: Engine | undefined): boolean {
  return engine === undefined ? syncZlibWorks() : engine !== 'stream';
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

/** C2: the decoder takes member after member and checks the CRC and length of each. */
function gunzip(first: Buffer, source: ByteSource, decoder: ZlibGunzip | IsalGunzip): void {
  try {
    let ended = false;
    for (let chunk: Buffer | undefined = first; chunk !== undefined; chunk = source.read()) {
      const left: number = ended ? chunk.byteLength : decoder.write(chunk);
      // What the decoder leaves begins with a NUL: padding, and nothing may follow it.
      if (left > 0) ended = true;
      checkPadding(chunk.subarray(chunk.byteLength - left));
    }
    decoder.end();
  } finally {
    decoder.close();
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
