import { decodeAuth, decodeDockerConfig, decodeEntry } from '../../../src/policy/index.ts';
import { type Check, unknownKind } from '../vector-table.ts';

export const check: Check = ({ input, expect }) => {
  const run = () => {
    if (input.kind === 'entry') return decodeEntry(JSON.parse(input.json));
    if (input.kind === 'auth') return decodeAuth(input.field);
    if (input.kind === 'dockercfg' || input.kind === 'dockerconfigjson')
      return { entries: decodeDockerConfig(input.text, input.kind) };
    return unknownKind(input.kind);
  };
  // What a failed decoding leaves behind in Go is nothing that a caller sees.
  if (expect.fail) return { expected: true, actual: fails(run) };
  return { actual: { fail: false, ...run() } };
};

function fails(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch {
    return true;
  }
}
