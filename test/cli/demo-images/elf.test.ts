import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DemoArchitecture, demoExecutable } from '../../../src/cli/demo-images/index.ts';

const text = 'img1 1.0.0';
const nativeArchitecture = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] as DemoArchitecture | undefined;
const isLinux = process.platform === 'linux';
const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

let folder: string;
let file: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lading-elf-'));
  file = join(folder, 'img1');
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await rm(folder, { recursive: true, force: true });
});

describe.skipIf(!isLinux || !nativeArchitecture)(
  'on this machine (skipped elsewhere than on Linux for x86-64 and arm64)',
  () => {
    test.each(signals)('prints its line, waits, and exits with 0 on %s', async (signal) => {
      const child = await start([file], nativeArchitecture!);
      expect(await firstLine(child)).toBe(text);
      child.kill('SIGSTOP');
      child.kill('SIGCONT');
      child.kill('SIGWINCH');
      expect(child.exitCode).toBeNull();
      child.kill(signal);
      expect(await once(child, 'exit')).toEqual([0, null]);
    });

    const canUnshare = spawnSync('unshare', ['--user', '--map-root-user', '--pid', '--fork', 'true']).status === 0;
    test.skipIf(!canUnshare)(
      'ends on SIGTERM as the first process of a pid namespace (needs unshare with user namespaces)',
      async () => {
        const child = await start(
          ['unshare', '--user', '--map-root-user', '--pid', '--fork', file],
          nativeArchitecture!,
        );
        expect(await firstLine(child)).toBe(text);
        const { stdout } = spawnSync('cat', [`/proc/${child.pid}/task/${child.pid}/children`], { encoding: 'utf8' });
        process.kill(Number(stdout.trim()), 'SIGTERM');
        expect(await once(child, 'exit')).toEqual([0, null]);
      },
    );
  },
);

const emulator = 'qemu-aarch64-static';
const hasEmulator = spawnSync(emulator, ['--version']).status === 0;
test.skipIf(!hasEmulator)(
  'the arm64 program runs in qemu-aarch64-static (skipped where qemu-user-static is not installed)',
  async () => {
    const child = await start([emulator, file], 'arm64');
    expect(await firstLine(child)).toBe(text);
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);
  },
);

/** What GNU as 2.40 makes of the same instructions. */
const assembled: Readonly<Record<DemoArchitecture, string>> = {
  amd64: `
    b8 0e 00 00 00        mov    eax, 14
    bf 00 00 00 00        mov    edi, 0
    48 8d 35 57 00 00 00  lea    rsi, [rip+0x57]
    31 d2                 xor    edx, edx
    41 ba 08 00 00 00     mov    r10d, 8
    0f 05                 syscall
    b8 01 00 00 00        mov    eax, 1
    bf 01 00 00 00        mov    edi, 1
    48 8d 35 2d 00 00 00  lea    rsi, [rip+0x2d]
    ba 0b 00 00 00        mov    edx, 11
    0f 05                 syscall
    b8 80 00 00 00        mov    eax, 128
    48 8d 3d 29 00 00 00  lea    rdi, [rip+0x29]
    31 f6                 xor    esi, esi
    31 d2                 xor    edx, edx
    41 ba 08 00 00 00     mov    r10d, 8
    0f 05                 syscall
    83 f8 fc              cmp    eax, -4
    74 e3                 je     wait
    b8 e7 00 00 00        mov    eax, 231
    31 ff                 xor    edi, edi
    0f 05                 syscall`,
  arm64: `
    e8 10 80 d2           mov    x8, #135
    00 00 80 d2           mov    x0, #0
    01 03 00 10           adr    x1, signals
    02 00 80 d2           mov    x2, #0
    03 01 80 d2           mov    x3, #8
    01 00 00 d4           svc    #0
    08 08 80 d2           mov    x8, #64
    20 00 80 d2           mov    x0, #1
    c1 01 00 10           adr    x1, text
    62 01 80 d2           mov    x2, #11
    01 00 00 d4           svc    #0
    28 11 80 d2           mov    x8, #137
    c0 01 00 10           adr    x0, signals
    01 00 80 d2           mov    x1, #0
    02 00 80 d2           mov    x2, #0
    03 01 80 d2           mov    x3, #8
    01 00 00 d4           svc    #0
    1f 10 00 b1           cmn    x0, #4
    20 ff ff 54           b.eq   wait
    c8 0b 80 d2           mov    x8, #94
    00 00 80 d2           mov    x0, #0
    01 00 00 d4           svc    #0`,
};

describe.each(['amd64', 'arm64'] as const)('%s', (architecture) => {
  const program = Buffer.from(demoExecutable(architecture, text));
  const entryOffset = Number(program.readBigUInt64LE(24) - 0x400000n);

  test('the code is what an assembler makes of it, followed by the text and the signals', () => {
    const lines = assembled[architecture].trim().split('\n');
    const code = Buffer.from(lines.map((line) => line.trim().split('  ', 1)[0]!.replaceAll(' ', '')).join(''), 'hex');
    expect(program.subarray(entryOffset, entryOffset + code.length).toString('hex')).toBe(code.toString('hex'));
    const data = program.subarray(entryOffset + code.length);
    expect(data.subarray(0, text.length + 1).toString()).toBe(`${text}\n`);
    // SIGHUP is 1, SIGINT 2, SIGTERM 15; signal N is bit N - 1.
    expect(program.readBigUInt64LE(program.length - 8)).toBe((1n << 0n) | (1n << 1n) | (1n << 14n));
  });

  test.skipIf(spawnSync('readelf', ['--version']).status !== 0)(
    'readelf finds nothing wrong (needs binutils)',
    async () => {
      await writeFile(file, program);
      const { stdout, stderr } = spawnSync('readelf', ['--wide', '--file-header', '--program-headers', file], {
        encoding: 'utf8',
      });
      expect(stderr).toBe('');
      expect(stdout).toContain(architecture === 'amd64' ? 'Advanced Micro Devices X86-64' : 'AArch64');
      expect(stdout).toMatch(/LOAD .* R E 0x1(0)?000\n/);
      expect(stdout).toMatch(/GNU_STACK .* RW {2}0x10\n/);
    },
  );
});

async function start(command: readonly string[], architecture: DemoArchitecture): Promise<ChildProcess> {
  await writeFile(file, demoExecutable(architecture, text), { mode: 0o755 });
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}

async function firstLine(child: ChildProcess): Promise<string> {
  const [line] = await once(createInterface(child.stdout!), 'line');
  return line as string;
}
