import type { ImageSpec } from '../cri/messages.ts';
import type { ImageRequest } from './image-evaluation.ts';
import type { ImageManager } from './image-manager.ts';
import type { ImageVolume, Pod } from './pod.ts';

/** What became of an image volume in one sync: the image to mount, or why there is none. */
export type ImageVolumePull = { readonly image: ImageSpec } | { readonly error: string; readonly message: string };

/**
 * Evaluates the pull policy of each image volume of a pod, one after another in their order; a failure of one does not
 * keep the others from being tried. Events are about the pod.
 * @returns by name of the volume
 * @see pull-policy.md 3
 */
export async function pullImageVolumes(
  imageManager: ImageManager,
  pod: Pod,
  volumes: readonly ImageVolume[],
  request: Pick<ImageRequest, 'sandboxConfig' | 'signal'> = {},
): Promise<Map<string, ImageVolumePull>> {
  const pulls = new Map<string, ImageVolumePull>();
  for (const volume of volumes) {
    const { name, reference, pullPolicy } = volume;
    const evaluation = await imageManager.ensureImageExists(pod, {
      ...request,
      image: reference,
      policy: pullPolicy,
      fieldPath: undefined,
    });
    const { error, message, imageRef = '' } = evaluation;
    pulls.set(
      name,
      error === undefined ? { image: { image: imageRef, userSpecifiedImage: reference } } : { error, message },
    );
  }
  return pulls;
}

/** The images that a container mounts, by name of the volume, or why it cannot start. */
export type ContainerImageVolumes =
  | { readonly volumes: ReadonlyMap<string, ImageSpec> | undefined }
  | { readonly failures: readonly { readonly error: string; readonly message: string }[] };

/**
 * What a container receives of the image volumes of its pod. Failed volumes that it does not mount are harmless; of
 * several that it mounts, all are reported and the last one is why it waits.
 * @param mounts names of the volumes that it mounts, in its order
 * @returns undefined `volumes` when the pod has none
 */
export function containerImageVolumes(
  pulls: ReadonlyMap<string, ImageVolumePull>,
  mounts: readonly string[],
): ContainerImageVolumes {
  if (pulls.size === 0) return { volumes: undefined };
  const volumes = new Map<string, ImageSpec>();
  const failures: { error: string; message: string }[] = [];
  for (const name of mounts) {
    const pull = pulls.get(name);
    if (pull && 'image' in pull) volumes.set(name, pull.image);
    else if (pull) failures.push(pull);
  }
  return failures.length > 0 ? { failures } : { volumes };
}
