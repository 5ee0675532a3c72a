import { chunkPasses } from './young-objects.ts';

/**
 * Gives the memory of a chunk back at once; nobody may use the chunk any more. The garbage collector would do it too,
 * but it sees the small object and not the bytes behind it: while a large body streams by it lets 50 MiB pile up,
 * measured with chunks of 64 KiB. A slice of a larger buffer must be left to it.
 */
export function freeMemory(chunk: Uint8Array): void {
  const { buffer, byteLength } = chunk;
  if (buffer instanceof ArrayBuffer && byteLength === buffer.byteLength) buffer.transfer(0);
  else chunkPasses(byteLength);
}
