import { errorCode } from '../../../src/lib/errors.ts';
import type { RunHelper } from '../../../src/registry/credential-helper.ts';
import type { Credential } from '../../../src/registry/credentials.ts';
import { findDockerCredential } from '../../../src/registry/docker-config.ts';
import type { Check, VectorCase } from '../vector-table.ts';

const errors: Readonly<Record<string, string>> = {
  ERR_LADING_CREDENTIALS_CONFIG_INVALID: 'config-invalid',
  ERR_LADING_CREDENTIALS_HELPER_NOT_FOUND: 'helper-not-found',
  ERR_LADING_CREDENTIALS_HELPER_FAILED: 'helper-failed',
};

/** The other rule sets of the table belong to pull secrets, other tools' files and the CRI. */
export const covers = (vector: VectorCase): boolean => vector.semantics === 'docker-cli';

export const check: Check = async ({ config, host, env, helpers }) => {
  try {
    const credential = await findDockerCredential({
      config,
      file: 'config.json',
      registry: host,
      environmentConfig: env?.DOCKER_AUTH_CONFIG,
      runHelper: scripted(helpers ?? {}),
    });
    return { actual: credential ? asVector(credential) : null };
  } catch (error) {
    const known = errors[errorCode(error) ?? ''];
    if (known === undefined) throw error;
    return { actual: { error: known } };
  }
};

function asVector({ username, password, identityToken, registryToken }: Credential) {
  return { username, password, identitytoken: identityToken, registrytoken: registryToken };
}

type Script = Readonly<Record<string, Readonly<Record<string, { exit?: number; stdout?: string }>>>>;

function scripted(helpers: Script): RunHelper {
  return async (name, _, serverKey) => {
    const answers = helpers[name];
    if (!answers) return undefined;
    const answer = answers[serverKey];
    if (!answer) return { exitCode: 1, stdout: 'credentials not found in native keychain' };
    return { exitCode: answer.exit ?? 0, stdout: answer.stdout ?? JSON.stringify(answer) };
  };
}
