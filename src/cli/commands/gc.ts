import type { Command } from 'commander';
import type { CollectedImage, CollectionResult } from '../../agent/index.ts';
import type { ImageGcPolicy } from '../../policy/index.ts';
import type { GarbageReport } from '../../store/index.ts';
import { type Cli, storeOptions } from '../cli.ts';
import { addExamples, addNotes } from '../help.ts';
import { humanAgo, humanSize } from '../human.ts';
import type { Node } from '../node.ts';
import { notDeletedLine } from '../not-deleted.ts';
import { type DocumentFormat, documentFormatOption, formatTable, printDocument } from '../output.ts';

interface GcOptions {
  readonly dryRun?: boolean;
  readonly unused?: boolean;
  readonly output?: DocumentFormat;
}

export function define(command: Command, cli: Cli): void {
  command
    .option('--dry-run', 'say what would go, and why, and change nothing')
    .option('--unused', 'remove every image that no container has, as a kubelet does when the node runs out of disk')
    .addOption(documentFormatOption())
    .action((options: GcOptions) => gc(cli, options));
  addNotes(
    command,
    'Images go by the rules of a kubelet. When the disk is used to 85%, those that were unused for longest go ' +
      'until it is used to 80% (kubelet.imageGCHighThresholdPercent, kubelet.imageGCLowThresholdPercent), but ' +
      'none that is younger than 2m (kubelet.imageMinimumGCAge); those that no container has had for ' +
      'kubelet.imageMaximumGCAge go whatever the disk says. `lading run` does the same every five minutes.',
    'Content without a name is kept for an hour, unfinished downloads for a day, for a pull that was cut off.',
  );
  addExamples(command, [
    ['lading gc --dry-run', 'What would go, and why?'],
    ['lading gc', 'Remove it'],
    ['lading gc --unused --kubelet-image-minimum-gc-age 24h', 'Keep what is used, and what is younger than a day'],
    ['lading gc --kubelet-image-maximum-gc-age 168h', 'Remove images that have not been used for a week'],
  ]);
}

async function gc(cli: Cli, { dryRun = false, unused = false, output }: GcOptions): Promise<void> {
  const [{ openNode }, { kubeletSettings }, { imageGcPolicyOf }] = await Promise.all([
    import('../node.ts'),
    import('../configuration/kubelet.ts'),
    import('../../policy/index.ts'),
  ]);
  const policy = imageGcPolicyOf((await kubeletSettings(cli.configuration)).config);
  const node = await openNode({ root: cli.settings.root, store: storeOptions(cli, { readOnly: dryRun }) });
  try {
    const collection = await collectImages(node, { policy, dryRun, unused });
    const report = await node.store.collectGarbage({ dryRun });
    if (output) await printDocument(cli, { ...report, imageCollection: documentOf(collection) }, output);
    else await printReport(cli, { report, collection, dryRun });
    // A node without images has nothing to do with how full the disk is.
    if (collection.error === undefined || collection.images.length === 0) return;
    const { LadingError } = await import('../../lib/errors.ts');
    throw new LadingError('ERR_LADING_IMAGE_GC', collection.error, {
      hint: '`lading df` shows what uses the disk; `lading gc --dry-run` says why an image is kept.',
    });
  } finally {
    await node.close();
  }
}

async function collectImages(
  node: Node,
  { policy, dryRun, unused }: { policy: ImageGcPolicy; dryRun: boolean; unused: boolean },
): Promise<CollectionResult> {
  const [{ imageCollectorOf }, { PullRecords, PullTracker }, { verificationPolicy }, { systemClock }] =
    await Promise.all([
      import('../image-collection.ts'),
      import('../../agent/index.ts'),
      import('../../policy/index.ts'),
      import('../../lib/clock.ts'),
    ]);
  const { store } = node;
  const records = new PullRecords(store.root);
  const tracker = new PullTracker({ records, policy: verificationPolicy('NeverVerify'), clock: systemClock });
  const collector = imageCollectorOf(node, {
    policy,
    // Their content goes with the rest of what nothing refers to.
    remove: (id) => {
      if (!dryRun) store.images.remove(id);
    },
    onCollected: async ({ left, startedAtMs }) => {
      if (!dryRun) await tracker.prune(left, startedAtMs);
    },
  });
  return unused ? collector.deleteUnused() : collector.collect();
}

async function printReport(
  cli: Cli,
  { report, collection, dryRun }: { report: GarbageReport; collection: CollectionResult; dryRun: boolean },
): Promise<void> {
  const { images } = collection;
  if (images.length > 0) {
    const nowMs = Date.now();
    const rows = images.map((image) => rowOf(image, { nowMs, dryRun }));
    cli.stdout.write(`${await formatTable([['IMAGE', 'SIZE', 'LAST USED', 'OUTCOME', 'WHY'], ...rows])}\n`);
  }
  const rows = rowsOf(report);
  if (rows.length > 0) cli.stdout.write(await formatTable([['KIND', 'ID'], ...rows]));
  const ofImages = dryRun ? images.filter(({ outcome }) => outcome === 'removed') : [];
  const bytes = ofImages.reduce((sum, { sizeBytes }) => sum + sizeBytes, report.freedBytes);
  cli.stdout.write(`${dryRun ? 'Would free' : 'Freed'} ${humanSize(bytes)}.\n`);
  cli.stdout.write(notDeletedLine(report.notDeleted));
}

function rowOf(
  { id, names, sizeBytes, lastUsedMs, outcome, reason }: CollectedImage,
  { nowMs, dryRun }: { nowMs: number; dryRun: boolean },
): string[] {
  const used = reason.fact === 'in-use' ? 'now' : lastUsedMs === undefined ? 'never' : humanAgo(lastUsedMs, nowMs);
  const done = dryRun && outcome === 'removed' ? 'would be removed' : outcome;
  return [names[0] ?? id, humanSize(sizeBytes), used, done, reason.text];
}

function documentOf({ images, usagePercent, error, freedBytes }: CollectionResult): object {
  return {
    ...(usagePercent === undefined ? {} : { usagePercent }),
    freedBytes: Number(freedBytes),
    ...(error === undefined ? {} : { error }),
    images: images.map(({ firstDetectedMs, lastUsedMs, ...image }) => ({
      ...image,
      firstDetectedAt: new Date(firstDetectedMs).toISOString(),
      ...(lastUsedMs === undefined ? {} : { lastUsedAt: new Date(lastUsedMs).toISOString() }),
    })),
  };
}

function rowsOf({ images, layers, fixUps, blobs, ingests }: GarbageReport): [kind: string, id: string][] {
  const rows = (kind: string, ids: readonly string[]) => ids.map((id): [string, string] => [kind, id]);
  return [
    ...rows('image', images),
    ...rows('layer', layers),
    ...rows('fix-up', fixUps),
    ...rows('blob', blobs),
    ...rows('ingest', ingests),
  ];
}
