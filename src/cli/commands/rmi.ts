import type { Command } from 'commander';
import type { Store } from '../../store/index.ts';
import { addExamples, type Cli, forEachArgument } from '../cli.ts';
import { humanSize, shortDigest } from '../human.ts';
import type { FoundImage } from '../image-argument.ts';

interface RmiOptions {
  readonly force?: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .argument('<image...>', 'names, ids, or beginnings of ids')
    .option('-f, --force', 'also an image that is in use, or an id that several names mean')
    .addHelpText(
      'after',
      '\nA name is removed; the image goes with its last name. Layers that other images need stay. What the names have\n' +
        'meant stays in `lading history`.',
    )
    .action((texts: string[], options: RmiOptions) => rmi(cli, texts, options));
  addExamples(command, [
    ['lading rmi nginx:1.27', 'Remove a name, and the image if that was its last name'],
    ['lading rmi --force 4f2b0c9a1d3e', 'Remove an image by id with all its names'],
  ]);
}

async function rmi(cli: Cli, texts: readonly string[], { force = false }: RmiOptions): Promise<void> {
  const [{ openStore }, { findImageArgument }] = await Promise.all([
    import('../../store/index.ts'),
    import('../image-argument.ts'),
  ]);
  const store = await openStore(cli.settings.root);
  try {
    await forEachArgument(cli, texts, async (text) => {
      const found = findImageArgument(store, text);
      await assertRemovable(store, found, { force });
      await remove(cli, store, found);
    });
  } finally {
    store.close();
  }
}

async function assertRemovable(store: Store, { image, name, names }: FoundImage, { force }: { force: boolean }) {
  if (force) return;
  const { LadingError } = await import('../../lib/errors.ts');
  const problem = `cannot remove image ${shortDigest(image.id)}`;
  if (name === undefined && names.length > 1) {
    throw new LadingError(
      'ERR_LADING_IMAGE_HAS_NAMES',
      `${problem}: ${names.length} names mean it: ${names.join(', ')}`,
      {
        hint: 'Remove single names, or all of them at once with --force.',
      },
    );
  }
  if (names.length <= 1 && store.leases.keys('image').has(image.id)) {
    throw new LadingError('ERR_LADING_IMAGE_IN_USE', `${problem}: a container or a pull on this node uses it`, {
      hint: 'Stop the container first. With --force the names go now, and the files when it has ended.',
    });
  }
}

/** The collector removes the image with its last name, and what only it needed. */
async function remove(cli: Cli, store: Store, { image, name, names }: FoundImage): Promise<void> {
  for (const going of name === undefined ? names : [name]) {
    store.names.remove(going);
    cli.stdout.write(`Untagged: ${going}\n`);
  }
  const staying = name === undefined ? [] : names.filter((known) => known !== name);
  if (staying.length > 0) {
    cli.stderr.write(`image ${shortDigest(image.id)} stays, it is also ${staying.join(', ')}\n`);
    return;
  }
  const { images, freedBytes } = await store.collectGarbage();
  if (images.includes(image.id)) cli.stdout.write(`Deleted: ${image.id} (${humanSize(freedBytes)} freed)\n`);
  else cli.stderr.write(`image ${shortDigest(image.id)} is in use: it goes with the next \`lading gc\` after that\n`);
}
