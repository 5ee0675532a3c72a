import { type DockerConfigForm, decodeDockerConfig } from './docker-config.ts';
import { Keyring } from './keyring.ts';

/** What a pod's pull secret is for this purpose: its data decoded from base64. */
export interface PullSecret {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly type: string;
  readonly data: Readonly<Record<string, string>>;
}

const secretForms: readonly { readonly type: string; readonly dataKey: string; readonly form: DockerConfigForm }[] = [
  { type: 'kubernetes.io/dockerconfigjson', dataKey: '.dockerconfigjson', form: 'dockerconfigjson' },
  { type: 'kubernetes.io/dockercfg', dataKey: '.dockercfg', form: 'dockercfg' },
];

/**
 * The keyring of a pod's pull secrets, in their order. Secrets of other types and without data are passed over.
 * @throws DecodingError for the first one that cannot be decoded; its message becomes the reason why the pod waits
 * @see pull-policy.md 8.3
 */
export function keyringOfSecrets(secrets: readonly PullSecret[]): Keyring {
  const keyring = new Keyring();
  for (const { type, data, namespace, name, uid } of secrets) {
    const known = secretForms.find((form) => form.type === type);
    const text = known && data[known.dataKey];
    if (text) keyring.add(decodeDockerConfig(text, known.form), { secret: { namespace, name, uid } });
  }
  return keyring;
}
