// npm run fuzz -- [--seconds N] [--seed N]: unpacks mutations of the layer corpus and looks for anything but the tree that
// the rules make of them or a clean error. Exit code 0: nothing was found, or it cannot run here; 1: something was.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { probeOverlay } from '../src/lib/overlay.ts';
import { fuzzLayers } from './fuzz/fuzz.ts';

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string' } } });
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000));
if (process.getuid?.() !== 0 || process.platform !== 'linux') {
  console.error('fuzz: skipped: owners and devices of layers need root on Linux');
} else process.exitCode = await main();

async function main(): Promise<number> {
  const scratchDir = mkdtempSync(join(tmpdir(), 'lading-fuzz-'));
  const endsAtMs = performance.now() + Number(values.seconds) * 1000;
  try {
    const report = await fuzzLayers({
      corpusDir: fileURLToPath(new URL('../test/layers', import.meta.url)),
      scratchDir,
      support: await probeOverlay(scratchDir),
      seed,
      archives: Number.POSITIVE_INFINITY,
      until: () => performance.now() > endsAtMs,
    });
    for (const failure of report.failures) console.log(failure);
    const { unpacked, refused, failures } = report;
    console.log(`seed ${seed}: ${unpacked} unpacked, ${refused} refused, ${failures.length} failures`);
    return failures.length > 0 ? 1 : 0;
  } finally {
    rmSync(scratchDir, { recursive: true, force: true });
  }
}
