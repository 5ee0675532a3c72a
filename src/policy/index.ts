/**
 * Kubernetes' decisions about images, as pure functions: facts in, the decision and its reasons out. Names, texts and
 * arithmetic are the kubelet's to the letter. Nothing here does I/O or reads a clock, and nobody else makes up a reason.
 */
export {
  type Admission,
  type AdmissionContainer,
  type AdmissionPod,
  type AdmissionRequest,
  admitAlwaysPull,
  validateAlwaysPull,
} from './admission.ts';
export { Backoff, type BackoffOptions, imagePullBackOff, imagePullKey } from './backoff.ts';
export { credentialHash } from './credentials/credential-hash.ts';
export {
  DecodingError,
  type DockerConfigEntries,
  type DockerConfigEntry,
  type DockerConfigForm,
  decodeAuth,
  decodeDockerConfig,
  decodeEntry,
} from './credentials/docker-config.ts';
export {
  type CredentialOwner,
  isDefaultRegistry,
  Keyring,
  lookUpAll,
  type OfferedCredential,
} from './credentials/keyring.ts';
export { type PluginAnswer, PluginCache, type PluginCacheKeyType, pluginMatches } from './credentials/plugin-cache.ts';
export {
  decodePluginAnswer,
  encodePluginRequest,
  type PluginRequest,
  pluginApiVersions,
} from './credentials/plugin-protocol.ts';
export { keyringOfSecrets, type PullSecret } from './credentials/pull-secrets.ts';
export { registryPatternMatches } from './credentials/registry-pattern.ts';
export {
  decidePull,
  looksAtNode,
  type PullDecision,
  type PullFacts,
  type Reason,
  withoutCredentials,
  withoutIntent,
} from './decision.ts';
export {
  type DefaultedPolicy,
  defaultPullPolicy,
  isPullPolicy,
  type PullPolicy,
  pullPolicies,
} from './default-policy.ts';
export { type ExplainInput, type Explanation, explain, type PolicyOutcome } from './explanation.ts';
export type { NodeImageFacts, NotAsked, RegistryFacts } from './explanation-facts.ts';
export { goDuration, goQuote } from './go-text.ts';
export {
  defaultImageGcPolicy,
  detectImages,
  diskPressure,
  enoughFreed,
  formatCapacity,
  type ImageGcPolicy,
  type ImageUse,
  type ImageVerdict,
  imageGcIsOff,
  imageGcPolicyError,
  imageGcTexts,
  judgeAge,
  judgeForSpace,
  keptAlways,
  type ListedImage,
  notFull,
  removalOrder,
} from './image-gc.ts';
export { type ImageName, parseImageName, recordKey, runtimeImage } from './image-name.ts';
export { defaultKubeletConfig, imageGcPolicyOf, type KubeletConfig, kubeletConfigErrors } from './kubelet-config.ts';
export { type MustPullAnswer, type MustPullFacts, mustAttemptPull, type TrackedPodCredentials } from './must-pull.ts';
export {
  type ImagePullCredentials,
  type ImagePullSecret,
  type ImagePullServiceAccount,
  mergeCredentials,
  mergeServiceAccounts,
  type PulledRecord,
  sameCoordinates,
} from './pull-credentials.ts';
export {
  backOffMessage,
  classifyPullError,
  combinePullErrors,
  isKubeletReason,
  type KubeletReason,
  type PullFailure,
} from './pull-error.ts';
export {
  type ContainerIdentity,
  type CrashLoopWait,
  checkCrashLoop,
  crashLoopBackOff,
  crashLoopDelays,
  crashLoopKey,
  decideRestart,
  type PodIdentity,
  type RestartDecision,
  type RestartFacts,
  type RestartPolicy,
  type RestartRule,
} from './restart.ts';
export {
  type CachedImageFacts,
  decideCached,
  lastKnownCurrent,
  unreachableAnnotationErrors,
  type WhenUnreachable,
  whenUnreachable,
} from './unreachable.ts';
export { type FieldError, validateContainerImage, validateImageVolume, validatePullPolicy } from './validation.ts';
export {
  type VerificationPolicy,
  type VerificationPolicyName,
  verificationPolicies,
  verificationPolicy,
} from './verification-policy.ts';
