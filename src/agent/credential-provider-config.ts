import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';
import { errorMessage, LadingError } from '../lib/errors.ts';
import { parseGoDuration } from '../lib/go-duration.ts';
import { pluginApiVersions } from '../policy/index.ts';

/** One credential plugin as it is configured. */
export interface CredentialProvider {
  /** Also the name of its program. */
  readonly name: string;
  readonly matchImages: readonly string[];
  readonly defaultCacheDurationMs: number;
  readonly apiVersion: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Ask on behalf of the pod's service account. */
  readonly tokenAttributes?: TokenAttributes;
}

export interface TokenAttributes {
  readonly serviceAccountTokenAudience: string;
  /** `Token`: an answer is for this very token; `ServiceAccount`: for the account. */
  readonly cacheType: 'ServiceAccount' | 'Token';
  readonly requireServiceAccount: boolean;
  readonly requiredServiceAccountAnnotationKeys: readonly string[];
  readonly optionalServiceAccountAnnotationKeys: readonly string[];
}

const kinds = ['v1', 'v1beta1', 'v1alpha1'].map((version) => `kubelet.config.k8s.io/${version}`);

/**
 * The credential plugins of a `CredentialProviderConfig`: one file, or all files of a folder that end in `.json`, `.yaml`
 * or `.yml`, in the order of their names.
 * @throws LadingError `ERR_LADING_CREDENTIAL_PROVIDER_CONFIG` with all problems
 * @see pull-policy.md 8.4
 */
export function readCredentialProviders(fileOrFolder: string): readonly CredentialProvider[] {
  const problems: string[] = [];
  const providers = filesOf(fileOrFolder).flatMap((file) =>
    parseProviders(readFileSync(file, 'utf8'), (problem) => problems.push(`${file}: ${problem}`)),
  );
  const names = providers.map(({ name }) => name);
  for (const name of new Set(names.filter((name, index) => names.indexOf(name) !== index))) {
    problems.push(`the name ${JSON.stringify(name)} is used more than once`);
  }
  if (problems.length === 0 && providers.length > 0) return providers;
  throw new LadingError(
    'ERR_LADING_CREDENTIAL_PROVIDER_CONFIG',
    `${fileOrFolder} configures no usable credential plugins: ${problems.join('; ') || 'there are none'}`,
    { hint: 'Each provider needs name, matchImages, defaultCacheDuration and apiVersion.' },
  );
}

function filesOf(fileOrFolder: string): readonly string[] {
  if (!statSync(fileOrFolder).isDirectory()) return [fileOrFolder];
  return readdirSync(fileOrFolder)
    .filter((name) => /\.(?:json|ya?ml)$/.test(name))
    .sort()
    .map((name) => path.join(fileOrFolder, name));
}

type Report = (problem: string) => void;
type Table = Readonly<Record<string, unknown>>;

function parseProviders(text: string, report: Report): readonly CredentialProvider[] {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    // What follows the first line quotes the file, whose variables may hold secrets.
    report(`it is not YAML: ${errorMessage(error).split('\n', 1)[0]!.replace(/:$/, '')}`);
    return [];
  }
  if (
    !isTable(document) ||
    document.kind !== 'CredentialProviderConfig' ||
    !kinds.includes(String(document.apiVersion))
  ) {
    report(`it is no CredentialProviderConfig of ${kinds[0]}`);
    return [];
  }
  const { providers } = document;
  if (!Array.isArray(providers)) {
    report('providers is not a list');
    return [];
  }
  return providers.map((provider, index) =>
    parseProvider(isTable(provider) ? provider : {}, (problem) => report(`providers[${index}].${problem}`)),
  );
}

function parseProvider(provider: Table, report: Report): CredentialProvider {
  const { name, apiVersion, matchImages, defaultCacheDuration, args = [], env = [], tokenAttributes } = provider;
  if (!isText(name) || name === '' || /[/ ]/.test(name) || name === '.' || name === '..') {
    report('name is not the name of a program');
  }
  if (!pluginApiVersions.some((known) => known === apiVersion)) report(`apiVersion is not one of ${pluginApiVersions}`);
  if (!isTextList(matchImages) || matchImages.length === 0) report('matchImages is not a list of patterns');
  const durationMs = isText(defaultCacheDuration) ? parseGoDuration(defaultCacheDuration) : undefined;
  if (durationMs === undefined || durationMs < 0) report('defaultCacheDuration is not a duration such as 12h');
  if (!isTextList(args)) report('args is not a list of texts');
  const variables = Array.isArray(env) ? env : [undefined];
  if (!variables.every(isVariable)) report('env is not a list of name and value');
  return {
    name: String(name),
    apiVersion: String(apiVersion),
    matchImages: isTextList(matchImages) ? matchImages : [],
    defaultCacheDurationMs: durationMs ?? 0,
    args: isTextList(args) ? args : [],
    env: Object.fromEntries(variables.filter(isVariable).map((variable) => [variable.name, variable.value ?? ''])),
    ...(tokenAttributes !== undefined && {
      tokenAttributes: parseTokenAttributes(
        isTable(tokenAttributes) ? tokenAttributes : {},
        String(apiVersion),
        report,
      ),
    }),
  };
}

function parseTokenAttributes(attributes: Table, apiVersion: string, report: Report): TokenAttributes {
  const {
    serviceAccountTokenAudience: audience,
    cacheType,
    requireServiceAccount: required,
    requiredServiceAccountAnnotationKeys: requiredKeys = [],
    optionalServiceAccountAnnotationKeys: optionalKeys = [],
  } = attributes;
  const wrong = (problem: string) => report(`tokenAttributes.${problem}`);
  if (apiVersion !== pluginApiVersions[0]) report(`tokenAttributes needs the apiVersion ${pluginApiVersions[0]}`);
  if (!isText(audience) || audience === '') wrong('serviceAccountTokenAudience is missing');
  if (cacheType !== 'ServiceAccount' && cacheType !== 'Token') wrong('cacheType is not ServiceAccount or Token');
  if (typeof required !== 'boolean') wrong('requireServiceAccount is not true or false');
  if (!isTextList(requiredKeys)) wrong('requiredServiceAccountAnnotationKeys is not a list of texts');
  else if (required === false && requiredKeys.length > 0) {
    wrong('requiredServiceAccountAnnotationKeys needs requireServiceAccount: true');
  }
  if (!isTextList(optionalKeys)) wrong('optionalServiceAccountAnnotationKeys is not a list of texts');
  return {
    serviceAccountTokenAudience: String(audience),
    cacheType: cacheType === 'Token' ? 'Token' : 'ServiceAccount',
    requireServiceAccount: required === true,
    requiredServiceAccountAnnotationKeys: isTextList(requiredKeys) ? requiredKeys : [],
    optionalServiceAccountAnnotationKeys: isTextList(optionalKeys) ? optionalKeys : [],
  };
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isText);
}

function isVariable(value: unknown): value is { readonly name: string; readonly value?: string } {
  return (
    isTable(value) && isText(value.name) && value.name !== '' && (value.value === undefined || isText(value.value))
  );
}
