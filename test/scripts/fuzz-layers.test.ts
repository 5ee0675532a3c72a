import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { fuzzLayers } from '../../scripts/fuzz/fuzz.ts';
import { probeOverlay } from '../../src/lib/overlay.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const corpusDir = fileURLToPath(new URL('../layers', import.meta.url));

test.skipIf(process.platform !== 'linux' || process.getuid?.() !== 0)(
  'mutated layers end as a tree or as a clean error (needs root on Linux)',
  async () => {
    const scratchDir = await temporaryFolder();
    const support = await probeOverlay(scratchDir);
    const report = await fuzzLayers({ corpusDir, scratchDir, support, seed: 1, archives: 250 });
    expect(report.failures).toEqual([]);
    expect(report.unpacked).toBeGreaterThan(50);
    expect(report.refused).toBeGreaterThan(50);
  },
);
