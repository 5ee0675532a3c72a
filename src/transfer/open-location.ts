import { tmpdir } from 'node:os';
import type { RegistryClient } from '../registry/index.ts';
import { openArchive } from './archive.ts';
import { fileOutput } from './archive-output.ts';
import { imageIn } from './collection.ts';
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

/**
 * The image at a location.
 * @throws LadingError `ERR_LADING_ARCHIVE_INVALID`, `ERR_LADING_ARCHIVE_UNSAFE`, `ERR_LADING_ARCHIVE_INCOMPLETE`,
 * `ERR_LADING_ARCHIVE_IMAGE_UNKNOWN`
 */
export async function openSource(
  location: Location,
  registry: RegistryClient,
  { signal }: TransferOptions = {},
): Promise<OpenSource> {
  if (location.kind === 'registry') {
    return { source: registrySource(registry, location.reference), close: async () => {} };
  }
  const { kind, path, label } = location;
  const input = { from: path, spoolFolder: tmpdir(), signal };
  const collection = await (kind === 'oci' ? openLayout(folderFiles(path)) : openArchive(input, kind));
  try {
    return { source: imageIn(collection, label).source, close: () => collection.close() };
  } catch (error) {
    await collection.close();
    throw error;
  }
}

/** @throws LadingError `ERR_LADING_ARCHIVE_INVALID` */
export async function openTarget(location: Location, registry: RegistryClient): Promise<OpenTarget> {
  if (location.kind === 'registry') {
    const done = async () => {};
    return { target: registryTarget(registry, location.reference), labels: [], commit: done, close: done };
  }
  const { kind, path, label } = location;
  const target = await fileTarget(kind, path);
  return {
    target,
    labels: label === undefined ? [] : [label],
    commit: () => target.commit(),
    close: () => target.close(),
  };
}

async function fileTarget(kind: 'oci' | 'oci-archive' | 'docker-archive', path: string): Promise<FileTarget> {
  if (kind === 'oci') return openLayoutTarget(path);
  const output = await fileOutput(path);
  return kind === 'oci-archive' ? new LayoutArchiveTarget(output) : new DockerArchiveTarget(output, tmpdir());
}
