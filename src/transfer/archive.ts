import { stat } from 'node:fs/promises';
import { type ArchiveInput, openArchiveFiles } from './archive-files.ts';
import type { ImageCollection } from './collection.ts';
import { openDockerArchive } from './docker-archive-source.ts';
import { folderFiles } from './files.ts';
import { openLayout } from './layout-source.ts';

export type ArchiveFormat = 'oci-archive' | 'docker-archive';

/**
 * The images of an archive in either format; one that is both, as Docker writes them today, is read as OCI. A folder is
 * an OCI layout that is not packed.
 * @param format refuses the others
 * @throws LadingError `ERR_LADING_ARCHIVE_INVALID`, `ERR_LADING_ARCHIVE_UNSAFE`, `ERR_LADING_ARCHIVE_INCOMPLETE`
 */
export async function openArchive(input: ArchiveInput, format?: ArchiveFormat): Promise<ImageCollection> {
  const { from } = input;
  if (!format && typeof from === 'string' && (await isFolder(from))) return openLayout(folderFiles(from));
  const files = await openArchiveFiles(input);
  try {
    const isLayout = format ? format === 'oci-archive' : (await files.size('index.json')) !== undefined;
    return isLayout ? await openLayout(files) : await openDockerArchive(files);
  } catch (error) {
    await files.close();
    throw error;
  }
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
