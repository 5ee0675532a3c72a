import { goTrim } from '../go-text.ts';
import { goBase64 } from './go-base64.ts';
import { goTypeName, parseGoJson } from './go-json.ts';

/** What a pull secret holds for one registry. Members that are not there are empty. */
export interface DockerConfigEntry {
  readonly username: string;
  readonly password: string;
  readonly email: string;
}

/** By key: `ghcr.io`, `https://index.docker.io/v1/`, `*.example.com/team`. */
export type DockerConfigEntries = Readonly<Record<string, DockerConfigEntry>>;

/** `dockerconfigjson` has the entries below `auths`, the older `dockercfg` has nothing else. */
export type DockerConfigForm = 'dockerconfigjson' | 'dockercfg';

/** Something that Kubernetes cannot decode; the message is the one that the kubelet shows. */
export class DecodingError extends Error {}

const goTypes: Readonly<Record<DockerConfigForm, string>> = {
  dockerconfigjson: 'credentialprovider.DockerConfigJSON',
  dockercfg: 'credentialprovider.DockerConfig',
};

/**
 * Decodes the content of a pull secret or of the node's file. One entry that cannot be decoded makes all of it unusable.
 * @throws DecodingError
 * @see pull-policy.md 8.3
 */
export function decodeDockerConfig(text: string, form: DockerConfigForm): DockerConfigEntries {
  const document = membersOf(decodeJson(text), goTypes[form]);
  if (form === 'dockercfg') return decodeEntries(document);
  const auths = memberNamed(document, 'auths');
  return decodeEntries(membersOf(auths, 'credentialprovider.DockerConfig'));
}

/** @throws DecodingError */
export function decodeEntry(value: unknown): DockerConfigEntry {
  const members = membersOf(value, 'credentialprovider.dockerConfigEntryWithAuth');
  const text = (name: string): string => {
    const member = memberNamed(members, name);
    if (member === undefined || member === null) return '';
    if (typeof member === 'string') return member;
    const field = `dockerConfigEntryWithAuth.${name}`;
    throw new DecodingError(
      `json: cannot unmarshal ${goTypeName(member)} into Go struct field ${field} of type string`,
    );
  };
  const [username, password, email, auth] = [text('username'), text('password'), text('email'), text('auth')];
  return auth === '' ? { username, password, email } : { ...decodeAuth(auth), email };
}

/**
 * `user:password` in base64, padded or not. Line ends in it do not count.
 * @throws DecodingError
 */
export function decodeAuth(field: string): { username: string; password: string } {
  const decoded = goBase64(field, goTrim(field).endsWith('=') ? 'padded' : 'unpadded');
  if (typeof decoded === 'number') throw new DecodingError(`illegal base64 data at input byte ${decoded}`);
  const pair = decoded.toString('utf8');
  const colon = pair.indexOf(':');
  if (colon < 0) {
    throw new DecodingError('unable to parse auth field, must be formatted as base64(username:password)');
  }
  return { username: pair.slice(0, colon), password: pair.slice(colon + 1) };
}

function decodeEntries(entries: Readonly<Record<string, unknown>>): DockerConfigEntries {
  return Object.fromEntries(Object.entries(entries).map(([name, entry]) => [name, decodeEntry(entry)]));
}

function decodeJson(text: string): unknown {
  const parsed = parseGoJson(text);
  if ('problem' in parsed) throw new DecodingError(parsed.problem);
  return parsed.value;
}

/** Null decodes to nothing, as what is missing. */
function membersOf(value: unknown, goType: string): Readonly<Record<string, unknown>> {
  if (value === undefined || value === null) return {};
  if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new DecodingError(`json: cannot unmarshal ${goTypeName(value)} into Go value of type ${goType}`);
}

/** Go matches names without regard to case; the last one wins. */
function memberNamed(members: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.entries(members).findLast(([written]) => written.toLowerCase() === name)?.[1];
}
