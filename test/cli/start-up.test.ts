import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** Prints the address of every module that is loaded and is not a part of Node. */
const spy = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  registerHooks({
    load(url, context, next) {
      if (url.startsWith('file:')) process.stderr.write(url + '\\n');
      return next(url, context);
    },
  });
`)}`;

function modulesOf(...args: readonly string[]): string[] {
  const { status, stderr } = spawnSync(process.execPath, ['--import', spy, main, ...args], { encoding: 'utf8' });
  expect(status).toBe(0);
  return stderr.trimEnd().split('\n');
}

const cheap = /\/(?:node_modules\/commander|src\/cli|src\/lib\/(?!libc))/;

// What a command-line tool adds to the start of Node is imports: these must not grow.
test.each([[['--help']], [['version']], [['pull', '--help']], [['run', '--help']], [['__complete', '--', 'im']]])(
  'lading %j loads the argument parser and little else',
  (args) => {
    const modules = modulesOf(...args);
    expect(modules.filter((url) => !cheap.test(url))).toEqual([]);
    expect(modules.length).toBeLessThan(25);
  },
);

test('listing what is on the node loads no HTTP client, no runtime and no native code', () => {
  const heavy = /\/(?:node_modules\/(?!commander)|src\/(?:registry|runtime|engine|agent|unpack)\/)/;
  expect(modulesOf('--root', '/nonexistent/lading', 'images').filter((url) => heavy.test(url))).toEqual([]);
});
