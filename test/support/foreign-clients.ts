import { type ExecFileException, execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Why tests cannot use a program, undefined where they can: the reason for a skip. */
export function programMissing(program: string): string | undefined {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0
    ? undefined
    : `${program} is not installed`;
}

const timeoutMs = 50_000;

/** @returns what it printed on stdout; throws what it printed when it fails */
export function skopeo(...args: string[]): Promise<string> {
  return run('skopeo', ['--insecure-policy', ...args]);
}

/** podman with all its storage below `folder`. */
export function podman(folder: string, ...args: string[]): Promise<string> {
  const folders = ['storage', 'run', 'tmp'].map((name) => path.join(folder, name));
  const [root, runRoot, temporary] = folders as [string, string, string];
  const settings = ['--storage-driver', 'vfs', '--events-backend', 'none', '--cgroup-manager', 'cgroupfs'];
  return run('podman', ['--root', root, '--runroot', runRoot, '--tmpdir', temporary, ...settings, ...args]);
}

/** With a home of its own: without credentials and configuration of the user who runs the tests. */
async function run(program: string, args: readonly string[]): Promise<string> {
  const home = mkdtempSync(path.join(tmpdir(), 'lading-client-'));
  const authFile = path.join(home, 'auth.json');
  writeFileSync(authFile, '{}');
  const env = { ...process.env, HOME: home, XDG_RUNTIME_DIR: home, REGISTRY_AUTH_FILE: authFile };
  try {
    return await new Promise((resolve, reject) => {
      execFile(program, args, { env, timeout: timeoutMs }, (error: ExecFileException | null, stdout, stderr) => {
        if (error) reject(new Error(`${program} ${args.join(' ')}: ${error.message}\n${stdout}${stderr}`));
        else resolve(stdout);
      });
    });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
