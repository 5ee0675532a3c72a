import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCorpus } from '../../scripts/layers/corpus.ts';
import { missingNeeds } from '../../scripts/layers/host-needs.ts';
import { type Host, runCase } from '../../scripts/layers/run-case.ts';
import { probeOverlay } from '../../src/lib/overlay.ts';
import { UnpackPool } from '../../src/unpack/index.ts';

const corpus = readCorpus(new URL('../layers', import.meta.url).pathname);

describe.skipIf(process.platform !== 'linux' || process.getuid?.() !== 0)('layer corpus (needs root on Linux)', () => {
  let host: Host;
  beforeAll(async () => {
    const scratchDir = await mkdtemp(join(tmpdir(), 'lading-corpus-'));
    host = {
      corpusDir: corpus.dir,
      scratchDir,
      pool: new UnpackPool({ workers: 2 }),
      support: await probeOverlay(scratchDir),
      missingNeeds: missingNeeds(scratchDir),
    };
  });
  afterAll(async () => {
    await host.pool.close();
    await rm(host.scratchDir, { recursive: true, force: true });
  });

  test.for(corpus.cases.map((testCase) => ({ testCase, title: `${testCase.name}: ${testCase.about}` })))(
    '$title',
    async ({ testCase }, { skip }) => {
      const result = await runCase(testCase, host);
      if (result.outcome === 'skipped') skip(result.reason);
      expect(result.outcome === 'failed' ? result.differences : []).toEqual([]);
    },
  );
});
