import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LayerFacts } from '../../src/lib/layer-facts.ts';
import type { OverlaySupport } from '../../src/lib/overlay.ts';
import { digestOf } from '../../src/oci/digest.ts';
import type { UnpackJob, UnpackPool } from '../../src/unpack/index.ts';
import { type TarFields, tar } from './tar-builder.ts';

export interface MadeLayer {
  readonly dir: string;
  readonly entriesFile: string;
  readonly facts: LayerFacts;
}

/** Unpacks entries as layer `name` below `folder`. */
export async function makeLayer(
  { pool, folder, support }: { pool: UnpackPool; folder: string; support: OverlaySupport },
  name: string,
  entries: readonly TarFields[],
  changes: Partial<UnpackJob> = {},
): Promise<MadeLayer> {
  const archive = tar(...entries);
  const dir = join(folder, name);
  const entriesFile = `${dir}.entries`;
  mkdirSync(dir);
  writeFileSync(`${dir}.tar`, archive);
  const facts = await pool.unpack({
    blobPath: `${dir}.tar`,
    mediaType: 'application/vnd.oci.image.layer.v1.tar',
    diffId: digestOf(archive),
    targetDir: dir,
    entriesFile,
    overlay: support,
    ...changes,
  });
  return { dir, entriesFile, facts };
}
