import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { trialMachines, trialProgram } from '../../src/runtime/trial-program.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const runsHere = process.platform === 'linux' && trialMachines.includes(process.arch);

test.skipIf(!runsHere)('the kernel runs it, and it ends with 0 (needs Linux on x64 or arm64)', async () => {
  const file = path.join(await temporaryFolder(), 'trial');
  writeFileSync(file, trialProgram(process.arch), { mode: 0o755 });
  expect(spawnSync(file)).toMatchObject({ status: 0, signal: null });
});

test.each(trialMachines)('for %s it is a static ELF file of its machine', (machine) => {
  const file = trialProgram(machine);
  expect(file.subarray(0, 4).toString('latin1')).toBe('\x7fELF');
  expect(file.readUInt16LE(18)).toBe(machine === 'x64' ? 62 : 183);
  const [entry, address] = [file.readBigUInt64LE(24), file.readBigUInt64LE(80)];
  expect(entry - address).toBe(120n);
  expect(Number(file.readBigUInt64LE(96))).toBe(file.byteLength);
});
