import type { Credential } from './credentials.ts';
import type { Endpoint } from './endpoint.ts';
import { RegistryError } from './registry-error.ts';
import type { CallOptions, RegistryRequest, Requester } from './requester.ts';

/**
 * Shows a credential at the root of an endpoint's API, or to the token server that it names.
 * @returns false when nobody asked for one, or offered to take it
 * @throws RegistryError `unauthorized`, `denied` when it is refused
 */
export async function checkCredential(
  requester: Requester,
  endpoint: Endpoint,
  credential: Credential,
  { signal }: Pick<CallOptions, 'signal'>,
): Promise<boolean> {
  const request: RegistryRequest = {
    method: 'GET',
    target: '/',
    repository: '',
    kind: 'ping',
    what: 'its front page',
    scopes: [],
    // Where everybody may pull, this is answered without a login too.
    loginRule: 'when-offered',
    accept: [200],
    repeatable: true,
  };
  try {
    const response = await requester.send(endpoint, request, { credentials: [credential], signal });
    await response.body.discard();
    return response.asked.credentials.length > 0;
  } catch (error) {
    throw error instanceof RegistryError ? explained(error) : error;
  }
}

/** Whoever is about to log in needs no advice to do so, and no image is meant. */
function explained(error: RegistryError): RegistryError {
  const { kind, ...data } = error.data;
  const wasShown = (data.credentials ?? []).length > 0;
  if (kind !== 'not-found' && (wasShown || (kind !== 'unauthorized' && kind !== 'denied'))) return error;
  const hint =
    kind === 'not-found'
      ? 'What answers there is no registry: check its name and port.'
      : 'It does not say how to log in: perhaps it is no registry, or something before it refuses you.';
  return new RegistryError(kind, error.message, data, { hint, cause: error.cause });
}
