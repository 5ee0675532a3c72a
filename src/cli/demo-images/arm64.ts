import type { Code } from './code.ts';
import { dataLabels, interrupted, sigBlock, signalSetBytes, stdoutDescriptor } from './program.ts';

/** @see include/uapi/asm-generic/unistd.h of Linux */
const systemCalls = { write: 64, exitGroup: 94, rtSigprocmask: 135, rtSigtimedwait: 137 };

/** Register that carries the number of a system call. */
const number = 8;

/** The program of the demo images for arm64. Linux takes the number in x8, arguments in x0, x1, x2, x3. */
export function emitArm64(code: Code, textBytes: number): void {
  mov(code, number, systemCalls.rtSigprocmask); //  mov x8, #135
  mov(code, 0, sigBlock); //                        mov x0, #SIG_BLOCK
  adr(code, 1, dataLabels.signals); //              adr x1, signals
  mov(code, 2, 0); //                               mov x2, #0
  mov(code, 3, signalSetBytes); //           mov x3, #8
  svc(code); //                                     svc #0

  mov(code, number, systemCalls.write); //          mov x8, #64
  mov(code, 0, stdoutDescriptor); //                mov x0, #1
  adr(code, 1, dataLabels.text); //                 adr x1, text
  mov(code, 2, textBytes); //                       mov x2, #length
  svc(code); //                                     svc #0

  code.label('wait');
  mov(code, number, systemCalls.rtSigtimedwait); // mov x8, #137
  adr(code, 0, dataLabels.signals); //              adr x0, signals
  mov(code, 1, 0); //                               mov x1, #0
  mov(code, 2, 0); //                               mov x2, #0
  mov(code, 3, signalSetBytes); //           mov x3, #8
  svc(code); //                                     svc #0
  cmn(code, 0, interrupted); //                     cmn x0, #EINTR
  beq(code, 'wait'); //                             b.eq wait

  mov(code, number, systemCalls.exitGroup); //      mov x8, #94
  mov(code, 0, 0); //                               mov x0, #0
  svc(code); //                                     svc #0
}

/** MOVZ Xd, #imm16. */
const mov = (code: Code, register: number, value: number) => code.word(0xd2800000 | (value << 5) | register);
/** SVC #0. */
const svc = (code: Code) => code.word(0xd4000001);
/** CMN Xn, #imm12: compares with the negated value. */
const cmn = (code: Code, register: number, value: number) => code.word(0xb100001f | (value << 10) | (register << 5));

/** ADR Xd, label: a signed distance of 21 bits from this instruction; its two low bits stand apart. */
function adr(code: Code, register: number, label: string): void {
  const at = code.length;
  code.word(0);
  code.patch(label, (view, offset) => {
    const distance = offset - at;
    view.setUint32(
      at,
      (0x10000000 | ((distance & 3) << 29) | (((distance >> 2) & 0x7ffff) << 5) | register) >>> 0,
      true,
    );
  });
}

/** B.EQ label: a signed distance of 19 bits, in instructions, from this one. */
function beq(code: Code, label: string): void {
  const at = code.length;
  code.word(0);
  code.patch(label, (view, offset) => view.setUint32(at, 0x54000000 | ((((offset - at) >> 2) & 0x7ffff) << 5), true));
}
