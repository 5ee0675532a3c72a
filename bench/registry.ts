// npm run bench -- registry: our registry and its client beside others.
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Cost, clients, pushAndPull, shapes } from './registry/copies.ts';
import { loads, pullLarge, pushLarge } from './registry/loads.ts';
import { dockerServer, ladingServer, type Server } from './registry/servers.ts';
import { buildLading } from './shared/lading.ts';
import { median } from './shared/median.ts';
import { removeFolder, scratchFolder } from './shared/scratch-folder.ts';

export const summary = 'the embedded registry beside docker-registry, `lading copy` beside `skopeo copy`';
export const usage = '[--quick] [--runs N] [--scale N] [--place tmpfs|disk]…';

/** Memory shows the program, a disk what its syncs cost. */
const places = [
  { name: 'tmpfs', folder: '/dev/shm' },
  { name: 'disk', folder: tmpdir() },
];
const servers = [ladingServer, dockerServer] as const;

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      runs: { type: 'string' },
      scale: { type: 'string' },
      place: { type: 'string', multiple: true, default: [] },
    },
  });
  const runs = Number(values.runs ?? (values.quick ? 2 : 5));
  const scale = Number(values.scale ?? (values.quick ? 0.15 : 1));
  const chosen = values.place.length > 0 ? values.place : values.quick ? ['tmpfs'] : places.map(({ name }) => name);
  for (const program of ['skopeo', 'docker-registry']) {
    if (spawnSync(program, ['--version'], { stdio: 'ignore' }).status !== 0) {
      throw new Error(`${program} is missing for this benchmark. As root: apt-get install ${program}`);
    }
  }
  buildLading();
  for (const place of places.filter(({ name }) => chosen.includes(name))) {
    await compareServers(place, { runs, scale });
    await compareClients(place, { runs, scale });
  }
  await compareMemory(Math.ceil(2048 * scale));
}

type Place = (typeof places)[number];

interface Setting {
  readonly runs: number;
  readonly scale: number;
}

async function compareServers(place: Place, { runs, scale }: Setting): Promise<void> {
  console.log(`\nServers on ${place.name}, asked by the same client; medians of ${runs} interleaved runs`);
  await withServers(place.folder, async (started) => {
    const rows: Record<string, object> = {};
    for (const { name, unit, run } of loads(scale)) {
      const rates = await interleaved(started, runs, run);
      const [ours, theirs] = rates.map(median) as [number, number];
      rows[name] = {
        lading: rounded(ours),
        'docker-registry': rounded(theirs),
        unit,
        ratio: rounded(ours / theirs),
      };
    }
    console.table(rows);
  });
}

/** Each copy has a new server: what was pushed stays there, and is of another content each time. */
async function compareClients(place: Place, { runs, scale }: Setting): Promise<void> {
  console.log(
    `\nWhole commands on ${place.name}, in seconds (cpu: of the processor); medians of ${runs} interleaved runs`,
  );
  const rows: Record<string, object> = {};
  for (const shape of shapes(scale)) {
    const pairs = servers.flatMap((server) => clients.map((client) => ({ server, client })));
    const times = await interleaved(pairs, runs, ({ server, client }) =>
      inFolder(place.folder, async (folder) => {
        const started = await server.start(join(folder, 'server'));
        try {
          return await pushAndPull(client, { server: started, shape, folder });
        } finally {
          await started.close();
        }
      }),
    );
    for (const way of ['push', 'pull'] as const) {
      for (const [index, server] of servers.entries()) {
        const [ours, theirs] = [times[index * 2]!, times[index * 2 + 1]!].map((each) => ({
          seconds: median(each.map((cost) => cost[way].seconds)),
          cpuSeconds: median(each.map((cost) => cost[way].cpuSeconds)),
        })) as [Pick<Cost, 'seconds' | 'cpuSeconds'>, Pick<Cost, 'seconds' | 'cpuSeconds'>];
        rows[`${way} ${shape.name}, ${server.name}`] = {
          'lading copy': rounded(ours.seconds),
          'skopeo copy': rounded(theirs.seconds),
          ratio: rounded(ours.seconds / theirs.seconds),
          'lading cpu': rounded(ours.cpuSeconds),
          'skopeo cpu': rounded(theirs.cpuSeconds),
          'cpu ratio': rounded(ours.cpuSeconds / theirs.cpuSeconds),
        };
      }
    }
  }
  console.table(rows);
}

async function compareMemory(mebibytes: number): Promise<void> {
  const size = `one blob of ${mebibytes} MiB`;
  await withServers(tmpdir(), async (started, folder) => {
    console.log(`\nPeak memory of fresh servers after ${size} up and down, in MiB`);
    const row: Record<string, number> = {};
    for (const server of started) {
      const { digest } = await pushLarge(server.port, mebibytes);
      await pullLarge(server.port, mebibytes, digest);
      row[server.name] = inMebibytes(server.peakBytes());
    }
    console.table([row]);
    console.log(`\nPeak memory of clients with ${size}, in MiB`);
    const rows: Record<string, object> = {};
    const shape = { name: size, layers: [mebibytes * 2 ** 20] };
    for (const client of clients) {
      const { push, pull } = await pushAndPull(client, { server: started[0]!, shape, folder });
      rows[client.name] = { push: inMebibytes(push.peakBytes), pull: inMebibytes(pull.peakBytes) };
    }
    console.table(rows);
  });
}

function inMebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

function withServers(
  parent: string,
  work: (started: readonly Server[], folder: string) => Promise<void>,
): Promise<void> {
  return inFolder(parent, async (folder) => {
    const started: Server[] = [];
    try {
      for (const kind of servers) started.push(await kind.start(join(folder, kind.name)));
      await work(started, folder);
    } finally {
      for (const server of started) await server.close();
    }
  });
}

async function inFolder<T>(parent: string, work: (folder: string) => Promise<T>): Promise<T> {
  const folder = scratchFolder(parent);
  try {
    return await work(folder);
  } finally {
    removeFolder(folder);
  }
}

/** One after another, again and again, so that whatever else the machine does meets all of them. The first is not counted. */
async function interleaved<T, R>(
  contenders: readonly T[],
  runs: number,
  run: (contender: T) => Promise<R>,
): Promise<R[][]> {
  const results: R[][] = contenders.map(() => []);
  for (let round = 0; round <= runs; round += 1) {
    for (const [index, contender] of contenders.entries()) {
      const result = await run(contender);
      if (round > 0) results[index]!.push(result);
    }
  }
  return results;
}

function rounded(number: number): number {
  return Number(number.toPrecision(3));
}
