import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { CriLog } from '../../src/runtime/cri-log.ts';
import { bytesOf, readLog } from '../support/container.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** The records of one stream that arrives in these chunks. */
async function recordsOf(...chunks: (string | Buffer)[]): Promise<[tag: string, text: string][]> {
  const file = path.join(await temporaryFolder(), 'log');
  await copyTo(file, chunks);
  return (await readLog(file)).map(({ tag, text }) => [tag, text]);
}

async function copyTo(file: string, chunks: readonly (string | Buffer)[]): Promise<void> {
  const log = await CriLog.open(file);
  async function* output() {
    for (const chunk of chunks) yield Buffer.from(chunk);
  }
  await log.copy('stdout', output());
  await log.close();
}

const part = 'x'.repeat(16_384);

describe('records', () => {
  test('one for each line, however the chunks fall', async () => {
    expect(await recordsOf('a', 'b\nc', '', '\n\n', 'd\n')).toEqual([
      ['F', 'ab'],
      ['F', 'c'],
      ['F', ''],
      ['F', 'd'],
    ]);
  });

  test('a line of exactly the limit is whole, one byte more makes a part', async () => {
    expect(await recordsOf(part, '\n')).toEqual([['F', part]]);
    expect(await recordsOf(`${part}\n`)).toEqual([['F', part]]);
    expect(await recordsOf(part, 'y', '\n')).toEqual([
      ['P', part],
      ['F', 'y'],
    ]);
    expect(await recordsOf(`${part}${part}\n`)).toEqual([
      ['P', part],
      ['F', part],
    ]);
  });

  test('output that ends without a newline ends with a part', async () => {
    expect(await recordsOf('a\nb')).toEqual([
      ['F', 'a'],
      ['P', 'b'],
    ]);
    expect(await recordsOf(part)).toEqual([['P', part]]);
    expect(await recordsOf()).toEqual([]);
  });

  test('any bytes come back as they were', async () => {
    const file = path.join(await temporaryFolder(), 'log');
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7919) % 256));
    await copyTo(file, [bytes.subarray(0, 33_333), bytes.subarray(33_333)]);
    expect(Buffer.from(bytesOf(await readLog(file)), 'latin1').equals(bytes)).toBe(true);
  });
});

describe('file', () => {
  test('is appended to', async () => {
    const file = path.join(await temporaryFolder(), 'log');
    await writeFile(file, 'before\n');
    await copyTo(file, ['after\n']);
    expect(await readFile(file, 'utf8')).toMatch(/^before\n\S+ stdout F after\n$/);
  });

  test('that cannot be written does not stop the output', async () => {
    await copyTo('/dev/full', ['a\n', 'b\n']);
  });

  test('in a folder that is not there is an error', async () => {
    await expect(CriLog.open(path.join(await temporaryFolder(), 'no/log'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
