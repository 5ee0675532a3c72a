import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openStore, type StoredEvent } from '../store/index.ts';

/** Quicker than anybody reads; looking at two files costs nothing. */
const lookEveryMs = 200;

/** The events of a node: those of the last hour and, when they are followed, each as it happens, until the signal aborts. */
export async function* eventsOf(
  root: string,
  { follow, signal }: { follow: boolean; signal: AbortSignal },
): AsyncIterable<StoredEvent> {
  let afterId = 0;
  for (let seen = ''; !signal.aborted; ) {
    const state = stateOf(root);
    if (state !== seen) {
      seen = state;
      for (const event of await eventsSince(root, afterId)) {
        afterId = event.id;
        yield event;
      }
    }
    if (!follow) return;
    await delay(lookEveryMs, undefined, { signal }).catch(() => {});
  }
}

/** Opened anew each time, so that nothing of the node is held open by somebody who only watches. */
async function eventsSince(root: string, afterId: number): Promise<StoredEvent[]> {
  const store = await openStore(root, { readOnly: true });
  try {
    return store.events.list({ afterId });
  } finally {
    store.close();
  }
}

/** Another text whenever somebody has written. */
function stateOf(root: string): string {
  return ['lading.db', 'lading.db-wal']
    .map((name) => {
      const stat = statSync(join(root, name), { bigint: true, throwIfNoEntry: false });
      return stat ? `${stat.ino} ${stat.size} ${stat.mtimeNs}` : '-';
    })
    .join(', ');
}
