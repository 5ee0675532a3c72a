/** `lading registry gc`. */
import type { Cli } from './cli.ts';
import { humanSize } from './human.ts';
import { type DocumentFormat, formatTable, printDocument } from './output.ts';
import { registryRoot } from './registry-serve.ts';

export interface RegistryGcOptions {
  readonly dryRun?: boolean;
  /** Milliseconds. */
  readonly grace: number;
  readonly output?: DocumentFormat;
}

export async function collectGarbage(cli: Cli, { dryRun = false, grace, output }: RegistryGcOptions): Promise<void> {
  const { collectRegistryGarbage } = await import('../distribution/index.ts');
  const report = await collectRegistryGarbage(registryRoot(cli), { dryRun, graceMs: grace });
  if (output) return printDocument(cli, report, output);
  const { manifests, blobs, uploads, freedBytes } = report;
  const rows = [
    ...manifests.map(({ repository, digest }) => ['manifest', `${repository}@${digest}`]),
    ...blobs.map((digest) => ['blob', digest]),
    ...(uploads > 0 ? [['uploads', String(uploads)]] : []),
  ];
  if (rows.length > 0) cli.stdout.write(await formatTable([['KIND', 'ID'], ...rows]));
  cli.stdout.write(`${dryRun ? 'Would free' : 'Freed'} ${humanSize(freedBytes)}.\n`);
}
