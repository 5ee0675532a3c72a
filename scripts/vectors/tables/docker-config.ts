import { type AuthConfig, CriError } from '../../../src/cri/index.ts';
import { criCredential } from '../../../src/engine/cri-credential.ts';
import { errorCode } from '../../../src/lib/errors.ts';
import { DecodingError, keyringOfSecrets } from '../../../src/policy/index.ts';
import { credentialsInAuthFile } from '../../../src/registry/containers-auth.ts';
import type { RunHelper } from '../../../src/registry/credential-helper.ts';
import { mostSpecific } from '../../../src/registry/credential-store.ts';
import type { Credential } from '../../../src/registry/credentials.ts';
import { findDockerCredential } from '../../../src/registry/docker-config.ts';
import { type Check, unknownKind } from '../vector-table.ts';

const errors: Readonly<Record<string, string>> = {
  ERR_LADING_CREDENTIALS_CONFIG_INVALID: 'config-invalid',
  ERR_LADING_CREDENTIALS_HELPER_NOT_FOUND: 'helper-not-found',
  ERR_LADING_CREDENTIALS_HELPER_FAILED: 'helper-failed',
};

/** One rule set each. */
export const check: Check = (vector) => {
  const rules = ruleSets[vector.semantics as string];
  return rules ? rules(vector) : unknownKind(vector.semantics);
};

const ruleSets: Readonly<Record<string, Check>> = {
  'docker-cli': async ({ config, host, env, helpers }) => {
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
  },

  'containers-image': async ({ config, key, expect }) => {
    const [registry = '', ...path] = (key as string).split('/');
    const all = await credentialsInAuthFile({ text: config, file: 'auth.json', registry });
    const [credential] = mostSpecific(all, path.join('/'));
    return { expected: withoutEmpty(expect), actual: credential ? asVector(credential) : null };
  },

  'kubernetes-keyring': ({ secretType: type, config, image }) => {
    const data = { '.dockerconfigjson': config, '.dockercfg': config };
    try {
      const offered = keyringOfSecrets([{ namespace: 'any', name: 'any', uid: 'any', type, data }]).lookUp(image);
      return { actual: { credentials: offered.map(({ username, password }) => ({ username, password })) } };
    } catch (error) {
      if (!(error instanceof DecodingError)) throw error;
      return { actual: { error: 'secret-invalid' } };
    }
  },

  'cri-auth': ({ auth, host }) => {
    try {
      const credential = criCredential(camelCase(auth ?? {}));
      const isForHost = credential?.host === undefined || credential.host === host;
      const { username = '', password, identityToken } = (isForHost && credential) || {};
      return { actual: { username, secret: password ?? identityToken ?? '' } };
    } catch (error) {
      if (!(error instanceof CriError)) throw error;
      return { actual: { error: 'invalid-auth' } };
    }
  },
};

function camelCase(auth: object): AuthConfig {
  const inCamelCase = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(auth).map(([name, value]) => [inCamelCase(name), value]));
}

/** Members that are empty and members that are absent are the same in this table. */
function withoutEmpty(credential: object | null): object | null {
  return credential && Object.fromEntries(Object.entries(credential).filter(([, value]) => value !== ''));
}

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
