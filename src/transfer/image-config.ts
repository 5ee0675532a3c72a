import { LadingError } from '../lib/errors.ts';
import type { Descriptor } from '../oci/index.ts';
import { collect } from './verified.ts';

/** @see layers.md L6 */
const maxConfigBytes = 8 * 1024 * 1024;

/**
 * The bytes of an image configuration.
 * @throws LadingError `ERR_LADING_BLOB_TOO_LARGE`, and what `open` throws
 */
export async function collectConfig(
  { digest, size }: Descriptor,
  open: () => AsyncIterable<Uint8Array>,
): Promise<Uint8Array> {
  if (size <= maxConfigBytes) return collect(open());
  throw new LadingError(
    'ERR_LADING_BLOB_TOO_LARGE',
    `configuration ${digest} has ${size} bytes, at most ${maxConfigBytes} are read`,
  );
}
