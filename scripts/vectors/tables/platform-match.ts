import { errorCode } from '../../../src/lib/errors.ts';
import {
  formatPlatform,
  matchPlatform,
  normalizePlatform,
  type Platform,
  type PlatformEntry,
  parsePlatform,
  selectPlatform,
} from '../../../src/oci/index.ts';
import { type Check, unknownKind } from '../vector-table.ts';

export const check: Check = (vector) => {
  const { kind, mode, host } = vector;
  if (kind !== 'parse' && mode !== 'compatible' && mode !== 'strict') unknownKind({ kind, mode });
  if (kind === 'match') return { actual: { match: matchPlatform(host, vector.candidate, mode) } };
  if (kind === 'select') {
    const manifests: readonly PlatformEntry[] = vector.manifests;
    const candidatesInOrder = selectPlatform(host, manifests, mode).map((entry) => manifests.indexOf(entry));
    return { actual: { selected: candidatesInOrder[0], candidatesInOrder } };
  }
  if (kind !== 'parse') unknownKind(kind);
  let platform: Platform;
  try {
    platform = parsePlatform(vector.input, parsePlatform(vector.local));
  } catch (error) {
    if (errorCode(error) !== 'ERR_LADING_PLATFORM_INVALID') throw error;
    return { actual: { error: 'invalid' } };
  }
  return { actual: { platform, normalized: normalizePlatform(platform), formatted: formatPlatform(platform) } };
};
