import { loadLibrary } from './libc-library.ts';

/**
 * Intel's ISA-L, the library behind `igzip`, where the host has it (Debian: `libisal2`); containerd 2 too takes it for
 * its layers when it is there. Shapes and return values are those of its igzip_lib.h and crc.h, which stay the same
 * for `.so.2`.
 */
export interface Isal {
  inflateInit(state: Buffer): void;
  inflateReset(state: Buffer): void;
  /** 0, or a negative ISAL_ error. */
  inflate(state: Buffer): number;
  /** The CRC-32 of gzip; `seed` is the CRC of what came before, at first 0. */
  crc32(seed: number, bytes: Uint8Array, length: number): number;
  /** Where the memory of a buffer is. */
  address(bytes: Buffer): bigint;
}

/** Opens it anew at each call. */
export function openIsal(): Isal | undefined {
  // The shapes of a 64-bit host whose bytes are in little-endian order.
  if (process.arch !== 'x64' && process.arch !== 'arm64') return undefined;
  const loaded = loadLibrary('libisal.so.2');
  if (loaded === undefined) return undefined;
  const { library, address } = loaded;
  return {
    inflateInit: library.func('void isal_inflate_init(void *state)'),
    inflateReset: library.func('void isal_inflate_reset(void *state)'),
    inflate: library.func('int isal_inflate(void *state)'),
    crc32: library.func('uint32_t crc32_gzip_refl(uint32_t seed, const void *bytes, uint64_t length)'),
    address,
  };
}
