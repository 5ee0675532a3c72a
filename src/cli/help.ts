/**
 * How `--help` looks: as wide as the terminal where that is narrow, never wider than people read, the same in a pipe.
 * What a command says besides its options is given here as paragraphs, without line ends.
 */
import { type Command, Help, type HelpConfiguration } from 'commander';
import { wrapped } from './output.ts';

const widestHelp = 100;
/** Of what is no terminal, or does not know. */
const usualWidth = 80;
/** Longer terms stand on a line of their own, so that one of them does not push the meaning of all others aside. */
const longestTerm = 30;
/** With less room beside the terms, the meanings stand below them. */
const narrowestMeaning = 30;

export function helpWidth(stream: NodeJS.WriteStream): number {
  return stream.isTTY && stream.columns > 0 ? Math.min(stream.columns, widestHelp) : usualWidth;
}

export const helpLayout: HelpConfiguration = {
  showGlobalOptions: true,
  minWidthToWrap: 20,
  padWidth(command, helper) {
    const terms = [
      ...helper.visibleArguments(command).map((argument) => helper.argumentTerm(argument)),
      ...[...helper.visibleOptions(command), ...helper.visibleGlobalOptions(command)].map(helper.optionTerm),
      ...helper.visibleCommands(command).map((subcommand) => helper.subcommandTerm(subcommand)),
    ];
    return Math.max(0, ...terms.map(({ length }) => length).filter((length) => length <= longestTerm));
  },
  formatItem(term, termWidth, meaning, helper) {
    const width = helper.helpWidth ?? usualWidth;
    const isBeside = term.length <= termWidth && width - termWidth - 4 >= narrowestMeaning;
    if (isBeside || meaning === '') return Help.prototype.formatItem.call(helper, term, termWidth, meaning, helper);
    return `  ${term}\n${indented(wrapped(meaning, width - 6), 6)}`;
  },
};

/** Paragraphs below the options. One that has line ends is laid out already. */
export function addNotes(command: Command, ...paragraphs: readonly string[]): void {
  command.addHelpText('after', ({ error }) => {
    const { getErrHelpWidth, getOutHelpWidth } = command.configureOutput();
    const width = (error ? getErrHelpWidth : getOutHelpWidth)?.() ?? usualWidth;
    return paragraphs
      .map((text) => `\n${text.includes('\n') ? text : wrapped(text, width)}\n`)
      .join('')
      .trimEnd();
  });
}

/** The end of a command's `--help`: how it is used, and what for. */
export function addExamples(command: Command, examples: readonly (readonly [line: string, meaning: string])[]): void {
  const text = examples.map(([line, meaning]) => `  # ${meaning}\n  ${line}`).join('\n\n');
  command.addHelpText('after', `\nExamples:\n${text}`);
}

function indented(text: string, blanks: number): string {
  return text.replace(/^/gm, ' '.repeat(blanks));
}
