import type { Credential } from './credentials.ts';
import type { Endpoint } from './endpoint.ts';
import type { CallOptions, Requester } from './requester.ts';

/**
 * Shows a credential at the root of an endpoint's API, or to the token server that it names.
 * @returns false when nobody asked for one
 * @throws RegistryError `unauthorized`, `denied` when it is refused
 */
export async function checkCredential(
  requester: Requester,
  endpoint: Endpoint,
  credential: Credential,
  { signal }: Pick<CallOptions, 'signal'>,
): Promise<boolean> {
  const response = await requester.send(
    endpoint,
    {
      method: 'GET',
      target: '/',
      repository: '',
      kind: 'ping',
      what: 'its front page',
      scopes: [],
      accept: [200],
      repeatable: true,
    },
    { credentials: [credential], signal },
  );
  await response.body.discard();
  return response.asked.credentials.length > 0;
}
