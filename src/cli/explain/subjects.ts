/** What the arguments of `lading explain` ask about: images, and the containers and image volumes of manifests. */
import { type Pod, parsePodManifests } from '../../agent/index.ts';
import { formatReference, parseReference } from '../../oci/index.ts';
import type { PullPolicy } from '../../policy/index.ts';
import { meansFile, readManifest } from '../manifest-files.ts';
import { registryOf } from '../registry-argument.ts';

export interface Subject {
  /** What is explained. */
  readonly image: string;
  /** What the manifest, or the command line, says instead. */
  readonly insteadOf?: string;
  /** As in the manifest. */
  readonly policy?: PullPolicy;
  readonly file?: string;
  readonly container?: string;
  /** Of an image volume. */
  readonly volume?: string;
  /** Whose credentials and annotations count. */
  readonly pod: Pod;
}

export interface SubjectOptions {
  /** Ends the wait for standard input. */
  readonly signal: AbortSignal;
  /** HOST of a registry that the images come from. */
  readonly atRegistry?: string | undefined;
}

/** @throws PodManifestError; LadingError `ERR_LADING_FILE_UNREADABLE`; UsageError when `atRegistry` is none */
export async function subjectsOf(args: readonly string[], { signal, atRegistry }: SubjectOptions): Promise<Subject[]> {
  const subjects: Subject[] = [];
  for (const argument of args) subjects.push(...(await subjectsOfArgument(argument, signal)));
  if (atRegistry === undefined) return subjects;
  const registry = await registryOf(atRegistry);
  return subjects.map((subject) => movedTo(registry, subject));
}

async function subjectsOfArgument(argument: string, signal: AbortSignal): Promise<Subject[]> {
  if (!(await meansFile(argument))) return [{ image: argument, pod: nobody() }];
  const pods = await readManifest(argument, { unsupported: 'warn', signal });
  return pods.flatMap((pod) => [
    ...pod.spec.imageVolumes.map(({ name: volume, reference: image, pullPolicy, pullPolicyOrigin }) => ({
      image,
      ...(pullPolicyOrigin === 'written' ? { policy: pullPolicy } : {}),
      file: pod.source.file,
      volume,
      pod,
    })),
    ...[...pod.spec.initContainers, ...pod.spec.containers, ...pod.spec.ephemeralContainers].map((container) => ({
      image: container.image,
      ...(container.pullPolicyOrigin === 'written' ? { policy: container.imagePullPolicy } : {}),
      file: pod.source.file,
      container: container.name,
      pod,
    })),
  ]);
}

/** A pod without credentials of its own, for images that no manifest names. */
function nobody(): Pod {
  const spec = { containers: [{ name: 'image', image: 'image' }] };
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'image' }, spec });
  return parsePodManifests(text, { file: '' })[0]!;
}

/** Repository, tag and digest stay; a name that cannot be read stays as it is. */
function movedTo(registry: string, subject: Subject): Subject {
  try {
    const image = formatReference({ ...parseReference(subject.image), registry });
    return { ...subject, image, insteadOf: subject.image };
  } catch {
    return subject;
  }
}
