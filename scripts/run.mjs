// node scripts/run.mjs FILE [ARG…]: runs FILE with a new enough Node.js, after the set-up that is still missing.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { ensureNode, ensurePackages } from './toolchain.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
ensurePackages(root);
const child = spawn(ensureNode(), process.argv.slice(2), { stdio: 'inherit' });
// The terminal sends Ctrl-C to the whole process group: the child decides what to do, this process waits for it.
for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
