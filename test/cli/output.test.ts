import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import type { Cli } from '../../src/cli/cli.ts';
import {
  type Column,
  fitted,
  formatTable,
  type ListFormat,
  oneLine,
  printable,
  printList,
  wrapped,
} from '../../src/cli/output.ts';

interface Ship {
  readonly name: string;
  readonly cargo: string | undefined;
}

const ships: readonly Ship[] = [
  { name: 'Preussen', cargo: 'saltpetre' },
  { name: 'Wyoming', cargo: undefined },
];
const columns: readonly Column<Ship>[] = [
  { header: 'NAME', value: ({ name }) => name },
  { header: 'CARGO', value: ({ cargo }) => cargo ?? '', wide: true },
];

test('a table has three blanks between its columns and none behind the last', async () => {
  expect(
    await formatTable([
      ['A', 'LONG HEADER', 'C'],
      ['longer', 'x', ''],
    ]),
  ).toBe('A        LONG HEADER   C\nlonger   x\n');
});

test('wide characters take two places', async () => {
  expect(
    await formatTable([
      ['荷物', 'b'],
      ['cargo', 'b'],
    ]),
  ).toBe('荷物    b\ncargo   b\n');
});

test.each([
  ['table', 'NAME\nPreussen\nWyoming\n'],
  ['wide', 'NAME       CARGO\nPreussen   saltpetre\nWyoming\n'],
  ['json', '[\n  {\n    "name": "Preussen",\n    "cargo": "saltpetre"\n  },\n  {\n    "name": "Wyoming"\n  }\n]\n'],
  ['yaml', '- name: Preussen\n  cargo: saltpetre\n- name: Wyoming\n'],
] satisfies [ListFormat, string][])('lists as %s', async (format, expected) => {
  expect(await listed(ships, { format, headers: true })).toEqual({ stdout: expected, stderr: '' });
});

test('headers can be left out', async () => {
  expect(await listed(ships, { format: 'table', headers: false })).toEqual({
    stdout: 'Preussen\nWyoming\n',
    stderr: '',
  });
});

test('an empty table is a sentence on stderr, an empty document an empty array', async () => {
  expect(await listed([], { format: 'table', headers: true })).toEqual({ stdout: '', stderr: 'No ships.\n' });
  expect(await listed([], { format: 'json', headers: true })).toEqual({ stdout: '[]\n', stderr: '' });
});

test('what a terminal would obey is taken out of foreign text', () => {
  expect(printable('a\u001b[31mb\u001b]0;title\u0007c\u0008\u009b1md\n\te')).toBe('abcd\n\te');
  expect(oneLine('a\n b\t\u001b[2Jc')).toBe('a b c');
  expect(oneLine('app:\u202egnp\u2066')).toBe('app:gnp');
});

test('a word that is longer than a line is not broken', () => {
  expect(wrapped('a verylongword b', 5)).toBe('a\nverylongword\nb');
});

test('lines are broken where a terminal is narrower, and nowhere else', () => {
  const text = `  name   ${'word '.repeat(8).trim()}\n  short`;
  const on = (terminal: object) => fitted(text, 9, terminal as NodeJS.WriteStream);
  expect(on({ isTTY: true, columns: 40 })).toBe('  name   word word word word word word\n         word word\n  short');
  for (const terminal of [{ isTTY: true, columns: 80 }, { isTTY: true, columns: 0 }, { isTTY: true, columns: 20 }, {}])
    expect(on(terminal)).toBe(text);
});

async function listed(rows: readonly Ship[], options: { format: ListFormat; headers: boolean }) {
  const stdout = new PassThrough({ encoding: 'utf8' });
  const stderr = new PassThrough({ encoding: 'utf8' });
  await printList({ stdout, stderr } as unknown as Cli, rows, { ...options, columns, empty: 'No ships.' });
  return { stdout: (stdout.read() as string | null) ?? '', stderr: (stderr.read() as string | null) ?? '' };
}
