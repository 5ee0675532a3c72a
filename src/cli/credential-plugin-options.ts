/** Options of a kubelet for credential plugins. */
import { CredentialPlugins, readCredentialProviders, runPluginFrom } from '../agent/index.ts';
import { UsageError } from './error-report.ts';

export interface CredentialPluginOptions {
  readonly imageCredentialProviderConfig?: string;
  readonly imageCredentialProviderBinDir?: string;
}

/** @param signal ends plugins that run @throws LadingError `ERR_LADING_CREDENTIAL_PROVIDER_CONFIG` */
export function credentialPlugins(
  options: CredentialPluginOptions,
  signal: AbortSignal,
): CredentialPlugins | undefined {
  const { imageCredentialProviderConfig: config, imageCredentialProviderBinDir: folder } = options;
  if (config === undefined && folder === undefined) return undefined;
  if (config === undefined || folder === undefined) {
    throw new UsageError('--image-credential-provider-config and --image-credential-provider-bin-dir need each other');
  }
  const providers = readCredentialProviders(config);
  return new CredentialPlugins({ providers, run: runPluginFrom(folder, signal) });
}
