; SPDX-License-Identifier: MIT
; Switching kernel stacks; see arch/context.h. Invariant: the frame built by context_prepare() and
; the one pushed by context_switch() have the same shape.

extern __x86_indirect_thunk_rbx
global context_switch, context_prepare

section .text

; In: RDI where to store this stack pointer, RSI the stack to continue on. Clobbers what the C ABI
; allows.
; Stack: six registers and the return address stay on the stack that is left.
align 16
context_switch:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rdi], rsp
    mov rsp, rsi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret

; In: RDI top of a fresh stack (16-byte aligned), RSI entry, RDX its argument. Out: RAX the value
; to load.
; Clobbers RDI.
context_prepare:
    mov qword [rdi - 8], 0              ; ends the frame chain: no return address
    lea rax, [rel context_begin]
    mov [rdi - 16], rax                 ; context_switch returns there, RSP = top - 8
    mov qword [rdi - 24], 0             ; rbp
    mov [rdi - 32], rsi                 ; rbx: entry
    mov [rdi - 40], rdx                 ; r12: argument
    mov qword [rdi - 48], 0
    mov qword [rdi - 56], 0
    mov qword [rdi - 64], 0
    lea rax, [rdi - 64]
    ret

; In: RBX entry, R12 argument, RSP = top - 8. Does not return.
context_begin:
    mov rdi, r12
    add rsp, 8                          ; aligned for the call
    call __x86_indirect_thunk_rbx
    ud2
