import { hasLibcFunction, libcFunction } from './libc-library.ts';

const prototype = 'int mallopt(int parameter, int value)';
const mallopt = libcFunction(prototype);
/** Parameters of glibc: number of arenas; bytes from which a piece is mapped by itself, and kept free at the end. */
const [arenaMax, mmapThreshold, trimThreshold] = [-8, -3, -1];
const largeBytes = 128 * 1024;

let done = false;

/**
 * Lets the C library of this process give back what was freed. Otherwise each new thread gets an arena of its own, and
 * pieces of up to 32 MiB are kept: a pull of 150 MB in few files peaked at 140 MB then, and at 129 MB so.
 */
export function giveFreedMemoryBack(): void {
  if (done || process.platform !== 'linux') return;
  done = true;
  // Other C libraries do not have it, and do not need it.
  if (!hasLibcFunction(prototype)) return;
  mallopt(arenaMax, 1);
  mallopt(mmapThreshold, largeBytes);
  mallopt(trimThreshold, largeBytes);
}
