import { CredentialPlugin, type CredentialPluginsOptions } from '../../../src/agent/credential-plugins.ts';
import type { CredentialProvider } from '../../../src/agent/credential-provider-config.ts';
import { goDuration } from '../../../src/policy/index.ts';
import type { Check, VectorCase } from '../vector-table.ts';

const apiVersion = 'credentialprovider.kubelet.k8s.io/v1';

/** Every run of the plugin gives the answer of the case. */
export const check: Check = async (vector) => {
  const { pod, response, calls } = vector;
  let runs = 0;
  let now = 0;
  const answer = {
    kind: 'CredentialProviderResponse',
    apiVersion,
    cacheKeyType: response.cacheKeyType,
    ...(response.cacheDurationMs !== null && { cacheDuration: goDuration(response.cacheDurationMs) }),
    auth: response.auth,
  };
  const plugin = new CredentialPlugin(providerOf(vector), {
    providers: [],
    run: async () => {
      runs += 1;
      return JSON.stringify(answer);
    },
    clock: { now: () => now, sleep: () => Promise.reject(new Error('nothing here waits')) },
    ...accountsOf(vector),
  });
  const outcomes = [];
  for (const { atMs, image, expect } of calls) {
    now = atMs;
    const { entries, serviceAccount } = await plugin.provide(image, pod);
    const actual = { authKeys: Object.keys(entries), pluginRunsSoFar: runs, serviceAccount };
    outcomes.push({ expected: expect, actual });
  }
  return outcomes;
};

function providerOf({ provider }: VectorCase): CredentialProvider {
  const { matchImages, defaultCacheMs, serviceAccount } = provider;
  return {
    name: 'plugin',
    apiVersion,
    matchImages,
    defaultCacheDurationMs: defaultCacheMs,
    args: [],
    env: {},
    ...(serviceAccount && {
      tokenAttributes: {
        serviceAccountTokenAudience: 'audience',
        cacheType: serviceAccount.cacheType,
        requireServiceAccount: serviceAccount.require,
        requiredServiceAccountAnnotationKeys: serviceAccount.requiredAnnotations,
        optionalServiceAccountAnnotationKeys: serviceAccount.optionalAnnotations,
      },
    }),
  };
}

function accountsOf({ provider }: VectorCase): Pick<CredentialPluginsOptions, 'serviceAccounts'> {
  const { serviceAccount } = provider;
  if (!serviceAccount) return {};
  const { account, token, tokenError } = serviceAccount;
  return {
    serviceAccounts: {
      get: async () => account,
      token: async () => {
        if (tokenError !== null) throw new Error(tokenError);
        return token;
      },
    },
  };
}
