import { hasLibcFunction, libcFunction } from './libc-library.ts';

const malloptPrototype = 'int mallopt(int parameter, int value)';
const mallopt = libcFunction(malloptPrototype);
const mallocTrim = libcFunction('int malloc_trim(size_t pad)');
/** Parameters of glibc: number of arenas; bytes from which a piece is mapped by itself, and kept free at the end. */
const [arenaMax, mmapThreshold, trimThreshold] = [-8, -3, -1];
const largeBytes = 128 * 1024;
/** One call takes a millisecond or two. */
const trimIntervalMs = 150;

let isGlibc: boolean | undefined;

/**
 * Lets the C library give back what was freed, until the result is called. Otherwise each new thread gets an arena of
 * its own, pieces of up to 32 MiB are kept, and what the compiler of V8 had used stays: a pull of 60,000 small files
 * peaked at 183 MB then, and at 150 MB so.
 */
export function giveFreedMemoryBack(): () => void {
  // Other C libraries do not have the calls, and do not need them.
  isGlibc ??= process.platform === 'linux' && limitMalloc();
  if (!isGlibc) return () => undefined;
  const timer = setInterval(() => mallocTrim(0), trimIntervalMs).unref();
  return () => clearInterval(timer);
}

function limitMalloc(): boolean {
  if (!hasLibcFunction(malloptPrototype)) return false;
  mallopt(arenaMax, 1);
  mallopt(mmapThreshold, largeBytes);
  mallopt(trimThreshold, largeBytes);
  return true;
}
