import type { Descriptor } from '../oci/descriptor.ts';
import { digestAlgorithm, digestOf } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import { downloadBlob } from './blob-download.ts';
import type { Endpoint } from './endpoint.ts';
import type { CallOptions, Requester } from './requester.ts';
import { repositoryScope } from './scope.ts';
import { contentError } from './status-error.ts';

export interface ReadBlobOptions extends CallOptions {
  /** A larger blob is refused unread. */
  readonly maxBytes: number;
}

/** A small blob, verified; for image configs. @throws RegistryError `too-large`, `digest-mismatch`, and others */
export async function readBlob(
  requester: Requester,
  endpoint: Endpoint,
  reference: Reference,
  descriptor: Descriptor,
  { maxBytes, ...options }: ReadBlobOptions,
): Promise<Uint8Array> {
  const { registry } = endpoint;
  const { digest, size } = descriptor;
  const what = `the blob ${digest} of ${reference.repository}`;
  const asked = { registry, whom: `registry ${registry}`, what, credentials: [] };
  if (size > maxBytes) {
    throw contentError('too-large', asked, `its ${size} bytes are more than the ${maxBytes} that are allowed here`);
  }
  const { body } = await downloadBlob(requester, endpoint, reference, descriptor, options);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const actual = digestOf(bytes, digestAlgorithm(digest));
  if (actual !== digest) throw contentError('digest-mismatch', asked, `its content has the digest ${actual}`);
  return bytes;
}

/** Whether the registry has a blob. */
export async function hasBlob(
  requester: Requester,
  endpoint: Endpoint,
  reference: Reference,
  descriptor: Pick<Descriptor, 'digest'>,
  options: CallOptions,
  action: 'pull' | 'push' = 'pull',
): Promise<boolean> {
  const { repository } = reference;
  const response = await requester.send(
    endpoint,
    {
      method: 'HEAD',
      target: `/${repository}/blobs/${descriptor.digest}`,
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
