import { type ArchiveInput, openArchiveFiles } from './archive-files.ts';
import type { ImageCollection } from './collection.ts';
import { openDockerArchive } from './docker-archive-source.ts';
import { openLayout } from './layout-source.ts';

export type ArchiveFormat = 'oci-archive' | 'docker-archive';

/**
 * The images of an archive in either format; one that is both, as Docker writes them today, is read as OCI.
 * @param format refuses the other one
 * @throws LadingError `ERR_LADING_ARCHIVE_INVALID`, `ERR_LADING_ARCHIVE_UNSAFE`, `ERR_LADING_ARCHIVE_INCOMPLETE`
 */
export async function openArchive(input: ArchiveInput, format?: ArchiveFormat): Promise<ImageCollection> {
  const files = await openArchiveFiles(input);
  try {
    const isLayout = format ? format === 'oci-archive' : (await files.size('index.json')) !== undefined;
    return isLayout ? await openLayout(files) : await openDockerArchive(files);
  } catch (error) {
    await files.close();
    throw error;
  }
}
