import type { Command } from 'commander';
import type { NameRecord, Store } from '../../store/index.ts';
import type { Cli } from '../cli.ts';
import { parseArgument } from '../error-report.ts';
import { addExamples } from '../help.ts';
import { humanAgo, humanSize, shortDigest } from '../human.ts';
import { type Column, type ListFormat, listFormatOption, noHeadersOption, printList } from '../output.ts';

interface ImagesOptions {
  readonly output: ListFormat;
  readonly headers: boolean;
  readonly quiet?: true;
}

/** A name of an image on this node, or an image that no name means any more. */
interface ImageRow {
  readonly name: string | undefined;
  readonly repository: string | undefined;
  readonly tag: string | undefined;
  /** What the registry named: the digest of an index or a manifest. */
  readonly digest: string;
  readonly imageId: string;
  readonly platform: string | undefined;
  readonly layers: number;
  /** Bytes, as the registry has them. */
  readonly size: number;
  readonly pulledAt: string;
  readonly checkedAt: string | undefined;
}

export function define(command: Command, cli: Cli): void {
  command
    .argument('[image]', 'only this name, or all names of this repository')
    .addOption(listFormatOption())
    .addOption(noHeadersOption())
    .option('-q, --quiet', 'print image ids only')
    .action((image: string | undefined, options: ImagesOptions) => images(cli, image, options));
  addExamples(command, [
    ['lading images', 'What is on this node'],
    ['lading images -o wide', 'With digests in full and when the registry was last asked'],
    ['lading images nginx', 'All tags of one repository'],
    ["lading images -o json | jq -r '.[].digest'", 'For scripts'],
  ]);
}

async function images(cli: Cli, filter: string | undefined, options: ImagesOptions): Promise<void> {
  const { openStore } = await import('../../store/index.ts');
  const matches = filter === undefined ? () => true : await nameFilter(filter);
  const store = await openStore(cli.settings.root, { readOnly: true });
  try {
    const rows = (await imageRows(store)).filter(matches);
    if (options.quiet) {
      for (const id of new Set(rows.map(({ imageId }) => imageId))) cli.stdout.write(`${id}\n`);
      return;
    }
    await printList(cli, rows, {
      format: options.output,
      headers: options.headers,
      columns: columnsAt(Date.now(), options.output),
      empty: `No images${filter === undefined ? '' : ` of ${filter}`} on this node (${cli.settings.root}).`,
    });
  } finally {
    store.close();
  }
}

async function imageRows(store: Store): Promise<ImageRow[]> {
  const [{ formatPlatform, parseReference, repositoryName }, { namesWorthALine }] = await Promise.all([
    import('../../oci/index.ts'),
    import('../node-names.ts'),
  ]);
  const imagesById = new Map(store.images.list().map((image) => [image.id, image]));
  const unnamed = new Set(imagesById.keys());
  const rows: ImageRow[] = [];
  const add = (imageId: NameRecord['imageId'], record?: NameRecord) => {
    const image = imagesById.get(imageId);
    if (!image) return;
    const reference = record && parseReference(record.name);
    rows.push({
      name: record?.name,
      repository: reference && repositoryName(reference),
      tag: reference?.tag,
      digest: record?.target.digest ?? image.manifest.digest,
      imageId,
      platform: image.platform && formatPlatform(image.platform),
      layers: image.layers.length,
      size: image.size,
      pulledAt: record?.firstSeen ?? image.createdAt,
      checkedAt: record?.lastSeen,
    });
  };
  for (const record of namesWorthALine(store.names.list())) {
    add(record.imageId, record);
    unnamed.delete(record.imageId);
  }
  for (const imageId of unnamed) add(imageId);
  return rows;
}

/** A text with tag or digest is one name, another one a repository. */
async function nameFilter(text: string): Promise<(row: ImageRow) => boolean> {
  const { formatReference, parseReference, pullReference, repositoryName } = await import('../../oci/index.ts');
  const reference = parseArgument(parseReference, text);
  if (reference.tag === undefined && reference.digest === undefined) {
    return ({ repository }) => repository === repositoryName(reference);
  }
  const wanted = formatReference(pullReference(reference));
  return ({ name }) => name === wanted;
}

function columnsAt(nowMs: number, format: ListFormat): Column<ImageRow>[] {
  const ago = (time: string | undefined) => (time === undefined ? '' : humanAgo(Date.parse(time), nowMs));
  return [
    { header: 'REPOSITORY', value: ({ repository }) => repository ?? '<none>' },
    { header: 'TAG', value: ({ tag }) => tag ?? '<none>' },
    { header: 'DIGEST', value: ({ digest }) => (format === 'wide' ? digest : shortDigest(digest)) },
    { header: 'IMAGE ID', value: ({ imageId }) => shortDigest(imageId) },
    { header: 'SIZE', value: ({ size }) => humanSize(size) },
    { header: 'PULLED', value: ({ pulledAt }) => ago(pulledAt) },
    { header: 'CHECKED', value: ({ checkedAt }) => ago(checkedAt), wide: true },
    { header: 'PLATFORM', value: ({ platform }) => platform ?? '', wide: true },
    { header: 'LAYERS', value: ({ layers }) => String(layers), wide: true },
  ];
}
