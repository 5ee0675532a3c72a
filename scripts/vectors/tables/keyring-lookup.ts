import { type DockerConfigEntry, Keyring, lookUpAll } from '../../../src/policy/index.ts';
import type { Check } from '../vector-table.ts';

/** Only credentials with an owner have a hash. */
const owner = { secret: { namespace: 'any', name: 'any', uid: 'any' } };

export const check: Check = ({ input }) => {
  const keyrings = (input.keyrings as { entries: Record<string, Partial<DockerConfigEntry>> }[][]).map((sources) => {
    const keyring = new Keyring();
    for (const { entries } of sources) keyring.add(completed(entries), owner);
    return keyring;
  });
  const offered = lookUpAll(keyrings, input.image);
  return {
    actual: {
      found: offered.length > 0,
      usernames: offered.map(({ username }) => username),
      hashes: offered.map(({ hash }) => hash),
    },
  };
};

function completed(entries: Record<string, Partial<DockerConfigEntry>>) {
  return Object.fromEntries(
    Object.entries(entries).map(([key, { username = '', password = '', email = '' }]) => [
      key,
      { username, password, email },
    ]),
  );
}
