import { createHash } from 'node:crypto';
import type { DockerConfigEntry } from './docker-config.ts';

/** The hash by which pull records recognise a credential without holding it. @see pull-policy.md 8.3 */
export function credentialHash({ username, password, email }: DockerConfigEntry): string {
  const members = Object.entries({ username, password, email }).filter(([, value]) => value !== '');
  // Go writes these five characters in another way than JSON needs.
  const json = JSON.stringify(Object.fromEntries(members)).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return createHash('sha256').update(json, 'utf8').digest('hex');
}
