import { expect, test } from 'vitest';
import { chunkPasses } from '../../src/lib/young-objects.ts';

test('chunks that nobody uses any more do not pile up', () => {
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for (let count = 0; count < 2048; count += 1) {
    chunkPasses(new Uint8Array(64 * 1024).fill(1).byteLength);
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  expect(most).toBeLessThan(32 * 1024 * 1024);
});
