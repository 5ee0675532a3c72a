import type { Command } from 'commander';
import type { NameRecord } from '../../store/index.ts';
import type { Cli } from '../cli.ts';
import { parseArgument, UsageError } from '../error-report.ts';
import { addExamples, addNotes } from '../help.ts';
import { type DocumentFormat, documentFormatOption, printDocument } from '../output.ts';

interface PushOptions {
  readonly quiet?: true;
  readonly output?: DocumentFormat;
}

export function define(command: Command, cli: Cli): void {
  command
    .argument('<image>', 'name or id of an image on this node')
    .argument('[destination]', 'name that it gets on its registry (default: the same name)')
    .option('-q, --quiet', 'no progress; print the digest only')
    .addOption(documentFormatOption())
    .action((image: string, destination: string | undefined, options: PushOptions) =>
      push(cli, image, destination, options),
    );
  addNotes(
    command,
    'What the registry has is not sent again. The node has images for one platform, and that is what is ' +
      'pushed. Credentials are those of `docker login` and `lading login` (~/.docker/config.json).',
  );
  addExamples(command, [
    ['lading push 127.0.0.1:5000/app:1.2', 'Send an image to the registry that its name says'],
    ['lading push app:1.2 ghcr.io/me/app:1.2', 'Send it under another name'],
  ]);
}

async function push(cli: Cli, text: string, destination: string | undefined, options: PushOptions): Promise<void> {
  const [oci, { findImageArgument }, { manifestOfName, registryTarget }, copying] = await Promise.all([
    import('../../oci/index.ts'),
    import('../image-argument.ts'),
    import('../../transfer/index.ts'),
    import('../copying.ts'),
  ]);
  const wanted =
    destination === undefined ? undefined : oci.pullReference(parseArgument(oci.parseReference, destination));
  const store = await copying.openStoreToCopyFrom(cli);
  try {
    const { image, name: known, names } = findImageArgument(store, text);
    const own = known ?? onlyTag(names);
    const reference = wanted ?? oci.parseReference(tagOf(own, text));
    const name = oci.formatReference(reference);
    const node = await copying.openNodeImage(cli, store, image, manifestOfName(store, image, own?.target));
    try {
      const to = registryTarget(node.registry, reference);
      const quiet = options.quiet ?? (options.output !== undefined || undefined);
      const result = await copying.copyWithProgress(cli, { name, from: node.source, to, options: {}, quiet });
      const { digest } = result.descriptor;
      if (options.output) return await printDocument(cli, { name, digest, ...countsOf(result) }, options.output);
      if (options.quiet) cli.stdout.write(`${digest}\n`);
      else cli.stdout.write(`${name}\n  digest   ${digest}\n  blobs    ${copying.copySentence(result)}\n`);
    } finally {
      await node.close();
    }
  } finally {
    store.close();
  }
}

function onlyTag(names: readonly NameRecord[]): NameRecord | undefined {
  const tagged = names.filter(({ name }) => !name.includes('@'));
  return tagged.length === 1 ? tagged[0] : undefined;
}

function tagOf(own: NameRecord | undefined, text: string): string {
  if (own && !own.name.includes('@')) return own.name;
  throw new UsageError(`${text} does not say which tag the image shall get`, {
    hint: 'Give the destination too: lading push IMAGE REGISTRY/REPOSITORY:TAG.',
  });
}

function countsOf({
  blobs,
  blobsWritten,
  bytesWritten,
}: {
  blobs: number;
  blobsWritten: number;
  bytesWritten: number;
}) {
  return { blobs, blobsWritten, bytesWritten };
}
