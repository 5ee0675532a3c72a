import { Command } from 'commander';
import { expect, test } from 'vitest';
import { addExamples, addNotes, helpLayout, helpWidth } from '../../src/cli/help.ts';

test.each([
  [{ isTTY: true, columns: 60 }, 60],
  [{ isTTY: true, columns: 200 }, 100],
  // A terminal that does not know.
  [{ isTTY: true, columns: 0 }, 80],
  [{ isTTY: false }, 80],
])('on %j it is %d columns wide', (stream, expected) => {
  expect(helpWidth(stream as NodeJS.WriteStream)).toBe(expected);
});

test('long terms stand on lines of their own; notes are wrapped, examples and what has line ends are not', () => {
  expect(helpAt(60)).toBe(`Usage: lading sail [options]

Options:
  -q, --quiet  no progress; print the digest only
  --a-very-long-option-of-this-command <file>
      what is written about it takes more than one line when
      there are sixty columns
  -h, --help   display help for command

A note that is longer than the terminal is wide goes on in
another line.

Places:
  HERE      where everybody is, and a line that is longer than it should be

Examples:
  # What for?
  lading sail --a-very-long-option-of-this-command file-with-a-name.json
`);
});

test('on a narrow terminal the meanings stand below the terms', () => {
  expect(helpAt(40)).toContain(`
  -q, --quiet
      no progress; print the digest only
  --a-very-long-option-of-this-command <file>
      what is written about it takes
      more than one line when there are
      sixty columns
`);
});

function helpAt(width: number): string {
  const command = new Command('sail').option('-q, --quiet', 'no progress; print the digest only');
  command.option(
    '--a-very-long-option-of-this-command <file>',
    'what is written about it takes more than one line when there are sixty columns',
  );
  addNotes(
    command,
    'A note that is longer than the terminal is wide goes on in another line.',
    'Places:\n  HERE      where everybody is, and a line that is longer than it should be',
  );
  addExamples(command, [['lading sail --a-very-long-option-of-this-command file-with-a-name.json', 'What for?']]);
  const program = new Command('lading').configureHelp(helpLayout);
  let help = '';
  program.configureOutput({ getOutHelpWidth: () => width, writeOut: (text) => (help += text) });
  command.copyInheritedSettings(program);
  program.addCommand(command);
  command.outputHelp();
  return help;
}
