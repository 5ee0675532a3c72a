import { containersAuthCredentials, containersAuthFiles } from './containers-auth.ts';
import { helperRunner } from './credential-helper.ts';
import { hasSecret } from './credential-store.ts';
import type { Credential, CredentialSource } from './credentials.ts';
import { dockerConfigCredentials } from './docker-config.ts';

/**
 * What the tools of this machine have been logged in with: docker, then podman and its relatives; the first one that
 * knows a registry counts. `REGISTRY_AUTH_FILE` comes before all. Read anew for each question.
 */
export function machineCredentials(environment: NodeJS.ProcessEnv = process.env): CredentialSource {
  const fromDocker = dockerConfigCredentials(environment);
  const fromContainers: CredentialSource = async (registry, { signal } = {}) => {
    for (const file of containersAuthFiles(environment)) {
      const credentials = await containersAuthCredentials(file, registry, { runHelper: helperRunner(signal) });
      if (credentials.some(hasSecret)) return credentials;
    }
    return [];
  };
  const sources = environment.REGISTRY_AUTH_FILE ? [fromContainers, fromDocker] : [fromDocker, fromContainers];
  return async (registry, options): Promise<readonly Credential[]> => {
    for (const source of sources) {
      const credentials = await source(registry, options);
      if (credentials.length > 0) return credentials;
    }
    return [];
  };
}
