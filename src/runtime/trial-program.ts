/**
 * The smallest program that a container can run: a static ELF file that ends with exit code 0, made here so that trying
 * a runtime needs nothing of the machine's own files.
 */

/** The call exit(0) in machine code, and the number of the machine in ELF. */
const machines: Readonly<Record<string, { readonly elf: number; readonly code: readonly number[] }>> = {
  // xor edi, edi; mov eax, 60; syscall
  x64: { elf: 62, code: [0x31, 0xff, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05] },
  // mov x0, #0; mov x8, #93; svc #0
  arm64: { elf: 183, code: [0, 0, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4] },
};

export const trialMachines: readonly string[] = Object.keys(machines);

const fileHeaderBytes = 64;
const programHeaderBytes = 56;
const loadAddress = 0x10000n;

/** @param machine one of `trialMachines`, in the words of `process.arch` */
export function trialProgram(machine: string): Buffer {
  const { elf, code } = machines[machine]!;
  const entry = fileHeaderBytes + programHeaderBytes;
  const file = Buffer.alloc(entry + code.length);
  const [class64, littleEndian, version, executable] = [2, 1, 1, 2];
  file.set([0x7f, 0x45, 0x4c, 0x46, class64, littleEndian, version]);
  file.writeUInt16LE(executable, 16);
  file.writeUInt16LE(elf, 18);
  file.writeUInt32LE(version, 20);
  file.writeBigUInt64LE(loadAddress + BigInt(entry), 24);
  file.writeBigUInt64LE(BigInt(fileHeaderBytes), 32);
  file.writeUInt16LE(fileHeaderBytes, 52);
  file.writeUInt16LE(programHeaderBytes, 54);
  file.writeUInt16LE(1, 56);
  const [loadable, readAndExecute, pageBytes] = [1, 5, 0x10000n];
  file.writeUInt32LE(loadable, 64);
  file.writeUInt32LE(readAndExecute, 68);
  file.writeBigUInt64LE(loadAddress, 80);
  file.writeBigUInt64LE(loadAddress, 88);
  file.writeBigUInt64LE(BigInt(file.byteLength), 96);
  file.writeBigUInt64LE(BigInt(file.byteLength), 104);
  file.writeBigUInt64LE(pageBytes, 112);
  file.set(code, entry);
  return file;
}
