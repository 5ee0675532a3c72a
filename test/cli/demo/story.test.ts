import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { setStage } from '../../../src/cli/demo/story.ts';
import { chooseRuntime } from '../../../src/cli/node.ts';
import type { ContainerRuntime } from '../../../src/runtime/index.ts';

test.skipIf(process.getuid?.() !== 0)('a runtime that is slower than its containers is waited for (root)', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'lading-story-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const { runtime } = await chooseRuntime(folder);
  const slow: ContainerRuntime = {
    ...runtime,
    start: async (container) => {
      const running = await runtime.start(container);
      await sleep(1000);
      return running;
    },
    cleanUp: (id, bundleDir) => runtime.cleanUp(id, bundleDir),
  };
  const stage = await setStage(folder, slow);
  try {
    const [first, restarts] = stage.steps;
    await first!.act();
    const starts = await restarts!.act();
    expect(starts.map(({ pod, printed }) => [pod, printed])).toEqual([
      ['if-not-present', 'img1 1.1.0'],
      ['never', 'img1 1.1.0'],
      ['always', 'img1 1.2.0'],
    ]);
  } finally {
    await stage.close();
  }
});
