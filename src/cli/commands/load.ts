import type { Command } from 'commander';
import type { Platform } from '../../oci/index.ts';
import type { PullDependencies, PullProgress } from '../../pull/index.ts';
import type { ImageCollection, ListedImage } from '../../transfer/index.ts';
import { archiveInput } from '../archive-streams.ts';
import { type Cli, storeOptions } from '../cli.ts';
import { parseArgument } from '../error-report.ts';
import { addExamples, addNotes } from '../help.ts';
import { type DocumentFormat, documentFormatOption, printDocument } from '../output.ts';
import type { ProgressView } from '../progress-view.ts';

interface LoadCommandOptions {
  readonly input: string;
  readonly name?: string;
  readonly platform?: string;
  readonly quiet?: true;
  readonly output?: DocumentFormat;
}

export function define(command: Command, cli: Cli): void {
  command
    .option('-i, --input <file>', 'the archive or layout, - for standard input', '-')
    .option('--name <image>', 'what to call the image, if the archive has one only')
    .option('--platform <os/architecture>', 'which part of an image to load (default: this machine)')
    .option('-q, --quiet', 'no progress; print names only')
    .addOption(documentFormatOption())
    .action((options: LoadCommandOptions) => load(cli, options));
  addNotes(
    command,
    'Reads OCI layouts and docker archives in a tar, plain or compressed with gzip or zstd, and OCI layouts in ' +
      'a folder. Images get the names that they have there. Everything is verified and unpacked as in a pull; no ' +
      'registry is asked.',
  );
  addExamples(command, [
    ['lading load -i app.tar.gz', 'Load the images of a file'],
    ['docker save app:1.2 | lading load', 'From another engine'],
    ['lading load -i image.tar --name app:dev', 'Name an image that has none'],
  ]);
}

async function load(cli: Cli, options: LoadCommandOptions): Promise<void> {
  const [oci, { openStore }, { UnpackPool }, { openArchive }, { makeV8Lean }] = await Promise.all([
    import('../../oci/index.ts'),
    import('../../store/index.ts'),
    import('../../unpack/index.ts'),
    import('../../transfer/index.ts'),
    import('../v8-flags.ts'),
  ]);
  makeV8Lean();
  const { input } = options;
  const from = archiveInput(cli, input, 'Give a file with -i, or pipe the archive.');
  const platform = options.platform === undefined ? undefined : parseArgument(oci.parsePlatform, options.platform);
  const name =
    options.name === undefined
      ? undefined
      : oci.formatReference(oci.pullReference(parseArgument(oci.parseReference, options.name)));
  const store = await openStore(cli.settings.root, storeOptions(cli));
  const unpack = new UnpackPool({ limits: cli.settings['unpack.limits'] });
  try {
    const archive = await openArchive({ from, spoolFolder: store.root, signal: cli.signal });
    try {
      await loadAll(cli, { store, unpack }, { archive, name, platform, options });
    } finally {
      await archive.close();
    }
  } finally {
    if (input === '-') process.stdin.destroy();
    await unpack.close();
    store.close();
  }
}

interface Request {
  readonly archive: ImageCollection;
  readonly name: string | undefined;
  readonly platform: Platform | undefined;
  readonly options: LoadCommandOptions;
}

async function loadAll(cli: Cli, deps: Pick<PullDependencies, 'store' | 'unpack'>, request: Request): Promise<void> {
  const { archive, name, platform, options } = request;
  const [{ imageIn, loadImage }, { openProgressView }] = await Promise.all([
    import('../../transfer/index.ts'),
    import('../progress-view.ts'),
  ]);
  const images = name === undefined ? await namedImages(archive) : [{ ...imageIn(archive), names: [name] }];
  const loaded = [];
  const isQuiet = options.quiet || options.output !== undefined;
  const view = isQuiet ? undefined : await openProgressView(cli.stderr, { plain: cli.verbose });
  try {
    for (const { source, names } of images) {
      for (const each of names) {
        // The first brings the content, under one name as under all.
        const onProgress = view && each === names[0] ? showIn(view, each) : undefined;
        loaded.push(await loadImage(deps, source, each, { platform, signal: cli.signal, onProgress }));
      }
    }
  } finally {
    view?.close();
  }
  if (options.output) return printDocument(cli, loaded, options.output);
  for (const { name: each, warnings } of loaded)
    for (const warning of warnings) cli.stderr.write(`warning: ${each}: ${warning}\n`);
  for (const { name: each } of loaded) cli.stdout.write(options.quiet ? `${each}\n` : `Loaded: ${each}\n`);
}

/** What a pull calls downloading comes from a file here. */
function showIn(view: ProgressView, name: string): (progress: PullProgress) => void {
  return (progress) => {
    const isComing = 'layer' in progress && progress.state === 'downloading';
    view.update(name, isComing ? { ...progress, state: 'copying' } : progress);
  };
}

async function namedImages(archive: ImageCollection): Promise<readonly ListedImage[]> {
  const { images, place } = archive;
  const { LadingError } = await import('../../lib/errors.ts');
  if (images.length > 0 && images.every(({ names }) => names.length > 0)) return images;
  if (images.length === 0) {
    throw new LadingError('ERR_LADING_ARCHIVE_IMAGE_UNKNOWN', `${place} holds no image`, {
      hint: 'Write it again, with an image.',
    });
  }
  const labels = images.flatMap(({ labels: own, names }) => (names.length > 0 ? [] : own));
  const which = labels.length > 0 ? ` (${labels.join(', ')})` : '';
  throw new LadingError('ERR_LADING_ARCHIVE_NO_NAME', `${place} holds an image without a name${which}`, {
    hint: 'Give it one: lading load --name IMAGE.',
  });
}
