import { readFileSync } from 'node:fs';

/** The version of Lading itself, as its package.json says; that file is two levels up in the sources and in `dist`. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
