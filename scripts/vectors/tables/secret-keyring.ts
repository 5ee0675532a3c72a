import { DecodingError, keyringOfSecrets } from '../../../src/policy/index.ts';
import type { Check } from '../vector-table.ts';

/** The default keyring of the table offers the same for every image. */
export const check: Check = ({ input: { image, secrets, defaultKeyring } }) => {
  try {
    const offered = keyringOfSecrets(secrets)
      .lookUp(image)
      .map(({ owner: source, ...credential }) => ({ ...credential, source }));
    return { actual: { offered: [...offered, ...(defaultKeyring ?? [])], error: undefined } };
  } catch (error) {
    if (!(error instanceof DecodingError)) throw error;
    return { actual: { offered: [], error: error.message } };
  }
};
