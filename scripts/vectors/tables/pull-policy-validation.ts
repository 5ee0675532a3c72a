import {
  type FieldError,
  validateContainerImage,
  validateImageVolume,
  validatePullPolicy,
} from '../../../src/policy/index.ts';
import { type Check, unknownKind, type VectorCase } from '../vector-table.ts';

export const check: Check = ({ input }) => ({
  actual: { errors: errorsOf(input).map(({ type, field }) => ({ type, field })) },
});

function errorsOf(input: VectorCase['input']): FieldError[] {
  switch (input.kind) {
    case 'container':
    case 'ephemeralContainer':
      return validatePullPolicy(input.policy);
    case 'imageVolume':
      return validateImageVolume({ reference: input.reference, pullPolicy: input.policy, insidePod: input.insidePod });
    case 'podContainerImage':
      return validateContainerImage(input.image).map((error) => ({ ...error, field: `container.${error.field}` }));
    default:
      return unknownKind(input.kind);
  }
}
