// npm test [-- VITEST-ARGUMENTS]: sets up what is missing, then runs the tests, the layer corpus and the test vectors.
// As root on Debian the system programs that the tests meet are installed; elsewhere tests that need one say so and skip.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureNode, ensurePackages } from '../bin/toolchain.mjs';

/** Debian package → a program of it. */
const systemPackages = {
  runc: 'runc',
  crun: 'crun',
  podman: 'podman',
  skopeo: 'skopeo',
  umoci: 'umoci',
  strace: 'strace',
  containerd: 'containerd',
  'docker-registry': 'docker-registry',
  'apache2-utils': 'htpasswd',
  'busybox-static': 'busybox',
  uidmap: 'newuidmap',
  openssl: 'openssl',
  isal: 'igzip',
  python3: 'python3',
};

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
ensurePackages(root);
ensureSystemPackages();
const node = ensureNode();
const args = process.argv.slice(2);
const steps = [[join('node_modules', 'vitest', 'vitest.mjs'), 'run', ...args]];
if (args.length === 0) steps.push([join('scripts', 'layers.ts')], [join('scripts', 'vectors.ts')]);
let failed = false;
for (const step of steps) {
  if (spawnSync(node, step, { stdio: 'inherit' }).status !== 0) failed = true;
}
process.exit(failed ? 1 : 0);

function ensureSystemPackages() {
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) return;
  const missing = Object.keys(systemPackages).filter((name) => !onPath(systemPackages[name]));
  if (missing.length === 0) return;
  process.stderr.write(`lading: installing Debian packages for the tests (once): ${missing.join(' ')}\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...words) => spawnSync('apt-get', ['-qq', ...words], { stdio: ['ignore', 2, 2], env }).status === 0;
  apt('update');
  if (!apt('install', '-y', '--no-install-recommends', ...missing)) {
    process.stderr.write('lading: apt-get could not install them; tests that need them will be skipped\n');
  }
}

function onPath(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => existsSync(join(folder, program)));
}
