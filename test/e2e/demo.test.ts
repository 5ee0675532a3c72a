import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { ladingCommand, runLading, startLading } from '../support/lading-process.ts';

/** What the tables say, row by row: node, pod, decision, requests, what the container printed. */
const story = [
  ['worker-1', 'never', 'not on the node: refused', '0', 'nothing: ErrImageNeverPull'],
  ['worker-1', 'always', 'asked, downloaded', '5', 'img1 1.1.0'],
  ['worker-1', 'if-not-present', 'on the node: not asked', '0', 'img1 1.1.0'],
  ['worker-1', 'never', 'on the node: not asked', '0', 'img1 1.1.0'],
  ['worker-1', 'if-not-present', 'on the node: not asked', '0', 'img1 1.1.0'],
  ['worker-1', 'never', 'on the node: not asked', '0', 'img1 1.1.0'],
  ['worker-1', 'always', 'asked, downloaded', '4', 'img1 1.2.0'],
  ['worker-2', 'if-not-present', 'on the node: not asked', '0', 'img1 1.0.0'],
  ['worker-2', 'never', 'on the node: not asked', '0', 'img1 1.0.0'],
  ['worker-2', 'always', 'asked, downloaded', '4', 'img1 1.2.0'],
  ['worker-2', 'if-not-present', 'on the node: not asked', '0', 'img1 1.2.0'],
  ['worker-2', 'never', 'on the node: not asked', '0', 'img1 1.2.0'],
  ['worker-2', 'always', 'asked, no answer', expect.stringMatching(/^\d+$/), 'nothing: RegistryUnavailable'],
  ['worker-1', 'no-tag', 'asked, had it all', '1', 'img1 1.2.0'],
  ['worker-1', 'tag-1.1.0', 'not on the node: asked, had it all', '1', 'img1 1.1.0'],
  ['worker-1', 'digest-1.0.0', 'not on the node: asked, downloaded', '3', 'img1 1.0.0'],
  ['worker-2', 'no-tag', 'asked, had it all', '1', 'img1 1.2.0'],
  ['worker-2', 'tag-1.1.0', 'not on the node: asked, downloaded', '4', 'img1 1.1.0'],
  ['worker-2', 'digest-1.0.0', 'on the node: not asked', '0', 'img1 1.0.0'],
];

test.skipIf(process.getuid?.() !== 0)('the demo tells its story with real containers (root)', async () => {
  const { exitCode, stdout } = await runLading(['demo']);
  expect(exitCode).toBe(0);
  const rows = stdout
    .split('\n')
    .filter((line) => /^worker-\d {3}/.test(line))
    .map((line) => line.split(/ {3,}/))
    .map(([node, pod, , decision, , requests, , printed]) => [node, pod, decision, requests, printed]);
  expect(rows).toEqual(story);
  expect(stdout).toContain('What is "local"?');
  expect(existsSync(folderIn(stdout))).toBe(false);
});

test.skipIf(process.getuid?.() !== 0)('--keep leaves the nodes to explore (root)', async () => {
  const { stdout } = await runLading(['demo', '--keep']);
  const folder = folderIn(stdout);
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const [, name = ''] = /history (\S+)/.exec(stdout) ?? [];
  const history = await runLading(['--root', `${folder}/worker-2`, 'history', name, '-o', 'json']);
  expect(JSON.parse(history.stdout)).toHaveLength(2);
  expect((await runLading(['--root', `${folder}/worker-1`, 'check'])).exitCode).toBe(0);
  const explained = await runLading(['--root', `${folder}/worker-2`, 'explain', `${folder}/pods.yaml`, '-o', 'json']);
  const { items } = JSON.parse(explained.stdout);
  expect(items.map(({ pod, policy }: { pod: string; policy: string }) => [pod, policy])).toEqual([
    ['if-not-present', 'IfNotPresent'],
    ['never', 'Never'],
    ['always', 'Always'],
  ]);
});

test('--step needs a terminal', async () => {
  const { exitCode, stdout, stderr } = await runLading(['demo', '--step'], { stdin: '\n\n' });
  expect([exitCode, stdout]).toEqual([2, '']);
  expect(stderr).toBe('error: there is no terminal to wait for Enter at\nhint: Leave out --step.\n');
});

const hasTerminals = process.getuid?.() === 0 && spawnSync('script', ['--version']).status === 0;
test.skipIf(!hasTerminals).each([
  ['Ctrl-C', '\u0003', 130, 'interrupted'],
  ['Ctrl-D', '\u0004', 2, 'the input ended without an answer'],
])('--step can be ended by %s; texts fit the terminal (root, needs script)', async (_, key, exitCode, said) => {
  const command = [
    'script',
    '-qefc',
    `stty cols 60; exec ${ladingCommand.map((word) => `'${word}'`).join(' ')} demo --step`,
  ];
  const child = startLading(['/dev/null'], { command, keepStdin: true });
  const closed = once(child, 'close');
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    if (!output.includes('Enter goes on') && (output + text).includes('Enter goes on')) child.stdin!.write(key);
    output += text;
  });
  expect([await closed, output.includes('This is a bug')]).toEqual([[exitCode, null], false]);
  expect(output).toContain(said);
  expect(output).toContain('"Local" means this\r\n');
  expect(existsSync(folderIn(output))).toBe(false);
});

function folderIn(stdout: string): string {
  const [, folder = ''] = /all below (\S+)/.exec(stdout) ?? [];
  expect(folder).toContain('lading-demo-');
  return folder;
}
