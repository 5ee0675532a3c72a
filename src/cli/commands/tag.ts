import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { parseArgument, UsageError } from '../error-report.ts';
import { addExamples, addNotes } from '../help.ts';

export function define(command: Command, cli: Cli): void {
  command
    .argument('<image>', 'name or id of an image on this node')
    .argument('<target>', 'one more name for it; without a tag a name means :latest')
    .action((source: string, target: string) => tag(cli, source, target));
  addNotes(command, 'No registry is asked: what it has under that name is what the next pull finds.');
  addExamples(command, [
    ['lading tag app:1.2 127.0.0.1:5000/app:1.2', 'Name an image for the registry that it shall go to'],
  ]);
}

async function tag(cli: Cli, source: string, target: string): Promise<void> {
  const [{ openStore }, { findImageArgument }, oci] = await Promise.all([
    import('../../store/index.ts'),
    import('../image-argument.ts'),
    import('../../oci/index.ts'),
  ]);
  const reference = oci.pullReference(parseArgument(oci.parseReference, target));
  if (reference.digest !== undefined) {
    throw new UsageError(`${target} is a digest, which cannot be given to an image`, {
      hint: 'Give a tag: REPOSITORY:TAG.',
    });
  }
  const name = oci.formatReference(reference);
  const store = await openStore(cli.settings.root);
  try {
    const { image, name: found } = findImageArgument(store, source);
    if (!store.images.confirm(image.id, [{ name, target: found?.target ?? image.manifest }], 'lading tag')) {
      const { LadingError } = await import('../../lib/errors.ts');
      throw new LadingError('ERR_LADING_IMAGE_UNKNOWN', `image ${source} was removed from this node meanwhile`);
    }
    cli.stdout.write(`${name}\n`);
  } finally {
    store.close();
  }
}
