import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test('the flags are as they were, and compiled code fits, while threads load modules and at the end', async () => {
  const script = `
    import { channel } from 'node:diagnostics_channel';
    import { cachedDataVersionTag } from 'node:v8';
    import { makeV8Lean } from ${JSON.stringify(new URL('../../src/cli/v8-flags.ts', import.meta.url).href)};
    const tags = [cachedDataVersionTag()];
    makeV8Lean();
    tags.push(cachedDataVersionTag());
    for (const change of [1, 1, -1, -1]) {
      channel('lading:compiling').publish({ change });
      tags.push(cachedDataVersionTag());
    }
    process.once('exit', () => console.log(JSON.stringify([...tags, cachedDataVersionTag()])));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  const [before, lean, ...later] = JSON.parse(stdout) as number[];
  expect(lean).not.toBe(before);
  expect(later).toEqual([before, before, before, lean, before]);
});
