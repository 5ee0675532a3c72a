import type { RateLimit, RegistryClientOptions, RequestRecord } from '../registry/index.ts';
import type { Cli } from './cli.ts';
import { humanSize } from './human.ts';
import { oneLine } from './output.ts';
import { makeV8Lean } from './v8-flags.ts';

/** Mirrors as configured; and what a registry client tells people on stderr: warnings, with `-v` a line for each request. */
export function registryOptions(cli: Cli): Pick<RegistryClientOptions, 'mirrors' | 'onRequest' | 'onWarning'> {
  makeV8Lean();
  const mirrors = cli.settings['registry.mirrors'];
  return {
    ...(mirrors && { mirrors }),
    onWarning: ({ text }) => cli.stderr.write(`warning: ${oneLine(text)}\n`),
    ...(cli.verbose && { onRequest: (record) => cli.stderr.write(`${oneLine(lineFor(record))}\n`) }),
  };
}

/** Mirrors, token servers and storage hosts show under their own names. */
function lineFor({ host, method, path, status, durationMs, bytes, rateLimit }: RequestRecord): string {
  const line = `${method} ${host}${path} ${status ?? 'no answer'} ${Math.round(durationMs)}ms ${humanSize(bytes)}`;
  return rateLimit ? `${line} (${describe(rateLimit)})` : line;
}

function describe({ limit, remaining, windowSeconds }: RateLimit): string {
  const window = windowSeconds === undefined ? '' : ` in ${Math.round(windowSeconds / 60)} min`;
  return `${remaining} of ${limit} pulls left${window}`;
}
