/** `bin/program.cjs` in a package of its own, with a program of a few lines. */
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeEach, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';

const bin = fileURLToPath(new URL('../../bin', import.meta.url));
const isRoot = process.getuid?.() === 0;

/** `later` is called when nothing is loaded any more. */
const main = `
  const { answer } = require('./answer-1.js');
  const later = () => console.log('called later', answer, ...process.argv.slice(2));
  const [, , , chunk] = process.argv;
  setImmediate(() => {
    if (chunk) require('./' + chunk + '-1.js');
    later();
  });
`;

describe('the loader of the program', () => {
  let folder: string;
  let cache: string;
  beforeEach(async () => {
    folder = await temporaryFolder();
    cache = path.join(folder, 'cache');
    cpSync(bin, path.join(folder, 'bin'), { recursive: true });
    build('main-1.js', {
      'main-1.js': main,
      'answer-1.js': 'exports.answer = 42;',
      'left-1.js': '"left";',
      'right-1.js': '"right";',
    });
  });

  function build(entry: string, files: Readonly<Record<string, string>>): void {
    const program = path.join(folder, 'dist/program');
    mkdirSync(program, { recursive: true });
    for (const [name, text] of Object.entries({ ...files, entry })) writeFileSync(path.join(program, name), text);
  }

  const command = () => [path.join(folder, 'bin/lading.cjs')];
  const environment = (more: NodeJS.ProcessEnv = {}) => {
    const { NODE_OPTIONS: _, NODE_COMPILE_CACHE: __, ...inherited } = process.env;
    return { ...inherited, XDG_CACHE_HOME: cache, NODE_DEBUG: 'lading:compiled', ...more };
  };

  function run(args: readonly string[] = ['pull'], more: NodeJS.ProcessEnv = {}) {
    const options = { encoding: 'utf8', env: environment(more), timeout: 30_000 } as const;
    const { status, stdout, stderr } = spawnSync(process.execPath, [...command(), ...args], options);
    expect([status, stdout], stderr).toEqual([0, `called later 42 ${args.join(' ')}\n`]);
    const said = (when: string) =>
      [...stderr.matchAll(/ (\w+)-1\.js: compiled (\w+)/g)].flatMap((match) => (match[2] === when ? [match[1]] : []));
    return { now: said('now'), before: said('before') };
  }

  const compiled = () => path.join(cache, 'lading/compiled');
  const kept = () => readdirSync(compiled()).filter((name) => name !== 'modules');
  const keptFile = (name = 'pull-main-1') => path.join(compiled(), name);

  test('takes what an earlier run of the same command compiled, functions that were called later too', () => {
    expect(run()).toEqual({ now: ['main', 'answer'], before: [] });
    expect(kept()).toEqual(['pull-main-1']);
    expect(statSync(keptFile()).mode & 0o777).toBe(0o600);
    expect(readFileSync(keptFile()).includes('called later')).toBe(true);
    expect(run()).toEqual({ now: [], before: ['main', 'answer'] });
    expect(run(['images'])).toEqual({ now: ['main', 'answer'], before: [] });
    expect(run(['images'])).toEqual({ now: [], before: ['main', 'answer'] });
  });

  test('writes it down three times, as later runs may call other functions', () => {
    const inodes = [1, 2, 3, 4, 5].map(() => {
      run();
      return statSync(keptFile()).ino;
    });
    expect(new Set(inodes.slice(2)).size).toBe(1);
    expect(inodes[0]).not.toBe(inodes[1]);
  });

  test('keeps the files of all runs, not of the last one only', () => {
    for (const chunk of ['left', 'right']) expect(run(['pull', chunk]).now).toContain(chunk);
    for (const chunk of ['left', 'right', 'left']) {
      expect(run(['pull', chunk])).toEqual({ now: [], before: ['main', 'answer', chunk] });
    }
  });

  test.each([
    ['empty', () => Buffer.alloc(0)],
    ['cut', (whole: Buffer) => whole.subarray(0, whole.byteLength / 2)],
    ['zeros', (whole: Buffer) => Buffer.alloc(whole.byteLength)],
    ['no head', (whole: Buffer) => whole.subarray(whole.indexOf('\n'))],
    ['zeros behind the head', (whole: Buffer) => Buffer.from(whole).fill(0, whole.indexOf('\n') + 1)],
    ['another byte', (whole: Buffer) => Buffer.from(whole).fill('~', whole.byteLength / 4, whole.byteLength / 4 + 1)],
    ['zeros in the middle', (whole: Buffer) => Buffer.from(whole).fill(0, whole.byteLength / 4, whole.byteLength / 3)],
  ])('is right when what was kept is damaged: %s', (_, damage) => {
    run();
    writeFileSync(keptFile(), damage(readFileSync(keptFile())));
    expect(run().now).toContain('main');
    expect(run()).toEqual({ now: [], before: ['main', 'answer'] });
  });

  test('takes nothing that others may write', () => {
    run();
    chmodSync(keptFile(), 0o620);
    expect(run().now).toEqual(['main', 'answer']);
    expect(run().before).toEqual(['main', 'answer']);
  });

  test.skipIf(!isRoot)(`takes nothing of another user${isRoot ? '' : ' (skipped: not root)'}`, () => {
    run();
    chownSync(keptFile(), 12345, 12345);
    expect(run().now).toEqual(['main', 'answer']);
    expect(statSync(keptFile()).uid).toBe(0);
    chownSync(compiled(), 12345, 12345);
    for (const _ of [1, 2]) expect(run().now).toEqual(['main', 'answer']);
  });

  test('forgets what it kept of an earlier build', () => {
    run();
    run(['images']);
    build('main-2.js', { 'main-2.js': main });
    run();
    expect(kept().sort()).toEqual(['images-main-1', 'pull-main-2']);
  });

  test('keeps nothing where it may not, or shall not', () => {
    run(['pull'], { NODE_DISABLE_COMPILE_CACHE: '1' });
    expect(existsSync(cache)).toBe(false);
    for (const none of ['/dev/null/none', '/proc/none', path.join(folder, 'none/none')]) {
      run(['pull'], { XDG_CACHE_HOME: none });
    }
    run(['pull'], { XDG_CACHE_HOME: '', HOME: '' });
    run(['pull'], { XDG_CACHE_HOME: 'relative', HOME: path.join(folder, 'none') });
    expect(existsSync('relative')).toBe(false);
    run(['../../pull']);
    run(['--root']);
    expect(kept()).toEqual(['other-main-1']);
  });

  test('leaves nothing behind where it cannot write it all', () => {
    mkdirSync(keptFile(), { recursive: true });
    chmodSync(compiled(), 0o700);
    for (const _ of [1, 2]) expect(run().now).toEqual(['main', 'answer']);
    expect(kept()).toEqual(['pull-main-1']);
  });

  test('is right for several processes at once, and leaves nothing unfinished', async () => {
    const all = Array.from({ length: 6 }, () => {
      const child = spawn(process.execPath, [...command(), 'pull'], { env: environment(), stdio: 'ignore' });
      return new Promise((resolve) => child.once('exit', resolve));
    });
    expect(await Promise.all(all)).toEqual(all.map(() => 0));
    expect(kept()).toEqual(['pull-main-1']);
    expect(run()).toEqual({ now: [], before: ['main', 'answer'] });
  });
});
