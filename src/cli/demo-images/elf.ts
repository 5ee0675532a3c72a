import { emitArm64 } from './arm64.ts';
import { Code } from './code.ts';
import { dataLabels, waitedSignals } from './program.ts';
import { emitX8664 } from './x86-64.ts';

/** As in `platform.architecture` of the OCI image specification. */
export type DemoArchitecture = 'amd64' | 'arm64';

interface Machine {
  /** `e_machine` of the ELF header. */
  readonly elfMachine: number;
  /** The largest page size that Linux uses on it: a segment must be aligned to that. */
  readonly pageBytes: number;
  readonly emit: (code: Code, textBytes: number) => void;
}

const machines: Readonly<Record<DemoArchitecture, Machine>> = {
  amd64: { elfMachine: 62, pageBytes: 0x1000, emit: emitX8664 },
  arm64: { elfMachine: 183, pageBytes: 0x10000, emit: emitArm64 },
};

const elfHeaderBytes = 64;
const programHeaderBytes = 56;
const programHeaders = 2;
const headersBytes = elfHeaderBytes + programHeaders * programHeaderBytes;
/** Where static executables usually start; far above the lowest address that Linux lets a process map. */
const loadAddress = 0x400000n;

/**
 * A static Linux executable that writes `text` to stdout, waits for SIGTERM, SIGINT or SIGHUP and exits with status 0.
 * It needs nothing from the file system and works as the first process of a container.
 * @param text one line without its line end, at most 4 KiB, so that a pipe takes it in one write
 * @see https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
 */
export function demoExecutable(architecture: DemoArchitecture, text: string): Uint8Array {
  const machine = machines[architecture];
  const textBytes = new TextEncoder().encode(`${text}\n`);
  const code = new Code();
  machine.emit(code, textBytes.length);
  code.label(dataLabels.text);
  code.bytes(textBytes);
  code.align(8);
  code.label(dataLabels.signals);
  code.bytes(new Uint8Array(BigUint64Array.of(waitedSignals).buffer));
  return withElfHeaders(machine, code.finish());
}

function withElfHeaders(machine: Machine, body: Uint8Array): Uint8Array {
  const file = new Uint8Array(headersBytes + body.length);
  file.set(body, headersBytes);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1], 0); // magic; 64 bits, little-endian, version 1
  view.setUint16(16, 2, true); // e_type: ET_EXEC
  view.setUint16(18, machine.elfMachine, true);
  view.setUint32(20, 1, true); // e_version
  view.setBigUint64(24, loadAddress + BigInt(headersBytes), true); // e_entry
  view.setBigUint64(32, BigInt(elfHeaderBytes), true); // e_phoff
  view.setUint16(52, elfHeaderBytes, true);
  view.setUint16(54, programHeaderBytes, true);
  view.setUint16(56, programHeaders, true);

  const load = elfHeaderBytes;
  view.setUint32(load, 1, true); // p_type: PT_LOAD, the whole file
  view.setUint32(load + 4, 5, true); // p_flags: read, execute
  view.setBigUint64(load + 16, loadAddress, true); // p_vaddr
  view.setBigUint64(load + 24, loadAddress, true); // p_paddr
  view.setBigUint64(load + 32, BigInt(file.length), true); // p_filesz
  view.setBigUint64(load + 40, BigInt(file.length), true); // p_memsz
  view.setBigUint64(load + 48, BigInt(machine.pageBytes), true); // p_align

  const stack = elfHeaderBytes + programHeaderBytes;
  view.setUint32(stack, 0x6474e551, true); // p_type: PT_GNU_STACK
  view.setUint32(stack + 4, 6, true); // p_flags: read, write; not execute
  view.setBigUint64(stack + 48, 16n, true); // p_align
  return file;
}
