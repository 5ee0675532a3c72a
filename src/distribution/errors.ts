import type { OutgoingHttpHeaders } from 'node:http';
import { errorMessage } from '../lib/errors.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';

/** @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes */
export type OciErrorCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'TOOMANYREQUESTS'
  | 'UNAUTHORIZED'
  | 'UNSUPPORTED';

export interface OciError {
  /** `UNKNOWN` only with status 500, for which the specification has no code. */
  readonly code: OciErrorCode | 'UNKNOWN';
  readonly message: string;
  readonly detail?: unknown;
}

/** Ends a request with an error answer: an HTTP status, the errors of its body, and headers besides. */
export class Refusal extends Error {
  readonly status: number;
  readonly errors: readonly OciError[];
  readonly headers: OutgoingHttpHeaders;

  constructor(status: number, errors: OciError | readonly OciError[], headers: OutgoingHttpHeaders = {}) {
    const list = 'code' in errors ? [errors] : errors;
    super(list.map(({ code, message }) => `${code}: ${message}`).join('; '));
    this.name = 'Refusal';
    this.status = status;
    this.errors = list;
    this.headers = headers;
  }
}

export function repositoryUnknown(name: string): Refusal {
  return new Refusal(404, { code: 'NAME_UNKNOWN', message: 'repository name not known', detail: { name } });
}

/** @throws Refusal `DIGEST_INVALID` */
export function digestOrRefusal(text: string): Digest {
  try {
    return parseDigest(text);
  } catch (error) {
    throw new Refusal(400, { code: 'DIGEST_INVALID', message: errorMessage(error), detail: { digest: text } });
  }
}
