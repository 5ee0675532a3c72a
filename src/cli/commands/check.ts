import type { Command } from 'commander';
import type { CheckReport } from '../../store/index.ts';
import { type Cli, storeOptions } from '../cli.ts';
import { addExamples, addNotes } from '../help.ts';
import { plural } from '../human.ts';
import { notDeletedLine } from '../not-deleted.ts';
import { type DocumentFormat, documentFormatOption, formatTable, oneLine, printDocument } from '../output.ts';

interface CheckCommandOptions {
  readonly repair?: boolean;
  readonly quick?: boolean;
  readonly output?: DocumentFormat;
}

export function define(command: Command, cli: Cli): void {
  command
    .option('--repair', 'fetch and unpack again what is damaged or missing')
    .option('--quick', 'existence and sizes only, not every byte')
    .addOption(documentFormatOption())
    .action((options: CheckCommandOptions) => check(cli, options));
  addNotes(command, 'The exit code is 1 when something was found and not repaired.');
  addExamples(command, [
    ['lading check', 'Is everything as it was verified when it was pulled?'],
    ['lading check --quick', 'Is everything there?'],
    ['lading check --repair', 'Put right what is not'],
  ]);
}

async function check(cli: Cli, { repair = false, quick = false, output }: CheckCommandOptions): Promise<void> {
  const [
    { openStore },
    { layerDeviations, repairHooks },
    { RegistryClient },
    { UnpackPool },
    { registryOptions },
    { LadingError },
  ] = await Promise.all([
    import('../../store/index.ts'),
    import('../../pull/index.ts'),
    import('../../registry/index.ts'),
    import('../../unpack/index.ts'),
    import('../registry-options.ts'),
    import('../../lib/errors.ts'),
  ]);
  const { signal } = cli;
  const store = await openStore(cli.settings.root, storeOptions(cli, { readOnly: !repair }));
  const registry = new RegistryClient(registryOptions(cli));
  const unpack = new UnpackPool({ limits: cli.settings['unpack.limits'] });
  try {
    const report = await store.check({
      depth: quick ? 'quick' : 'full',
      verifyLayer: layerDeviations,
      ...(repair && { repair: repairHooks({ store, registry, unpack }, { signal }) }),
      signal,
    });
    if (output) await printDocument(cli, report, output);
    else await printReport(cli, report);
    const open = report.findings.filter(({ state }) => state !== 'repaired').length;
    if (open === 0) return;
    throw new LadingError('ERR_LADING_CHECK_FAILED', `${plural(open, 'problem')} on this node (${store.root})`, {
      hint: repair ? 'The reasons are above.' : '`lading check --repair` fetches and unpacks again what is damaged.',
    });
  } finally {
    await unpack.close();
    await registry.close();
    store.close();
  }
}

async function printReport(cli: Cli, { findings, leftovers, notDeleted, steps }: CheckReport): Promise<void> {
  const rows = steps.map(({ name, count, durationMs }) => {
    const found = findings.filter(({ step }) => step === name).length;
    return [name, String(count), String(found), `${Math.ceil(durationMs)}ms`];
  });
  cli.stdout.write(await formatTable([['STEP', 'CHECKED', 'FOUND', 'TIME'], ...rows]));
  for (const { subject, problem, state, reason } of findings) {
    const outcome = { found: '', repaired: ' (repaired)', 'not-repaired': ` (not repaired: ${reason})` }[state];
    cli.stdout.write(`${oneLine(`${subject} ${problem}${outcome}`)}\n`);
  }
  if (leftovers.length > 0) {
    cli.stdout.write(`${plural(leftovers.length, 'leftover')} that nothing needs: \`lading gc\` removes them.\n`);
  }
  cli.stdout.write(notDeletedLine(notDeleted));
}
