; SPDX-License-Identifier: MIT
; The call that single_step.c steps through. Invariant: the trap flag is set by the POPFQ, which
; does not trap itself, and cleared by the handler when it sees single_step_end; again here, because
; an emulator may lose that step.
bits 64

FLAG_TRAP equ 1 << 8

global single_step_call, single_step_first, single_step_end

section .text

; In: rdi = function, rsi = its argument. Clobbers: what a C function may. Stack: 16-byte aligned at
; the call.
single_step_call:
    push rbp
    mov rbp, rsp
    mov rax, rdi
    mov rdi, rsi
    pushfq
    or qword [rsp], FLAG_TRAP
    popfq
single_step_first:
    call rax
single_step_end:
    pushfq
    and qword [rsp], ~FLAG_TRAP
    popfq
    pop rbp
    ret
