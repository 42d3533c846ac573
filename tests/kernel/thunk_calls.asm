; SPDX-License-Identifier: MIT
; A call through each thunk of patching/indirect_thunk.asm. Invariant: a call that does not come
; back with the stack as it was returns to nowhere. Called by: thunk_pass.c.
bits 64

%define REGISTERS rax, rcx, rdx, rbx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15

%macro FOR_EACH 2-* ; macro, its arguments in turn
%define %%macro %1
%rep %0 - 1
%rotate 1
    %%macro %1
%endrep
%endmacro

; C ABI. In: rdi = function without arguments. Out: rax = what it returned.
%macro CALL_THROUGH 1
extern __x86_indirect_thunk_%1
call_through_%1:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    sub rsp, 8
    mov %1, rdi
    call __x86_indirect_thunk_%1
    add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
%endmacro

section .text
    FOR_EACH CALL_THROUGH, REGISTERS

section .rodata
%macro ENTRY 1
    dq call_through_%1
%endmacro

global thunk_calls ; in the order of indirect_thunk_site()
align 8
thunk_calls:
    FOR_EACH ENTRY, REGISTERS
