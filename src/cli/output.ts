/** What commands print on stdout: tables in the style of kubectl, JSON and YAML. */
import { stripVTControlCharacters } from 'node:util';
import { Option } from 'commander';
import type { Cli } from './cli.ts';

export type ListFormat = 'table' | 'wide' | 'json' | 'yaml';
export type DocumentFormat = Extract<ListFormat, 'json' | 'yaml'>;

export interface Column<Row> {
  readonly header: string;
  readonly value: (row: Row) => string;
  /** Shown with `-o wide` only, or only without it. */
  readonly wide?: boolean;
}

export interface ListOptions<Row> {
  readonly format: ListFormat;
  /** `--no-headers` gives false. */
  readonly headers: boolean;
  readonly columns: readonly Column<Row>[];
  /** Said on stderr instead of an empty table. */
  readonly empty: string;
}

/** `-o` of commands that list. */
export function listFormatOption(): Option {
  return new Option('-o, --output <format>', 'output format')
    .choices(['table', 'wide', 'json', 'yaml'] satisfies ListFormat[])
    .default('table');
}

/** `-o` of commands whose result is one document, or text for people when the option is left out. */
export function documentFormatOption(): Option {
  return new Option('-o, --output <format>', 'output format').choices(['json', 'yaml'] satisfies DocumentFormat[]);
}

export function noHeadersOption(): Option {
  return new Option('--no-headers', 'leave out the line with the names of the columns').default(true);
}

/** Prints rows as a table, or as an array of documents. */
export async function printList<Row>(cli: Cli, rows: readonly Row[], options: ListOptions<Row>): Promise<void> {
  const { format, headers, columns, empty } = options;
  if (format === 'json' || format === 'yaml') return printDocument(cli, rows, format);
  if (rows.length === 0) {
    cli.stderr.write(`${empty}\n`);
    return;
  }
  const shown = columns.filter(({ wide }) => wide === undefined || wide === (format === 'wide'));
  const lines = rows.map((row) => shown.map(({ value }) => oneLine(value(row))));
  if (headers) lines.unshift(shown.map(({ header }) => header));
  cli.stdout.write(await formatTable(lines));
}

export async function printDocument(
  { stdout }: Pick<Cli, 'stdout'>,
  document: unknown,
  format: DocumentFormat,
): Promise<void> {
  if (format === 'json') {
    stdout.write(`${JSON.stringify(document, undefined, 2)}\n`);
    return;
  }
  const { stringify } = await import('yaml');
  // Through JSON first, so that both formats leave out the same.
  stdout.write(stringify(JSON.parse(JSON.stringify(document))));
}

/** Columns as wide as their widest cell, three blanks between them, nothing behind the last. */
export async function formatTable(lines: readonly (readonly string[])[]): Promise<string> {
  const width = await widthFunction(lines);
  const widths: number[] = [];
  for (const cells of lines) {
    for (const [column, cell] of cells.entries()) widths[column] = Math.max(widths[column] ?? 0, width(cell));
  }
  return lines
    .map((cells) => {
      const padded = cells.map((cell, column) => cell + ' '.repeat(widths[column]! - width(cell)));
      return `${padded.join('   ').trimEnd()}\n`;
    })
    .join('');
}

/** Lines of at most `width` columns, broken at blanks; a longer word has a line of its own. */
export function wrapped(text: string, width: number): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join('\n');
}

/** Less room than this beside an indent is none. */
const narrowestText = 20;

/** Lines that are wider than a terminal, broken at blanks, with `indent` blanks before what follows. */
export function fitted(text: string, indent: number, { isTTY, columns }: NodeJS.WriteStream): string {
  const room = isTTY ? columns - indent : Number.NaN;
  if (!(room >= narrowestText)) return text;
  const between = `\n${' '.repeat(indent)}`;
  const broken = (line: string) => line.slice(0, indent) + wrapped(line.slice(indent), room).replaceAll('\n', between);
  return text
    .split('\n')
    .map((line) => (line.length <= columns ? line : broken(line)))
    .join('\n');
}

/** Text from elsewhere (registries, images) on one line, without what a terminal would obey. */
export function oneLine(text: string): string {
  return printable(text).replace(/\s+/g, ' ');
}

/** Text from elsewhere without what a terminal would obey, or would show in another order; line ends stay. */
export function printable(text: string): string {
  return stripVTControlCharacters(text).replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    '',
  );
}

/** `string-width` takes longer to load than everything else here, and nearly all tables are plain ASCII. */
async function widthFunction(lines: readonly (readonly string[])[]): Promise<(text: string) => number> {
  if (lines.every((cells) => cells.every((cell) => /^[\x20-\x7e]*$/.test(cell)))) return (text) => text.length;
  return (await import('string-width')).default;
}
