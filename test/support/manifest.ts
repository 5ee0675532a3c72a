/** A pod for `lading run`: it is never restarted unless `spec` says otherwise. */
export function pod(name: string, containers: readonly object[], spec: object = {}): object {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: { restartPolicy: 'Never', ...spec, containers } };
}

/** A container that runs a shell script. */
export function shell(name: string, image: string, script: string, fields: object = {}): object {
  return { name, image, command: ['/bin/sh', '-c', script], ...fields };
}

/** One file with several documents: JSON is YAML. */
export function manifestText(...objects: readonly object[]): string {
  return objects.map((object) => JSON.stringify(object, undefined, 2)).join('\n---\n');
}
