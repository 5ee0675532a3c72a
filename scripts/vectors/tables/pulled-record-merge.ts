import { mergeCredentials, type PulledRecord } from '../../../src/policy/index.ts';
import type { Check } from '../vector-table.ts';

export const check: Check = ({ input: { name, before, credentials } }) => {
  const record: PulledRecord = {
    imageRef: 'any',
    lastUpdatedMs: 0,
    credentialMapping: before ? { [name]: before } : {},
  };
  const merged = mergeCredentials(record, name, credentials ?? undefined, 1);
  return { actual: { changed: merged !== undefined, after: (merged ?? record).credentialMapping[name] } };
};
