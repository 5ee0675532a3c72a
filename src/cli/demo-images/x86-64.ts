import type { Code } from './code.ts';
import { dataLabels, interrupted, sigBlock, signalSetBytes, stdoutDescriptor } from './program.ts';

/** @see arch/x86/entry/syscalls/syscall_64.tbl of Linux */
const systemCalls = { write: 1, rtSigprocmask: 14, rtSigtimedwait: 128, exitGroup: 231 };

/** The program of the demo images for x86-64. Linux takes the number in eax, arguments in rdi, rsi, rdx, r10. */
export function emitX8664(code: Code, textBytes: number): void {
  movEax(code, systemCalls.rtSigprocmask); // mov eax, 14
  movEdi(code, sigBlock); //                  mov edi, SIG_BLOCK
  leaRsi(code, dataLabels.signals); //        lea rsi, [rip + signals]
  xorEdxEdx(code); //                         xor edx, edx
  movR10d(code, signalSetBytes); //    mov r10d, 8
  syscall(code); //                           syscall

  movEax(code, systemCalls.write); //         mov eax, 1
  movEdi(code, stdoutDescriptor); //          mov edi, 1
  leaRsi(code, dataLabels.text); //           lea rsi, [rip + text]
  movEdx(code, textBytes); //                 mov edx, length
  syscall(code); //                           syscall

  code.label('wait');
  movEax(code, systemCalls.rtSigtimedwait); // mov eax, 128
  leaRdi(code, dataLabels.signals); //        lea rdi, [rip + signals]
  xorEsiEsi(code); //                         xor esi, esi
  xorEdxEdx(code); //                         xor edx, edx
  movR10d(code, signalSetBytes); //    mov r10d, 8
  syscall(code); //                           syscall
  cmpEax(code, -interrupted); //              cmp eax, -EINTR
  je(code, 'wait'); //                        je wait

  movEax(code, systemCalls.exitGroup); //     mov eax, 231
  xorEdiEdi(code); //                         xor edi, edi
  syscall(code); //                           syscall
}

const movEax = (code: Code, value: number) => withImmediate(code, [0xb8], value);
const movEdi = (code: Code, value: number) => withImmediate(code, [0xbf], value);
const movEdx = (code: Code, value: number) => withImmediate(code, [0xba], value);
const movR10d = (code: Code, value: number) => withImmediate(code, [0x41, 0xba], value);
const leaRsi = (code: Code, label: string) => ripRelative(code, [0x48, 0x8d, 0x35], label);
const leaRdi = (code: Code, label: string) => ripRelative(code, [0x48, 0x8d, 0x3d], label);
const xorEdxEdx = (code: Code) => code.bytes([0x31, 0xd2]);
const xorEsiEsi = (code: Code) => code.bytes([0x31, 0xf6]);
const xorEdiEdi = (code: Code) => code.bytes([0x31, 0xff]);
const syscall = (code: Code) => code.bytes([0x0f, 0x05]);
const cmpEax = (code: Code, value: number) => code.bytes([0x83, 0xf8, value & 0xff]);

function withImmediate(code: Code, opcode: readonly number[], value: number): void {
  code.bytes(opcode);
  code.word(value);
}

/** The 32-bit distance counts from the end of the instruction. */
function ripRelative(code: Code, opcode: readonly number[], label: string): void {
  code.bytes(opcode);
  const at = code.length;
  code.word(0);
  code.patch(label, (view, offset) => view.setInt32(at, offset - (at + 4), true));
}

/** The 8-bit distance counts from the end of the instruction. */
function je(code: Code, label: string): void {
  code.bytes([0x74, 0]);
  const end = code.length;
  code.patch(label, (view, offset) => view.setInt8(end - 1, offset - end));
}
