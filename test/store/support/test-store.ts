import path from 'node:path';
import { onTestFinished } from 'vitest';
import { openStore, type Store, type StoreOptions } from '../../../src/store/index.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

export { factsOf, publishLayer, putImage } from './put-image.ts';

/** A store that is closed and gone after the test. */
export async function testStore(options: StoreOptions & { root?: string } = {}): Promise<Store> {
  const store = await openStore(options.root ?? path.join(await temporaryFolder(), 'node'), options);
  onTestFinished(() => store.close());
  return store;
}

/** A clock that stands still until it is turned. */
export function testClock(startMs = Date.now()): { now: () => number; pass: (ms: number) => void } {
  let time = startMs;
  return {
    now: () => time,
    pass: (ms) => {
      time += ms;
    },
  };
}

export const hourMs = 60 * 60 * 1000;
