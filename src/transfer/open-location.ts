import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { LadingError } from '../lib/errors.ts';
import type { RegistryClient } from '../registry/index.ts';
import { type ArchiveFormat, openArchive } from './archive.ts';
import type { ArchiveInput } from './archive-files.ts';
import { type ArchiveOutput, fileOutput } from './archive-output.ts';
import { type ImageCollection, imageIn } from './collection.ts';
import { DockerArchiveTarget } from './docker-archive-target.ts';
import { folderFiles } from './files.ts';
import { LayoutArchiveTarget } from './layout-archive-target.ts';
import { openLayout } from './layout-source.ts';
import { openLayoutTarget } from './layout-target.ts';
import type { Location } from './location.ts';
import type { FileTarget, ImageSource, ImageTarget, TransferOptions } from './places.ts';
import { registrySource, registryTarget } from './registry-place.ts';

export interface OpenSource {
  readonly source: ImageSource;
  close(): Promise<void>;
}

export interface OpenTarget {
  readonly target: ImageTarget;
  /** @see TakenImage */
  readonly labels: readonly string[];
  /** Makes visible what was put there. */
  commit(): Promise<void>;
  close(): Promise<void>;
}

export interface OpenSourceOptions extends TransferOptions {
  /** Says where an archive is read from; a file of its path unless given. */
  readonly archiveInput?: (path: string) => ArchiveInput['from'];
}

/**
 * The image at a location.
 * @throws LadingError `ERR_LADING_FILE_UNREADABLE`, `ERR_LADING_ARCHIVE_INVALID`, `ERR_LADING_ARCHIVE_UNSAFE`, `ERR_LADING_ARCHIVE_INCOMPLETE`,
 * `ERR_LADING_ARCHIVE_IMAGE_UNKNOWN`
 */
export async function openSource(
  location: Location,
  registry: RegistryClient,
  { signal, archiveInput = (path) => path }: OpenSourceOptions = {},
): Promise<OpenSource> {
  if (location.kind === 'registry') {
    return { source: registrySource(registry, location.reference), close: async () => {} };
  }
  const { kind, path, label } = location;
  const collection = await (kind === 'oci'
    ? openLayoutFolder(path)
    : openArchive({ from: archiveInput(path), spoolFolder: tmpdir(), signal }, kind));
  try {
    return { source: imageIn(collection, label).source, close: () => collection.close() };
  } catch (error) {
    await collection.close();
    throw error;
  }
}

async function openLayoutFolder(path: string): Promise<ImageCollection> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return openLayout(folderFiles(path));
  const problem = found ? 'it is no folder' : 'there is no such folder';
  throw new LadingError('ERR_LADING_FILE_UNREADABLE', `cannot read ${path}: ${problem}`, {
    hint: '`oci:FOLDER` is an OCI layout in a folder, `oci-archive:FILE` one in a tar archive.',
  });
}

/**
 * @param archiveOutput opens what an archive is written to; a file of its path unless given
 * @throws LadingError `ERR_LADING_ARCHIVE_INVALID`, `ERR_LADING_FILE_UNWRITABLE`
 */
export async function openTarget(
  location: Location,
  registry: RegistryClient,
  archiveOutput: (path: string) => Promise<ArchiveOutput> = fileOutput,
): Promise<OpenTarget> {
  if (location.kind === 'registry') {
    const done = async () => {};
    return { target: registryTarget(registry, location.reference), labels: [], commit: done, close: done };
  }
  const { kind, path, label } = location;
  const target = await (kind === 'oci' ? openLayoutTarget(path) : archiveTarget(kind, await archiveOutput(path)));
  return {
    target,
    labels: label === undefined ? [] : [label],
    commit: () => target.commit(),
    close: () => target.close(),
  };
}

function archiveTarget(kind: ArchiveFormat, output: ArchiveOutput): FileTarget {
  return kind === 'oci-archive' ? new LayoutArchiveTarget(output) : new DockerArchiveTarget(output, tmpdir());
}
