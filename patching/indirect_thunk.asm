; SPDX-License-Identifier: MIT
; What the compiler calls instead of `call *reg` and `jmp *reg` (-mindirect-branch=thunk-extern):
; one thunk a register. Invariant: at every instant a thread that stands anywhere in a thunk arrives
; at the register's target with all registers, flags and the stack as they were. Called by: all C
; code of the kernel; indirect_thunk.c patches the first instruction, the site:
;
;   retpoline  call .setup     the return goes where the return stack buffer says: speculation ends
;                              in .capture, whatever an attacker taught the branch predictor
;   lfence     jmp .lfence     the register is known before the jump is predicted
;   none       jmp .plain      one direct jump more than `jmp reg` in the thunk's place
;
; Why the bodies stand side by side, and the site is one direct branch of 5 bytes: a switch leaves
; all other instructions alone, so a thread preempted anywhere finds the rest of its way:
;   - before the site: it executes the old instruction, the new one, or int3, whose handler does
;     what the new one would, the push of the call included;
;   - in .setup, with the old call's return address on its stack: it overwrites that address with
;     the register and returns to the target, whatever the site has become;
;   - in .lfence or .plain: there is nothing of the site left to do.
; Written over the site itself, `lfence; jmp reg` would be two instructions: a thread preempted
; between them would come back into the middle of the next call. `jmp reg` alone would do for that,
; but int3 has to be emulated, and the handler is not given the registers a thunk may go through.
;
; Sources: Intel, "Retpoline: A Branch Target Injection Mitigation"; AMD, "Software Techniques for
; Managing Speculation", mitigations V2-1 (retpoline) and V2-2 (lfence; jmp).
bits 64

global indirect_thunks, indirect_thunk_count

ENTRY_SIZE equ 40

%define REGISTERS rax, rcx, rdx, rbx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15

; In: the register = target. Out: at the target. Clobbers nothing, flags included.
; Stack: retpoline alone uses 8 bytes below the top, which must not be a red zone.
%macro THUNK 1 ; register
align 32                                ; the site lies inside an aligned quadword
global __x86_indirect_thunk_%1
__x86_indirect_thunk_%1:
    call .setup                         ; the site
.capture:                               ; reached by speculation alone
    pause
    lfence
    jmp short .capture
.setup:
    mov [rsp], %1                       ; return there, not to .capture
    ret
    int3                                ; no speculation past the return
.lfence:
    lfence
.plain:
    jmp %1
    int3
%endmacro

; struct indirect_thunk (indirect_thunk.c), ENTRY_SIZE bytes; the labels in the order of enum
; mitigation.
%macro ENTRY 1
    dq __x86_indirect_thunk_%1
    dq __x86_indirect_thunk_%1.setup, __x86_indirect_thunk_%1.lfence, __x86_indirect_thunk_%1.plain
    dq name_%1
%endmacro

%macro FOR_EACH 2-* ; macro, its arguments in turn
%define %%macro %1
%rep %0 - 1
%rotate 1
    %%macro %1
%endrep
%endmacro

section .text.indirect_thunk progbits alloc exec nowrite align=32

    FOR_EACH THUNK, REGISTERS
align 32

section .rodata progbits alloc noexec nowrite align=8

%macro NAME 1
name_%1: db %str(%1), 0
%endmacro

align 8
indirect_thunks:
    FOR_EACH ENTRY, REGISTERS
indirect_thunk_count: dq ($ - indirect_thunks) / ENTRY_SIZE
    FOR_EACH NAME, REGISTERS

section .note.GNU-stack noalloc noexec nowrite progbits ; for programs: tests/host
