// npm run bench -- pull: cold pulls beside installed peers.
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { dockerRegistryMissing, startDockerRegistry } from '../test/support/docker-registry.ts';
import { type BuiltImage, imageKinds, pushImages } from './pull/images.ts';
import { type Measurement, measure } from './pull/measure.ts';
import { containerd, lading, ladingWithZlib, type Peer, podman, skopeo } from './pull/peers.ts';
import { measureRunning } from './pull/running.ts';
import { buildLading } from './shared/lading.ts';
import { median } from './shared/median.ts';
import { removeFolder, scratchFileSystem, scratchFolder } from './shared/scratch-folder.ts';

export const summary = 'cold pull and unpack, beside containerd, podman and skopeo';
export const usage = '[--quick] [--runs N] [--scale N] [--kind NAME]… [--peer NAME]… [--place tmpfs|disk]…';

/** Where the peers keep what they pull: memory shows the program, a disk shows what its order of writes costs. */
const places = [
  { name: 'tmpfs', newFolder: () => scratchFolder('/dev/shm'), goalOfContainerd: 0.3 },
  { name: 'disk', newFolder: () => scratchFileSystem(tmpdir()), goalOfContainerd: 0.5 },
];
const goals = { peakBytes: 150_000_000, warmMs: 10 };
const peers = [lading, ladingWithZlib, containerd, podman, skopeo];

export async function run(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      runs: { type: 'string' },
      scale: { type: 'string' },
      kind: { type: 'string', multiple: true },
      peer: { type: 'string', multiple: true },
      place: { type: 'string', multiple: true },
    },
  });
  const runs = Number(values.runs ?? (values.quick ? 1 : 5));
  // 600 MB of files for each kind: what common images have. With 150 MB the start of a program is a third of the time.
  const scale = Number(values.scale ?? (values.quick ? 0.15 : 4));
  installPeers();
  buildLading();
  const registry = await startDockerRegistry();
  try {
    const chosen = <T extends { name: string }>(all: readonly T[], names: readonly string[] | undefined) =>
      all.filter(({ name }) => names === undefined || names.includes(name.split(' ')[0]!));
    const images = await pushImages(registry, chosen(imageKinds(scale), values.kind));
    const usable = chosen(peers, values.peer);
    for (const peer of usable) console.log(`${peer.name}: ${peer.version()}`);
    for (const place of chosen(places, values.place)) {
      for (const image of images) await compare(image, { place, peers: usable, runs });
    }
  } finally {
    await registry.close();
  }
}

interface Setting {
  readonly place: (typeof places)[number];
  readonly peers: readonly Peer[];
  readonly runs: number;
}

async function compare(image: BuiltImage, { place, peers, runs }: Setting): Promise<void> {
  const results = new Map<Peer, Measurement[]>(peers.map((peer) => [peer, []]));
  // Interleaved, so that whatever else the machine does meets all of them.
  for (let run = 0; run < runs; run += 1) {
    for (const peer of peers) {
      results.get(peer)!.push(await inNewFolder(place, (folder) => measureOnce(peer, image, folder)));
    }
  }
  const running = await inNewFolder(place, (folder) => measureRunning(image, folder));
  const { kind, layerBytes, unpackedBytes } = image;
  const sizes = `${kind.layers.length} layers, ${megabytes(layerBytes)} MB, ${megabytes(unpackedBytes)} MB unpacked`;
  console.log(`\n${kind.name} on ${place.name}: ${kind.about} (${sizes}); medians of ${runs}`);
  const reference = results.get(containerd)?.map(({ wallSeconds }) => wallSeconds);
  console.table(
    Object.fromEntries(
      [...results].map(([peer, measured]) => [peer.name, row(measured, reference && median(reference))]),
    ),
  );
  const own = results.get(lading);
  if (own && reference) {
    const share = median(own.map(({ wallSeconds }) => wallSeconds)) / median(reference);
    goal(
      `${share.toFixed(2)} of containerd's time, at most ${place.goalOfContainerd}`,
      share <= place.goalOfContainerd,
    );
  }
  if (own) {
    const peak = median(own.map(({ peakBytes }) => peakBytes));
    goal(`${megabytes(peak)} MB at the peak, under ${megabytes(goals.peakBytes)}`, peak < goals.peakBytes);
  }
  const { next } = running;
  goal(
    `another top layer: ${next.layersFetched} of ${kind.layers.length} layers fetched, ${megabytes(next.bytesFetched)} MB, ${next.layersUnpacked} unpacked, ${next.ms.toFixed(0)} ms`,
    next.bytesFetched === image.nextBytes && next.layersUnpacked === 1,
  );
  const warmMs = median(running.warmMs);
  goal(
    `nothing new: ${warmMs.toFixed(1)} ms beyond the registry's answer, under ${goals.warmMs}`,
    warmMs < goals.warmMs,
  );
}

async function inNewFolder<T>({ newFolder }: Setting['place'], work: (folder: string) => Promise<T>): Promise<T> {
  const folder = newFolder();
  try {
    return await work(folder);
  } finally {
    removeFolder(folder);
  }
}

function goal(text: string, isMet: boolean): void {
  console.log(`${isMet ? 'met' : 'NOT MET'}: ${text}`);
}

function row(measured: readonly Measurement[], referenceSeconds: number | undefined) {
  const of = (field: keyof Measurement) => median(measured.map((each) => each[field]));
  const wall = measured.map(({ wallSeconds }) => wallSeconds);
  return {
    'wall s': of('wallSeconds').toFixed(2),
    'from – to': `${Math.min(...wall).toFixed(2)} – ${Math.max(...wall).toFixed(2)}`,
    'of containerd': referenceSeconds === undefined ? '' : (of('wallSeconds') / referenceSeconds).toFixed(2),
    'CPU s': of('cpuSeconds').toFixed(2),
    'peak MB': megabytes(of('peakBytes')),
    'written MB': megabytes(of('writtenBytes')),
  };
}

async function measureOnce(peer: Peer, { reference }: BuiltImage, folder: string): Promise<Measurement> {
  const prepared = await peer.prepare(folder, reference);
  try {
    // What the run before left to be written is not this run's.
    spawnSync('sync');
    return await measure(prepared);
  } finally {
    await prepared.close();
  }
}

const programs = {
  containerd: 'containerd',
  podman: 'podman',
  skopeo: 'skopeo',
  'docker-registry': 'docker-registry',
  igzip: 'isal',
};

/** @throws Error naming what is missing, where it cannot be installed */
function installPeers(): void {
  const missing = Object.entries(programs)
    .filter(([program]) => spawnSync(program, ['--version'], { stdio: 'ignore' }).error !== undefined)
    .map(([, debianPackage]) => debianPackage);
  if (missing.length === 0) return;
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...missing];
  if (process.getuid?.() === 0) spawnSync(install[0]!, install.slice(1), { stdio: 'inherit' });
  if (process.getuid?.() !== 0 || dockerRegistryMissing !== undefined) {
    throw new Error(`missing for this benchmark: ${missing.join(', ')}. As root: ${install.join(' ')}`);
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(0);
}
