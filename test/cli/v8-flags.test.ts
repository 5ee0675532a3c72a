import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test('compiled code fits again at the end: the flags are then as they were', async () => {
  const script = `
    import { cachedDataVersionTag } from 'node:v8';
    import { makeV8Lean } from ${JSON.stringify(new URL('../../src/cli/v8-flags.ts', import.meta.url).href)};
    const tags = [cachedDataVersionTag()];
    makeV8Lean();
    tags.push(cachedDataVersionTag());
    process.once('exit', () => console.log(JSON.stringify([...tags, cachedDataVersionTag()])));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  const [before, lean, after] = JSON.parse(stdout) as number[];
  expect(lean).not.toBe(before);
  expect(after).toBe(before);
});
