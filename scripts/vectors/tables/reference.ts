import { LadingError } from '../../../src/lib/errors.ts';
import {
  familiarReference,
  formatReference,
  parseImageId,
  parseReference,
  pullReference,
  type Reference,
} from '../../../src/oci/index.ts';
import type { Check } from '../vector-table.ts';

export const check: Check = ({ input }) => {
  const identifier = parseImageId(input);
  let reference: Reference;
  try {
    reference = parseReference(input);
  } catch (error) {
    if (!(error instanceof LadingError)) throw error;
    return { actual: { error: error.data.class, identifier } };
  }
  const { registry, repository, tag, digest } = reference;
  const normalized = formatReference(reference);
  return {
    actual: {
      registry,
      repository,
      tag,
      digest,
      normalized,
      familiar: familiarReference(reference),
      pull: formatReference(pullReference(reference)),
      canonicalInput: normalized === input,
      identifier,
    },
  };
};
