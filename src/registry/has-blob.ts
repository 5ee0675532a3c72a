import type { Descriptor } from '../oci/descriptor.ts';
import type { Reference } from '../oci/reference.ts';
import type { Endpoint } from './endpoint.ts';
import type { Requester, SendOptions } from './requester.ts';
import { repositoryScope } from './scope.ts';

/** Whether an endpoint has a blob. `action`: what for, which decides the token that is asked for. */
export async function hasBlob(
  requester: Requester,
  endpoint: Endpoint,
  reference: Pick<Reference, 'repository'>,
  descriptor: Pick<Descriptor, 'digest'>,
  options: SendOptions,
  action: 'pull' | 'push' = 'pull',
): Promise<boolean> {
  const { repository } = reference;
  const response = await requester.send(
    endpoint,
    {
      method: 'HEAD',
      target: `/${repository}/blobs/${descriptor.digest}`,
      repository,
      kind: 'blob',
      what: `the blob ${descriptor.digest} of ${repository}`,
      scopes: [action === 'pull' ? repositoryScope(repository, 'pull') : repositoryScope(repository, 'pull', 'push')],
      accept: [200, 404],
      repeatable: true,
    },
    options,
  );
  return response.status === 200;
}
