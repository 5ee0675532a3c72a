import { createHash } from 'node:crypto';
import type { V1Secret } from '@kubernetes/client-node/dist/gen/models/V1Secret.js';
import type { PullSecret } from '../policy/index.ts';

/** Types of Secrets that hold credentials for registries. */
const pullSecretTypes: readonly (string | undefined)[] = ['kubernetes.io/dockerconfigjson', 'kubernetes.io/dockercfg'];

/** Whether a Secret of this type is one that pods can name in `imagePullSecrets`. */
export function isPullSecretType(type: string | undefined): boolean {
  return pullSecretTypes.includes(type);
}

/** A Secret of a manifest file. What is in it is in no message and in no JSON of it. */
export class FilePullSecret implements PullSecret {
  readonly namespace: string;
  readonly name: string;
  readonly type: string;
  /**
   * Of the cluster that it comes from; else of its content: Secrets that are written by hand have no identity of their own,
   * and other content under the same name must not pass for a rotation of this one.
   */
  readonly uid: string;
  readonly #data: Readonly<Record<string, string>>;

  /** `stringData` goes before `data`, as in the Kubernetes API. */
  constructor(secret: V1Secret, { namespace, name }: { readonly namespace: string; readonly name: string }) {
    const { type = '', data = {}, stringData = {} } = secret;
    this.namespace = namespace;
    this.name = name;
    this.type = type;
    const decoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]);
    this.#data = { ...Object.fromEntries(decoded), ...stringData };
    const content = JSON.stringify([type, Object.entries(this.#data).sort()]);
    this.uid = secret.metadata?.uid || createHash('sha256').update(content).digest('hex').slice(0, 32);
  }

  get data(): Readonly<Record<string, string>> {
    return this.#data;
  }
}
