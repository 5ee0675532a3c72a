import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandTable } from '../../src/cli/commands/index.ts';
import { runLading } from '../support/lading-process.ts';

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'lading-cli-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const visible = commandTable.filter(({ hidden }) => !hidden);

describe('help', () => {
  test.each([[[]], [['--help']], [['help']], [['-h']]])('lading %j lists every command', async (args) => {
    const { exitCode, stdout, stderr } = await runLading(args);
    expect([exitCode, stderr]).toEqual([0, '']);
    for (const { name, summary } of visible) expect(stdout).toMatch(new RegExp(`^ {2}${name} +${summary}$`, 'm'));
    expect(stdout).not.toContain('__complete');
  });

  const subcommands = ['config view', 'config hosts', 'registry serve', 'registry gc'];
  test.each([...visible.map(({ name }) => name), ...subcommands])(
    'lading %s --help has an example, and lines of at most 80 columns',
    async (name) => {
      const { exitCode, stdout, stderr } = await runLading([...name.split(' '), '--help']);
      expect([exitCode, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(/^Usage: lading /);
      const example = name === 'config view' ? 'config' : name;
      expect(stdout).toMatch(new RegExp(`\nExamples:\n {2}# .+\n {2}.*lading ${example}`));
      expect(stdout).toContain('--root <dir>');
      expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
    },
  );

  test('lading help COMMAND is lading COMMAND --help', async () => {
    expect(await runLading(['help', 'images'])).toEqual(await runLading(['images', '--help']));
  });
});

describe('wrong usage ends with exit code 2 and a hint', () => {
  test.each([
    [['imgaes'], "unknown command 'imgaes'", 'did you mean images?'],
    [['juggle'], "unknown command 'juggle'", '`lading --help` shows how to use it.'],
    [['images', '--outptu', 'json'], "unknown option '--outptu'", 'did you mean --output?'],
    [['images', '--sail'], "unknown option '--sail'", '`lading images --help` shows how to use it.'],
    [['history'], "missing required argument 'image'", '`lading history --help` shows how to use it.'],
    [['version', 'now'], 'too many arguments', '`lading version --help` shows how to use it.'],
    [
      ['images', '-o', 'xml'],
      "argument 'xml' is invalid. Allowed choices are table, wide, json, yaml.",
      '`lading images',
    ],
    [['history', 'Nginx'], 'repository name (library/Nginx) must be lowercase', 'did you mean "nginx"?'],
    [['registry', 'serve', '--addr', 'here'], 'cannot listen on "here"', 'An address is HOST:PORT'],
    [['registry', 'serve', '--sail'], "unknown option '--sail'", '`lading registry serve --help` shows how to use it.'],
    [['registry', 'serf'], "unknown command 'serf'", 'did you mean serve?'],
    [['config', 'hots'], "unknown command 'hots'", 'did you mean hosts?'],
    [['du'], "unknown command 'du'", 'did you mean df?'],
    [['serve'], "unknown command 'serve'", 'did you mean registry serve?'],
    [['logs', 'web'], "unknown command 'logs'", 'Containers belong to the `lading run` that started them'],
    [['help', 'juggle'], "unknown command 'juggle'", '`lading --help` shows how to use it.'],
    [['juggle', '--help'], "unknown command 'juggle'", '`lading --help` shows how to use it.'],
    [['run', '--grace-period', 'x', '-'], "'x' is invalid. Give a whole number of seconds.", '`lading run --help`'],
    [['registry', 'serve', '--tls-cert', 'x'], '--tls-cert and --tls-key need', '`lading registry serve --help` shows'],
    [['--kubelet-registry-burst', 'x', 'config'], 'flag --kubelet-registry-burst: ', '`lading config --help`'],
  ])('lading %j', async (args, message, hint) => {
    const { exitCode, stdout, stderr } = await runLading(['--root', root, ...args]);
    expect([exitCode, stdout]).toEqual([2, '']);
    const lines = stderr.split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/^error: /);
    expect(lines[0]).toContain(message);
    expect(lines[1]).toMatch(/^hint: /);
    expect(lines[1]).toContain(hint);
  });

  test('a command that needs a subcommand shows its help on stderr', async () => {
    const { exitCode, stdout, stderr } = await runLading(['registry']);
    expect([exitCode, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^Usage: lading registry /);
  });
});

test('what fails ends with exit code 1; -v adds the code', async () => {
  const { exitCode, stdout, stderr } = await runLading(['--root', root, '-v', 'history', 'nginx']);
  expect([exitCode, stdout]).toEqual([1, '']);
  expect(stderr).toBe(
    `error: docker.io/library/nginx:latest has never meant an image on this node (${root})\n` +
      'hint: `lading images` lists the names on this node.\n' +
      'code: ERR_LADING_NAME_UNKNOWN\n',
  );
});

test('--root and LADING_ROOT select the node, also behind the command', async () => {
  const other = join(root, 'other');
  const env = { LADING_ROOT: other };
  expect((await runLading(['images'], { env })).stderr).toBe(`No images on this node (${other}).\n`);
  expect((await runLading(['images', '--root', root], { env })).stderr).toBe(`No images on this node (${root}).\n`);
});

test('-o=FORMAT is -o FORMAT, as for kubectl', async () => {
  expect(await runLading(['--root', root, 'images', '-o=json'])).toEqual({ exitCode: 0, stdout: '[]\n', stderr: '' });
});

test('version', async () => {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  expect(await runLading(['version'])).toEqual({ exitCode: 0, stdout: `lading ${version}\n`, stderr: '' });
  expect(await runLading(['--version'])).toEqual({ exitCode: 0, stdout: `${version}\n`, stderr: '' });
  const { stdout } = await runLading(['version', '-o', 'json']);
  expect(JSON.parse(stdout)).toMatchObject({ lading: version, node: process.version, platform: process.platform });
});

test('colours only where they are wanted', async () => {
  const red = '\u001b[31m';
  expect((await runLading(['sail'])).stderr).not.toContain(red);
  expect((await runLading(['sail'], { env: { FORCE_COLOR: '1' } })).stderr).toContain(red);
  expect((await runLading(['--no-color', 'sail'], { env: { FORCE_COLOR: '1' } })).stderr).not.toContain(red);
  expect((await runLading(['sail'], { env: { NO_COLOR: '1' } })).stderr).not.toContain(red);
});

test.skipIf(!existsSync('/dev/full'))('a result that cannot be written is a failure (needs /dev/full)', () => {
  const full = openSync('/dev/full', 'w');
  const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [main, 'version'], {
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
  });
  closeSync(full);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^error: cannot write the result: ENOSPC/);
});
