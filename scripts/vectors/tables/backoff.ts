import { Backoff, type BackoffOptions } from '../../../src/policy/index.ts';
import { type Check, unknownKind, type VectorCase } from '../vector-table.ts';

export const check: Check = ({ config, steps }) => {
  const { initialMs, maxMs, expiry } = config;
  const backOff = new Backoff({ initialMs, maxMs, ...expiryOption(expiry) });
  return steps.map((step: VectorCase['step']) => ({
    actual: runStep(backOff, step),
    expected: step.expect ?? step.expectMs ?? null,
  }));
};

function expiryOption(expiry: VectorCase['expiry']): Pick<BackoffOptions, 'expiry'> {
  switch (expiry.kind) {
    case 'moreThanTwiceMax':
      return {};
    case 'moreThan':
      return { expiry: { moreThanMs: expiry.ms } };
    case 'atLeast':
      return { expiry: { atLeastMs: expiry.ms } };
    default:
      return unknownKind(expiry.kind);
  }
}

function runStep(backOff: Backoff, { op, key, atMs, eventMs }: VectorCase['step']): unknown {
  switch (op) {
    case 'next':
      return backOff.next(key, atMs, eventMs);
    case 'get':
      return backOff.get(key);
    case 'hasEntry':
      return backOff.has(key);
    case 'inBackOffSinceUpdate':
      return backOff.isInBackOffSinceUpdate(key, eventMs);
    case 'inBackOffSinceEvent':
      return backOff.isInBackOff(key, atMs, eventMs);
    case 'reset':
      return backOff.reset(key);
    case 'gc':
      return backOff.gc(atMs);
    default:
      return unknownKind(op);
  }
}
