import { appendFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { LogFollower } from '../../src/agent/log-follower.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const record = (text: string) => `2026-01-01T00:00:00Z stdout F ${text}\n`;

async function follow(path: string): Promise<{ follower: LogFollower; lines: string[] }> {
  const lines: string[] = [];
  const follower = new LogFollower(path, (_, line) => lines.push(line));
  onTestFinished(() => follower.close());
  return { follower, lines };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(5);
}

test('gives what is there, what is added, and what comes with a file that appears later', async () => {
  const path = join(await temporaryFolder(), 'app', '0.log');
  const { lines } = await follow(path);
  await mkdir(join(path, '..'));
  await writeFile(path, record('one'));
  await until(() => lines.length === 1);
  await appendFile(path, record('two') + record('three'));
  await until(() => lines.length === 3);
  expect(lines).toEqual(['one', 'two', 'three']);
});

test('a drain gives all that was written before it, however much that is', async () => {
  const path = join(await temporaryFolder(), '0.log');
  const { follower, lines } = await follow(path);
  for (let round = 1; round <= 20; round++) {
    await appendFile(path, record('x'.repeat(1000)).repeat(100));
    await Promise.all([follower.drain(), follower.drain()]);
    expect(lines).toHaveLength(round * 100);
  }
});

test('closing gives the rest, once, and then nothing more', async () => {
  const path = join(await temporaryFolder(), '0.log');
  const { follower, lines } = await follow(path);
  await writeFile(path, `${record('whole')}2026-01-01T00:00:00Z stdout P cut`);
  await follower.close();
  await follower.close();
  await appendFile(path, record('late'));
  await delay(20);
  expect(lines).toEqual(['whole', 'cut']);
});

test('a log that never appears is no error', async () => {
  const { follower, lines } = await follow(join(await temporaryFolder(), 'none.log'));
  await follower.drain();
  await follower.close();
  expect(lines).toEqual([]);
});
