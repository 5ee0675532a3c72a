import { UnpackPool } from './pool.ts';
import type { LayerDirectory } from './stack.ts';

/**
 * Makes the root file system of a chain by copying its unpacked layers, with the same result as a mount of them, in a
 * thread of its own.
 * @param layers bottom first
 * @param targetDir an existing empty directory
 * @throws LadingError `ERR_LADING_DISK_FULL`, `ERR_LADING_UNPACK_IO`; the reason of the signal when it was aborted
 */
export async function mergeByCopy(
  layers: readonly LayerDirectory[],
  targetDir: string,
  options: { signal?: AbortSignal | undefined; onProgress?: (bytes: number) => void } = {},
): Promise<void> {
  const pool = new UnpackPool({ workers: 1 });
  try {
    await pool.merge({ layers, targetDir }, options);
  } finally {
    await pool.close();
  }
}
