/** A process that stores one blob: `blob-writer.ts ROOT KEY SIZE [pause]`; content is SIZE bytes of 0, 1, … 250, 0, … */

import { digestOf } from '../../../src/oci/digest.ts';
import { BlobStore } from '../../../src/store/blob-store.ts';
import { pattern } from './pattern.ts';

const [root, key, size, mode] = process.argv.slice(2);
const bytes = pattern(Number(size));
const ingest = await new BlobStore(root!).openIngest(key!);
process.stdout.write(`offset ${ingest.offset}\n`);
for (let at = ingest.offset; at < bytes.byteLength; at += 100_000)
  await ingest.append(bytes.subarray(at, at + 100_000));
if (mode === 'hold') {
  await ingest.flush();
  process.stdout.write('holding\n');
  setInterval(() => {}, 1000);
} else {
  await ingest.commit({ digest: digestOf(bytes), size: bytes.byteLength });
  process.stdout.write('committed\n');
}
