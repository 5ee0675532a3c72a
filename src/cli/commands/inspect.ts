import type { Command } from 'commander';
import type { ImageLayer, Store } from '../../store/index.ts';
import { type Cli, forEachArgument } from '../cli.ts';
import { addExamples, addNotes } from '../help.ts';
import type { FoundImage } from '../image-argument.ts';
import { type DocumentFormat, documentFormatOption } from '../output.ts';

export function define(command: Command, cli: Cli): void {
  command
    .argument('<image...>', 'names, ids, or beginnings of ids')
    .addOption(documentFormatOption().default('json'))
    .action((texts: string[], { output }: { output: DocumentFormat }) => inspect(cli, texts, output));
  addNotes(command, 'One image gives a document, several give an array of documents. Sizes are bytes, times UTC.');
  addExamples(command, [
    ['lading inspect nginx:1.27', 'Everything known about an image'],
    ['lading inspect -o yaml nginx:1.27', 'Easier to read'],
    ["lading inspect nginx:1.27 | jq '.layers[] | select(.unpacked | not)'", 'Layers that are not unpacked'],
  ]);
}

async function inspect(cli: Cli, texts: readonly string[], format: DocumentFormat): Promise<void> {
  const [{ openStore }, { findImageArgument }] = await Promise.all([
    import('../../store/index.ts'),
    import('../image-argument.ts'),
  ]);
  const store = await openStore(cli.settings.root, { readOnly: true });
  try {
    await forEachArgument(cli, texts, async (text) => documentOf(store, findImageArgument(store, text)), format);
  } finally {
    store.close();
  }
}

/** Larger configurations than this are not read by anybody. */
const maxConfigBytes = 8 * 1024 * 1024;

async function documentOf(store: Store, { image, names }: FoundImage) {
  const { formatPlatform, parseImageConfig } = await import('../../oci/index.ts');
  const config = parseImageConfig(await store.blobs.read(image.config.digest, { maxBytes: maxConfigBytes }));
  return {
    id: image.id,
    names: names.map((record) => ({ ...record, history: store.names.history(record.name) })),
    platform: image.platform && formatPlatform(image.platform),
    size: image.size,
    pulledAt: image.createdAt,
    createdAt: config.created,
    author: config.author,
    manifest: image.manifest,
    config: { ...image.config, defaults: config.config },
    layers: await Promise.all(image.layers.map((layer) => layerDocument(store, layer))),
    buildHistory: config.history,
  };
}

async function layerDocument(store: Store, { descriptor, diffId }: ImageLayer) {
  const unpacked = store.layers.has(diffId);
  const facts = unpacked ? await store.layers.facts(diffId) : undefined;
  return {
    ...descriptor,
    diffId,
    stored: (await store.blobs.size(descriptor.digest)) !== undefined,
    unpacked,
    ...(facts && {
      dir: store.layers.dir(diffId),
      entries: facts.entries,
      contentBytes: facts.contentBytes,
      skipped: facts.skipped,
      warnings: facts.warnings,
    }),
  };
}
