/** The root as an OCI image layout, so that other tools can read it as it is: `oci-layout` and `index.json`. */
import { existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crashPoint } from '../lib/crash-point.ts';
import { readRegularFile } from '../lib/read-regular-file.ts';
import { mediaTypes } from '../oci/media-types.ts';
import { diskError } from './disk.ts';
import type { NameRecord } from './names.ts';

/**
 * Writes what is not there as it should be; each file by one rename.
 * @see https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 */
export function writeLayout(root: string, names: readonly NameRecord[]): void {
  const manifests = names.map(({ name, target }) => ({
    ...target,
    annotations: { ...target.annotations, 'org.opencontainers.image.ref.name': name },
  }));
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests };
  try {
    writeIfOther(join(root, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
    writeIfOther(join(root, 'index.json'), JSON.stringify(index));
  } catch (error) {
    throw diskError(error, 'list the images of the node', root);
  }
}

function writeIfOther(path: string, text: string): void {
  if (read(path) === text) return;
  const unfinished = `${path}.${process.pid}`;
  writeFileSync(unfinished, text);
  crashPoint('layout-written');
  renameSync(unfinished, path);
}

/** What a kill between the two leaves. Call it while nobody else opens the store. */
export function removeUnfinished(root: string): void {
  for (const name of readdirSync(root)) {
    const [, pid] = /^(?:index\.json|oci-layout)\.(\d+)$/.exec(name) ?? [];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(root, name), { force: true });
  }
}

function read(path: string): string | undefined {
  try {
    return readRegularFile(path);
  } catch {
    return undefined;
  }
}
