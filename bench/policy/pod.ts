import { type Pod, parsePodManifests } from '../../src/agent/index.ts';

export function podOf(image: string): Pod {
  const spec = { containers: [{ name: 'main', image }] };
  const manifest = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'bench' }, spec };
  return parsePodManifests(JSON.stringify(manifest), { file: 'bench.json' })[0]!;
}
