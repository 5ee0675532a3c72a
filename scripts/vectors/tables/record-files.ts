import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { recordOf, withRecords } from '../pull-record-parts.ts';
import type { Check } from '../vector-table.ts';

const folders = ['image_manager/pulling', 'image_manager/pulled'];

export const check: Check = ({ input }) =>
  withRecords(async (records, directory) => {
    if (input.write) {
      if (input.write === 'intent') await records.writeIntent(input.image);
      else await records.writeRecord(recordOf(input.record));
      return { actual: await onlyFile(directory) };
    }
    const { directory: folder, fileName, content } = input.startWith;
    const path = join(directory, folder, fileName);
    await mkdir(join(directory, folder), { recursive: true });
    await writeFile(path, content, { mode: 0o600 });
    await records.open();
    const refs = (await records.records()).map(({ imageRef }) => imageRef);
    return { actual: { content: await readFile(path, 'utf8'), listed: [...(await records.intents()), ...refs] } };
  });

async function onlyFile(directory: string): Promise<unknown> {
  const found: unknown[] = [];
  for (const folder of folders) {
    for (const fileName of await readdir(join(directory, folder))) {
      const path = join(directory, folder, fileName);
      const fileMode = `0${((await stat(path)).mode & 0o777).toString(8)}`;
      found.push({ directory: folder, fileName, content: await readFile(path, 'utf8'), fileMode });
    }
  }
  return found.length === 1 ? found[0] : found;
}
