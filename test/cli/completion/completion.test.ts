import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { describe, expect, onTestFinished, test } from 'vitest';
import { complete } from '../../../src/cli/completion/candidates.ts';
import { completionScripts, shells } from '../../../src/cli/completion/scripts.ts';
import { ladingCommand, runLading } from '../../support/lading-process.ts';

describe('candidates', () => {
  test.each([
    [[''], ['images', 'registry', 'explain']],
    [['im'], ['images']],
    [
      ['sail', ''],
      ['images', 'registry', 'explain'],
    ],
    [
      ['images', '-'],
      ['--output', '--help', '--root'],
    ],
    [
      ['images', '-o', ''],
      ['table', 'json'],
    ],
    [['images', '--output', 'j'], ['json']],
    [['images', '--output=j'], ['--output=json']],
    [
      ['images', '-o='],
      ['-o=table', '-o=json'],
    ],
    [['images', '--none=j'], []],
    [['images', '--', '--output=j'], []],
    [
      ['images', ''],
      ['nginx:1.27 of node', 'alpine of node'],
    ],
    [
      ['--root', '/n', 'images', ''],
      ['nginx:1.27 of /n', 'alpine of /n'],
    ],
    [['--root=/n', 'images', 'al'], ['alpine of /n']],
    [['images', 'alpine of node', ''], ['nginx:1.27 of node']],
    [['images', '--', '-'], []],
    [['registry', ''], ['serve']],
    [
      ['registry', 'serve', '--'],
      ['--addr', '--help', '--root'],
    ],
    [['registry', 'serve', '--addr', ''], []],
    [['registry', 'serve', 'x'], []],
  ])('for %j', async (words, expected) => {
    const completion = await complete(program(), words, sources);
    expect(completion).toMatchObject({ kind: 'words' });
    if (completion.kind === 'words') expect(completion.candidates.map(({ value }) => value)).toEqual(expected);
  });

  test('an argument that is a file or an image is completed as an image where one fits, else as a file', async () => {
    expect(await complete(program(), ['explain', 'al'], sources)).toMatchObject({
      candidates: [{ value: 'alpine of node' }],
    });
    expect(await complete(program(), ['explain', 'pod'], sources)).toEqual({ kind: 'files' });
  });

  test.each([
    [
      ['retry', ''],
      ['web-of-node', 'db'],
    ],
    [['--root', '/n', 'retry', 'w'], ['web-of-/n']],
    [['retry', 'db', ''], ['web-of-node']],
    [['retry', '--pod', 'd'], ['db']],
  ])('of pods, for %j', async (words, expected) => {
    const completion = await complete(program(), words, sources);
    if (completion.kind === 'words') expect(completion.candidates.map(({ value }) => value)).toEqual(expected);
    else expect(completion.kind).toBe('words');
  });

  test('a directory is asked for with folders', async () => {
    expect(await complete(program(), ['images', '--root', ''], sources)).toEqual({ kind: 'folders' });
    expect(await complete(program(), ['images', '--root=x'], sources)).toEqual({ kind: 'folders' });
  });

  const sources = {
    define: async (command: Command) => {
      if (command.name() === 'registry') command.helpCommand(false).command('serve').option('--addr <host:port>', '');
      else if (command.name() === 'explain') command.argument('<file|image...>');
      else if (command.name() === 'retry') command.argument('<pod...>').option('--pod <pod>', '');
      else command.argument('[image...]').addOption(new Option('-o, --output <format>', '').choices(['table', 'json']));
    },
    imageNames: async ({ root = 'node', prefix }: { root?: string | undefined; prefix: string }) =>
      [`nginx:1.27 of ${root}`, `alpine of ${root}`].filter((name) => name.startsWith(prefix)),
    podNames: async ({ root = 'node' }: { root?: string | undefined }) => [`web-of-${root}`, 'db', 'db'],
  };

  function program(): Command {
    const program = new Command('lading').helpCommand(false).option('--root <dir>', '');
    program.configureHelp({ showGlobalOptions: true });
    program.command('images');
    program.command('registry');
    program.command('explain');
    program.command('retry', { hidden: true });
    return program;
  }
});

test.each(shells)('lading completion %s prints the script', async (shell) => {
  expect(await runLading(['completion', shell])).toEqual({ exitCode: 0, stdout: completionScripts[shell], stderr: '' });
});

test('another shell is wrong usage', async () => {
  const { exitCode, stderr } = await runLading(['completion', 'tcsh']);
  expect(exitCode).toBe(2);
  expect(stderr).toContain('Allowed choices are bash, zsh, fish.');
});

const hasBash = spawnSync('bash', ['--version']).status === 0;
test.skipIf(!hasBash)('bash completes (skipped where it is not installed)', () => {
  const folder = folderWithLading();
  const lines = [
    'lading hist',
    'lading images -o ',
    'lading images -o=j',
    'lading --config a\\ b ima',
    'lading registry gc --',
    'lading registry serve --addr=x:',
  ];
  const script = `
    source <(lading completion bash)
    for line in ${lines.map((line) => `'${line}'`).join(' ')}; do
      COMP_LINE="$line" COMP_POINT=\${#line}
      _lading
      echo "\${COMPREPLY[*]}"
    done`;
  const { stdout, stderr } = spawnSync('bash', ['-c', script], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
  });
  expect(stderr).toBe('');
  expect(stdout.split('\n')).toEqual([
    'history',
    'table wide json yaml',
    'json',
    'images',
    '--dry-run --layout --grace --output --help --root --config --verbose --no-color --version',
    '',
    '',
  ]);
});

const hasTerminals = hasBash && spawnSync('script', ['--version']).status === 0;
test.skipIf(!hasTerminals)(
  'bash completes names of files with blanks (needs script)',
  { timeout: 30_000 },
  async () => {
    const folder = folderWithLading();
    writeFileSync(join(folder, 'my pod.yaml'), '');
    const shell = spawn('script', ['-qefc', 'bash --norc --noprofile -i', '/dev/null'], {
      cwd: folder,
      env: { ...process.env, PATH: `${folder}:${process.env.PATH}`, TERM: 'dumb', HOME: folder },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const closed = once(shell, 'close');
    let output = '';
    shell.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    const type = async (keys: string, shown: string) => {
      output = '';
      shell.stdin.write(keys);
      await expect.poll(() => output, { timeout: 10_000 }).toContain(shown);
    };
    try {
      await type('source <(lading completion bash); echo is"" ready\n', 'is ready');
      await type('lading run my\\ p\t', 'my\\ pod.yaml');
      await type('\u0015lading --config=my\\ p\t', '--config=my\\ pod.yaml');
    } finally {
      shell.stdin.end('\u0015exit\n');
      await closed;
    }
  },
);

/** A folder with a program `lading` to be found on the PATH. */
function folderWithLading(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lading-completion-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const command = ladingCommand.map((word) => `'${word}'`).join(' ');
  writeFileSync(join(folder, 'lading'), `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
  return folder;
}
