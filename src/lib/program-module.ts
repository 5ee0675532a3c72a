/** Modules that threads and child processes begin with, below `src/` and without the ending: the build keeps each as a file. */
export const programModules = [
  'distribution/password-worker',
  'lib/overlay-mount-child',
  'runtime/embedded/init',
  'runtime/user-namespace-preload',
  'unpack/worker',
] as const;

/** URL of such a module: the sources run as `.ts`, the published package as `.js`. */
export function programModule(name: (typeof programModules)[number]): URL {
  return new URL(`../${name}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);
}
