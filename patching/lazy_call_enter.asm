; SPDX-License-Identifier: MIT
; The common part of all lazy stubs (lazy_call.h). Invariant: the target gets its arguments, its
; stack and its return address as if it had been called itself. Called by: the stubs in
; .text.lazy_call, which jump here; in any context but those of .text.nopatch.
bits 64

extern lazy_call_report, __x86_indirect_thunk_r11
global lazy_call_enter

LAZY_CALL_TARGET equ 0 ; offset in struct lazy_call

section .text

; In: r11 = struct lazy_call *; [rsp] = return address of the call; arguments of the target.
; Out: at the target; rdi, rsi, rdx, rcx, r8, r9 (arguments), rax (al: vector registers used by a
; variadic call), r10 (static chain) and the stack as at entry.
; Clobbers: r11, flags. Vector registers are the target's only if C code of the host uses none.
; Stack: 88 bytes and those of lazy_call_report().
; The target is read behind the report, last: what lies between reading and arriving is a few
; instructions, which a preempted thread may take as late as the first one of the target.
align 16
lazy_call_enter:
    push rbp
    mov rbp, rsp
    push rdi
    push rsi
    push rdx
    push rcx
    push r8
    push r9
    push rax
    push r10
    push r11
    sub rsp, 8                          ; 16-byte alignment: 12 quadwords with the return address
    mov rdi, r11
    mov rsi, [rbp + 8]
    call lazy_call_report
    add rsp, 8
    pop r11
    pop r10
    pop rax
    pop r9
    pop r8
    pop rcx
    pop rdx
    pop rsi
    pop rdi
    pop rbp
    mov r11, [r11 + LAZY_CALL_TARGET]
    jmp __x86_indirect_thunk_r11

section .note.GNU-stack noalloc noexec nowrite progbits ; for programs: tests/host
