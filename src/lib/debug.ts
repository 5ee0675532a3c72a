import { debuglog } from 'node:util';

/**
 * A log for developers, off unless `NODE_DEBUG=lading:AREA` (or `lading:*`) is set. Never give it a secret: it is
 * printed as it comes.
 */
export function debugLog(area: string): (format: string, ...values: unknown[]) => void {
  return debuglog(`lading:${area}`);
}
