; SPDX-License-Identifier: MIT
; Entry stubs of all other vectors. Invariant: stub v lies at trap_stubs + 16 * v and leaves a
; struct trap_frame. Entered through the descriptor table (arch/traps.c), interrupts off.

%include "arch/registers.inc"

TRAP_STUB_BYTES           equ 16
; Vectors for which the CPU pushes an error code.
%assign EXCEPTIONS_WITH_ERROR (1 << 8) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 14)
%assign EXCEPTIONS_WITH_ERROR EXCEPTIONS_WITH_ERROR | (1 << 17) | (1 << 21) | (1 << 29) | (1 << 30)

extern trap_dispatch
global trap_stubs

section .text

; In: what the CPU pushed. Out: vector and error code on top of it; goes on at trap_common.
align 64
trap_stubs:
%assign vector 0
%rep 256
    align TRAP_STUB_BYTES
    %if vector >= 32 || ((EXCEPTIONS_WITH_ERROR >> vector) & 1) == 0
        push 0
    %endif
    push vector
    jmp trap_common
    %assign vector vector + 1
%endrep

; In: struct trap_frame without the registers. Restores all of them; the handler may have changed
; them in the frame.
align 16
trap_common:
    PUSH_REGISTERS
    CALL_WITH_FRAME trap_dispatch
    POP_REGISTERS
    iretq
