/**
 * URL of the module `name` beside the module `importMetaUrl`, with the ending that this build has: the sources run
 * as `.ts`, the published package as `.js`. For worker threads and child processes, which need a file.
 */
export function siblingModule(importMetaUrl: string, name: string): URL {
  return new URL(`${name}${importMetaUrl.endsWith('.ts') ? '.ts' : '.js'}`, importMetaUrl);
}
