import type { DockerRegistry } from './docker-registry.ts';
import { type HostileServer, startHostileServer } from './hostile-server.ts';

/** Answers as the registry does, but of one blob it sends the first `bytes` bytes and then nothing more. */
export function startStuckRegistry(
  registry: DockerRegistry,
  { digest, bytes }: { digest: string; bytes: number },
): Promise<HostileServer> {
  return startHostileServer(async ({ method, path, headers }, response) => {
    const answer = await fetch(registry.url + path, { method, headers: { accept: headers.accept ?? '*/*' } });
    const body = Buffer.from(await answer.arrayBuffer());
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (path.endsWith(digest)) response.write(body.subarray(0, bytes));
    else response.end(body);
  });
}
