import type { Command } from 'commander';
import type { NameRecord, Store } from '../../store/index.ts';
import { type Cli, forEachArgument, storeOptions } from '../cli.ts';
import { addExamples, addNotes } from '../help.ts';
import { humanSize, shortDigest } from '../human.ts';
import type { FoundImage } from '../image-argument.ts';

interface RmiOptions {
  readonly force?: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .argument('<image...>', 'names, ids, or beginnings of ids')
    .option('-f, --force', 'also an image that is in use, or an id that several names mean')
    .action((texts: string[], options: RmiOptions) => rmi(cli, texts, options));
  addNotes(
    command,
    'A name is removed; the image goes with its last name. Layers that other images need stay. What the names ' +
      'have meant stays in `lading history`.',
  );
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
  const store = await openStore(cli.settings.root, storeOptions(cli));
  try {
    await forEachArgument(cli, texts, async (text) => {
      const found = findImageArgument(store, text);
      const going = await goingNames(found, { force });
      const staying = found.names.filter((record) => !going.includes(record));
      if (staying.length === 0 && !force) await assertUnused(store, found);
      for (const { name } of going) {
        store.names.remove(name);
        cli.stdout.write(`Untagged: ${name}\n`);
      }
      if (staying.length === 0) await removeImage(cli, store, found);
      else cli.stderr.write(`image ${shortDigest(found.image.id)} stays, it is also ${await listOf(staying)}\n`);
    });
  } finally {
    store.close();
  }
}

/** A name that was asked for, or all names of an image that was asked for by its id. */
async function goingNames(
  { image, name, names }: FoundImage,
  { force }: { force: boolean },
): Promise<readonly NameRecord[]> {
  const { namesThatGoWith, namesWorthALine } = await import('../node-names.ts');
  if (name !== undefined) return namesThatGoWith(name, names);
  const count = namesWorthALine(names).length;
  if (count <= 1 || force) return names;
  const { LadingError } = await import('../../lib/errors.ts');
  const problem = `cannot remove image ${shortDigest(image.id)}: ${count} names mean it: ${await listOf(names)}`;
  throw new LadingError('ERR_LADING_IMAGE_HAS_NAMES', problem, {
    hint: 'Remove single names, or all of them at once with --force.',
  });
}

async function assertUnused(store: Store, { image }: FoundImage): Promise<void> {
  if (!store.leases.keys('image').has(image.id)) return;
  const { LadingError } = await import('../../lib/errors.ts');
  const problem = `cannot remove image ${shortDigest(image.id)}: a container or a pull on this node uses it`;
  throw new LadingError('ERR_LADING_IMAGE_IN_USE', problem, {
    hint: 'Stop the container first. With --force the names go now, and the files when it has ended.',
  });
}

/** The collector removes what no name means, unless a container uses it. */
async function removeImage(cli: Cli, store: Store, { image }: FoundImage): Promise<void> {
  const { images, freedBytes } = await store.collectGarbage();
  if (images.includes(image.id)) cli.stdout.write(`Deleted: ${image.id} (${humanSize(freedBytes)} freed)\n`);
  else
    cli.stderr.write(
      `image ${shortDigest(image.id)} is in use: \`lading gc\` removes it when its containers have ended\n`,
    );
}

async function listOf(names: readonly NameRecord[]): Promise<string> {
  const { namesWorthALine } = await import('../node-names.ts');
  return namesWorthALine(names)
    .map(({ name }) => name)
    .join(', ');
}
