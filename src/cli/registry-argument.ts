/** Names of registries, and of repositories on them, on the command line. */
import { UsageError } from './error-report.ts';

/**
 * The registry that `https://host:port/path`, `host:port` or `host` names, as references have it.
 * @throws UsageError when it names none
 */
export async function parseRegistry(text: string): Promise<string> {
  return registryOf(text.replace(/^https?:\/\//, '').replace(/\/.*$/s, ''), text);
}

/**
 * The registry that `host:port` or `host` names, as references have it.
 * @param written what the user wrote, for the message
 * @throws UsageError when it names none
 */
export async function registryOf(host: string, written = host): Promise<string> {
  const { parseReference } = await import('../oci/index.ts');
  try {
    const { registry, repository } = parseReference(`${host}/repository`);
    if (repository === 'repository' && (registry === host || host === 'index.docker.io')) return registry;
  } catch {
    // It is told below.
  }
  throw new UsageError(`${JSON.stringify(written)} is not the name of a registry`, {
    hint: 'A registry is HOST or HOST:PORT, for example ghcr.io or localhost:5000.',
  });
}

/** @throws UsageError */
export async function requireRepositoryName(text: string): Promise<void> {
  const { parseReference } = await import('../oci/index.ts');
  try {
    if (parseReference(`localhost/${text}`).repository === text) return;
  } catch {
    // It is told below.
  }
  throw new UsageError(`${JSON.stringify(text)} is not the name of a repository`, {
    hint: 'It is of lower-case letters and digits, with . _ - and / between them, for example team/app.',
  });
}
