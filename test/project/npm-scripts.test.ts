import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
