/** A process that puts one image into a store, and then removes it if told so: `layer-writer.ts ROOT [remove]`. */
import { openStore } from '../../../src/store/index.ts';
import { putImage } from './put-image.ts';

const [root, mode] = process.argv.slice(2);
const store = await openStore(root!);
const image = await putImage(store, 'a', { names: ['example.com/a:1'] });
if (mode === 'remove') {
  store.images.remove(image.id);
  await store.collectGarbage();
}
store.close();
