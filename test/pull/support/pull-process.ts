/** A process that pulls one image: `pull-process.ts ROOT NAME [KEEP_COMPRESSED_LAYERS]`. Writes a dot for each piece of a layer that arrives. */
import { parseReference, pullReference } from '../../../src/oci/index.ts';
import { executePull, planPull } from '../../../src/pull/index.ts';
import { RegistryClient } from '../../../src/registry/index.ts';
import { type KeepCompressedLayers, openStore } from '../../../src/store/index.ts';
import { UnpackPool } from '../../../src/unpack/index.ts';

const [root, name, keepCompressedLayers] = process.argv.slice(2);
const store = await openStore(root!, {
  keepCompressedLayers: keepCompressedLayers as KeepCompressedLayers | undefined,
});
const registry = new RegistryClient({ credentials: async () => [] });
const unpack = new UnpackPool({ workers: 2 });
const deps = { store, registry, unpack };
await executePull(deps, await planPull(deps, pullReference(parseReference(name!))), {
  onProgress: (progress) => {
    if ('layer' in progress && progress.state === 'downloading') process.stdout.write('.');
  },
});
await unpack.close();
await registry.close();
store.close();
