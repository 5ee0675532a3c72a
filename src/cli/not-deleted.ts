import type { NotDeleted } from '../store/index.ts';
import { plural } from './human.ts';
import { oneLine } from './output.ts';

/** One line about what stays in the trash of the store; empty if nothing does. */
export function notDeletedLine(left: readonly NotDeleted[]): string {
  const [first] = left;
  if (first === undefined) return '';
  const next = '`lading gc` deletes it once nothing is mounted there and nothing is immutable (lsattr)';
  return `${oneLine(`${plural(left.length, 'thing')} in the trash cannot be deleted: ${first.reason}; ${next}`)}\n`;
}
