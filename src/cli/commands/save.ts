import { type Command, Option } from 'commander';
import type { Digest } from '../../oci/index.ts';
import type { ImageRecord, NameRecord, Store } from '../../store/index.ts';
import type { ArchiveFormat, FileTarget, NodeManifest } from '../../transfer/index.ts';
import { archiveOutput } from '../archive-streams.ts';
import type { Cli } from '../cli.ts';
import { addExamples, addNotes } from '../help.ts';
import type { FoundImage } from '../image-argument.ts';

interface SaveOptions {
  readonly output: string;
  readonly format: ArchiveFormat;
  readonly quiet?: true;
}

export function define(command: Command, cli: Cli): void {
  const formats: ArchiveFormat[] = ['oci-archive', 'docker-archive'];
  command
    .argument('<image...>', 'names or ids of images on this node')
    .option('-o, --output <file>', 'where to write the archive, - for standard output', '-')
    .addOption(
      new Option('--format <format>', 'what to write').choices(formats).default('oci-archive' satisfies ArchiveFormat),
    )
    .option('-q, --quiet', 'no progress')
    .action((images: string[], options: SaveOptions) => save(cli, images, options));
  addNotes(
    command,
    'The archive has every layer once, and each image under its names; `lading load`, `docker load`, `podman ' +
      'load` and skopeo read it. A file gets its name when it is complete. An oci-archive keeps the digests of ' +
      'manifests and layers, a docker-archive only the id of the image.',
  );
  addExamples(command, [
    ['lading save -o app.tar app:1.2 db:16', 'Two images in one file'],
    ['lading save app:1.2 | lading --root /mnt/other load', 'To another node'],
    ['lading save --format docker-archive app:1.2 | docker load', 'For older tools'],
  ]);
}

async function save(cli: Cli, texts: readonly string[], options: SaveOptions): Promise<void> {
  const [{ findImageArgument }, { copyWithProgress, openNodeImage, openStoreToCopyFrom }] = await Promise.all([
    import('../image-argument.ts'),
    import('../copying.ts'),
  ]);
  const store = await openStoreToCopyFrom(cli);
  try {
    const wanted = await wantedImages(
      store,
      texts.map((text) => findImageArgument(store, text)),
    );
    const target = await openArchiveTarget(cli, options);
    try {
      for (const { image, manifest, labels } of wanted) {
        const node = await openNodeImage(cli, store, image, manifest);
        try {
          await copyWithProgress(cli, {
            name: labels[0] ?? image.id,
            from: node.source,
            to: target,
            options: { labels },
            quiet: options.quiet,
          });
        } finally {
          await node.close();
        }
      }
      await target.commit();
    } finally {
      await target.close();
    }
  } finally {
    store.close();
  }
}

interface WantedImage {
  readonly image: ImageRecord;
  readonly manifest: NodeManifest;
  readonly labels: readonly string[];
}

/** Each manifest once, with the names that were asked for; an image that was asked for by its id with all its tags. */
async function wantedImages(store: Store, found: readonly FoundImage[]): Promise<WantedImage[]> {
  const { manifestOfName } = await import('../../transfer/index.ts');
  const wanted = new Map<Digest, WantedImage>();
  const want = (image: ImageRecord, record: NameRecord | undefined) => {
    const manifest = manifestOfName(store, image, record?.target);
    const { digest } = manifest.descriptor;
    const labels = new Set(wanted.get(digest)?.labels);
    // A digest may be that of an index, which is not what is saved.
    if (record && (!record.name.includes('@') || record.name.endsWith(`@${digest}`))) labels.add(record.name);
    wanted.set(digest, { image, manifest, labels: [...labels] });
  };
  for (const { image, name, names } of found) {
    const tags = names.filter((record) => !record.name.includes('@'));
    const records = name ? [name] : tags.length > 0 ? tags : names;
    for (const record of records.length > 0 ? records : [undefined]) want(image, record);
  }
  return [...wanted.values()];
}

async function openArchiveTarget(cli: Cli, { output, format }: SaveOptions): Promise<FileTarget> {
  const [{ DockerArchiveTarget, LayoutArchiveTarget }, { tmpdir }] = await Promise.all([
    import('../../transfer/index.ts'),
    import('node:os'),
  ]);
  const to = await archiveOutput(cli, output, 'Give a file with -o, or pipe the archive.');
  return format === 'oci-archive' ? new LayoutArchiveTarget(to) : new DockerArchiveTarget(to, tmpdir());
}
