import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startHostileServer } from '../../support/hostile-server.ts';
import { ladingCommand, RunningLading, runLading } from '../../support/lading-process.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const hasScript = spawnSync('script', ['--version']).status === 0;

/** A registry that accepts connections and answers, 404, only when it is told to. */
async function startSlowRegistry() {
  let answer = () => {};
  const told = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const server = await startHostileServer((_, response) => void told.then(() => response.writeHead(404).end()));
  onTestFinished(() => server.close());
  return { address: server.address, answer };
}

test.skipIf(!hasScript)('a terminal is told what a silent registry is asked (needs script of util-linux)', async () => {
  const { address, answer } = await startSlowRegistry();
  const folder = await temporaryFolder();
  const explain = [...ladingCommand, '--root', path.join(folder, 'node'), 'explain', '-o', 'json', `${address}/app:1`];
  const file = path.join(folder, 'out.json');
  const command = ['script', '-qec', `${explain.join(' ')} > ${file}`, '/dev/null'];
  const running = new RunningLading([], { command, env: { TERM: 'xterm' } });
  await running.prints(`waiting for the registry to say what ${address}/app:1 is\r\n`);
  answer();
  expect(await running.ended).toMatchObject({ exitCode: 1 });
  expect(running.stdout).toBe(`waiting for the registry to say what ${address}/app:1 is\r\n`);
  expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ items: [{ image: `${address}/app:1` }] });
});

test('who is no terminal is told nothing', async () => {
  const { address, answer } = await startSlowRegistry();
  const folder = await temporaryFolder();
  setTimeout(answer, 3000);
  const { exitCode, stdout, stderr } = await runLading(['--root', folder, 'explain', '-o', 'json', `${address}/app:1`]);
  expect([exitCode, stderr]).toEqual([1, '']);
  expect(JSON.parse(stdout)).toMatchObject({ items: [{ image: `${address}/app:1` }] });
});
