import { expect, test } from 'vitest';
import { CriLogParser } from '../../src/agent/cri-log.ts';

function parse(...chunks: (string | Buffer)[]): { lines: string[]; atEnd: string[] } {
  const lines: string[] = [];
  const parser = new CriLogParser((stream, line) => lines.push(`${stream}:${line}`));
  for (const chunk of chunks) parser.push(Buffer.from(chunk));
  const before = lines.length;
  parser.end();
  return { lines: lines.slice(0, before), atEnd: lines.slice(before) };
}

const record = (rest: string) => `2026-01-01T00:00:00.123456789Z ${rest}\n`;

test('whole lines of both streams, empty ones too', () => {
  const text = record('stdout F one') + record('stderr F  two words ') + record('stdout F ') + record('stdout F');
  expect(parse(text).lines).toEqual(['stdout:one', 'stderr: two words ', 'stdout:', 'stdout:']);
});

test('chunks may end anywhere', () => {
  const text = record('stdout F grüße') + record('stderr F b');
  expect(parse(...[...Buffer.from(text)].map((byte) => Buffer.from([byte]))).lines).toEqual([
    'stdout:grüße',
    'stderr:b',
  ]);
});

test('parts are joined per stream, also inside a character', () => {
  const [first, second] = [Buffer.from('ü').subarray(0, 1), Buffer.from('ü').subarray(1)];
  const part = (bytes: Buffer, tag: string) =>
    Buffer.concat([Buffer.from(`2026-01-01T00:00:00Z stdout ${tag} `), bytes, Buffer.from('\n')]);
  expect(parse(part(first, 'P'), record('stderr F between'), part(second, 'F')).lines).toEqual([
    'stderr:between',
    'stdout:ü',
  ]);
});

test('more tags may follow the first', () => {
  expect(parse(record('stdout P:x one '), record('stdout F:y two')).lines).toEqual(['stdout:one two']);
});

test('what has no end is given at the end', () => {
  expect(parse(record('stdout P half'), '2026-01-01T00:00:00Z stderr F no newline')).toEqual({
    lines: [],
    atEnd: ['stdout:half', 'stderr:no newline'].toSorted(),
  });
});

test('what is not in the format is skipped', () => {
  expect(parse('\n', 'garbage\n', 'a b c d\n', record('stdout F fine')).lines).toEqual(['stdout:fine']);
});

test('a line without end is given in pieces of a bounded size', () => {
  const parts = Array.from({ length: 200 }, () => record(`stdout P ${'x'.repeat(16_384)}`));
  const { lines, atEnd } = parse(...parts);
  expect(lines.map(({ length }) => length)).toEqual(Array(3).fill('stdout:'.length + 1024 * 1024));
  expect(atEnd).toHaveLength(1);
});
