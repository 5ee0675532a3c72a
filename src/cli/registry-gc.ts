/** `lading registry gc`. */
import { resolve } from 'node:path';
import type { Cli } from './cli.ts';
import { humanSize } from './human.ts';
import { type DocumentFormat, formatTable, printDocument } from './output.ts';
import { registryRoot } from './registry-serve.ts';

export interface RegistryGcOptions {
  readonly dryRun?: boolean;
  readonly layout?: string;
  /** Milliseconds. */
  readonly grace: number;
  readonly output?: DocumentFormat;
}

export async function collectGarbage(cli: Cli, options: RegistryGcOptions): Promise<void> {
  const { dryRun = false, layout, grace, output } = options;
  const { collectRegistryGarbage } = await import('../distribution/index.ts');
  const report = await collectRegistryGarbage(layout === undefined ? registryRoot(cli) : resolve(layout), {
    dryRun,
    graceMs: grace,
  });
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
