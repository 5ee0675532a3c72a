/** A process that puts one blob from memory: `blob-putter.ts ROOT SIZE`; content as `blob-writer.ts` has it. */

import { BlobStore } from '../../../src/store/blob-store.ts';
import { pattern } from './pattern.ts';

const [root, size] = process.argv.slice(2);
await new BlobStore(root!).put(pattern(Number(size)));
