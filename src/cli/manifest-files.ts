/** Reads pod manifests named on the command line: paths, and `-` for standard input. */
import { readFile } from 'node:fs/promises';
import type { Pod } from '../agent/pod.ts';
import { type ManifestOptions, parsePodManifests } from '../agent/pod-manifest.ts';
import { LadingError } from '../lib/errors.ts';
import { fileProblem } from '../lib/file-problem.ts';
import { readStandardInput } from './standard-input.ts';

export interface ReadOptions extends Pick<ManifestOptions, 'unsupported'> {
  /** Ends the wait for standard input. */
  readonly signal: AbortSignal;
}

/** @throws PodManifestError with every problem of the file; LadingError `ERR_LADING_FILE_UNREADABLE` */
export async function readManifest(file: string, { signal, ...options }: ReadOptions): Promise<Pod[]> {
  return parsePodManifests(await readText(file, signal), { file: file === '-' ? 'standard input' : file, ...options });
}

/** Whether an argument that may be an image or a file means a file: it looks like one, or there is one of that name. */
export async function meansFile(argument: string): Promise<boolean> {
  if (argument === '-' || /\.(ya?ml|json)$/.test(argument) || /^\.{0,2}\//.test(argument)) return true;
  return readFile(argument).then(
    () => true,
    () => false,
  );
}

async function readText(file: string, signal: AbortSignal): Promise<string> {
  if (file === '-') return readStandardInput(signal);
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new LadingError('ERR_LADING_FILE_UNREADABLE', `cannot read ${file}: ${fileProblem(error)}`, {
      hint: 'Give the path of a Kubernetes manifest, or - for standard input.',
      cause: error,
    });
  }
}
