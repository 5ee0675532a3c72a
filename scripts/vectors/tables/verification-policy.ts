import { errorCode } from '../../../src/lib/errors.ts';
import { verificationPolicy } from '../../../src/policy/index.ts';
import type { Check } from '../vector-table.ts';

export const check: Check = ({ input: { policy, allowlist, image, pulledByKubelet } }) => {
  try {
    return { actual: { verify: verificationPolicy(policy, allowlist)(image, { pulledByKubelet }) } };
  } catch (error) {
    if (errorCode(error) !== 'ERR_LADING_KUBELET_CONFIG') throw error;
    return { actual: { configError: true } };
  }
};
