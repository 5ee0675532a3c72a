import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { ladingEnvironment } from '../support/lading-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('files named behind `npm run lading --` are those of the folder where the user is', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lading-npm-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'none.yaml'), 'kind: Service\napiVersion: v1\n');
  // As npm does it: it goes to the root of the repository, and tells where it was.
  const { stderr } = spawnSync(process.execPath, ['scripts/run.mjs', 'src/cli/main.ts', 'explain', 'none.yaml'], {
    cwd: root,
    env: { ...ladingEnvironment(), INIT_CWD: folder },
    encoding: 'utf8',
  });
  expect(stderr).toContain('error: none.yaml asks for no pod');
});

test('two set-ups at the same time do not disturb each other, and remove what a killed one has left', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lading-npm-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [clone, programs] = [join(folder, 'clone'), join(folder, 'bin')];
  for (const each of [clone, programs, join(clone, 'node_modules.2147483647')]) mkdirSync(each, { recursive: true });
  for (const name of ['package.json', 'package-lock.json']) writeFileSync(join(clone, name), '{}');
  // Like npm, it cannot work in a folder in which another one works.
  const npm =
    '#!/bin/sh\nmkdir busy || exit 1\nsleep 1\nmkdir node_modules\ncp package.json node_modules/.package-lock.json\n';
  writeFileSync(join(programs, 'npm'), npm, { mode: 0o755 });
  const program = `import { ensurePackages } from '${join(root, 'bin', 'toolchain.mjs')}'; ensurePackages('${clone}');`;
  const env = { ...process.env, PATH: `${programs}:${process.env.PATH}` };
  const setUp = () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], { env, stdio: 'ignore' });
    return once(child, 'exit');
  };
  expect(await Promise.all([setUp(), setUp()])).toEqual([
    [0, null],
    [0, null],
  ]);
  expect(readdirSync(clone).sort()).toEqual(['node_modules', 'package-lock.json', 'package.json']);
  expect(existsSync(join(clone, 'node_modules', '.package-lock.json'))).toBe(true);
});

test('a home that cannot be written to is told without a stack', () => {
  const program = `
    Object.defineProperty(process.versions, 'node', { value: '20.0.0' });
    const { ensureNode } = await import('${join(root, 'bin', 'toolchain.mjs')}');
    ensureNode();`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...process.env, HOME: fileURLToPath(import.meta.url), XDG_CACHE_HOME: '' },
    encoding: 'utf8',
  });
  expect(status).toBe(1);
  const [, message] = stderr.split('\n');
  expect(message).toMatch(
    /^lading: ENOTDIR: .*mkdir .*Set HOME to a folder that you may write to, or install Node\.js 24/,
  );
  expect(stderr).not.toContain('at ensureNode');
});
