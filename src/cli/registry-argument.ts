/** Names of registries on the command line. */
import { UsageError } from './error-report.ts';

/**
 * The registry that `https://host:port/path`, `host:port` or `host` names, as references have it.
 * @throws UsageError when it names none
 */
export async function parseRegistry(text: string): Promise<string> {
  const { parseReference } = await import('../oci/index.ts');
  const host = text.replace(/^https?:\/\//, '').replace(/\/.*$/s, '');
  try {
    const { registry } = parseReference(`${host}/repository`);
    if (registry === host || host === 'index.docker.io') return registry;
  } catch {
    // It is told below.
  }
  throw new UsageError(`${JSON.stringify(text)} is not the name of a registry`, {
    hint: 'A registry is HOST or HOST:PORT, for example ghcr.io or localhost:5000.',
  });
}
