import type { RequestRecord } from '../registry/index.ts';
import type { Cli } from './cli.ts';
import { humanSize } from './human.ts';
import { oneLine } from './output.ts';

/** With `-v`: a line on stderr for each request to a registry. */
export function requestLog(cli: Cli): { onRequest?: (record: RequestRecord) => void } {
  if (!cli.verbose) return {};
  return {
    onRequest: ({ registry, method, path, status, durationMs, bytes }) => {
      const line = `${method} ${registry}${path} ${status ?? 'no answer'} ${Math.round(durationMs)}ms ${humanSize(bytes)}`;
      cli.stderr.write(`${oneLine(line)}\n`);
    },
  };
}
