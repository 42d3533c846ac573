; SPDX-License-Identifier: MIT
; Where a watched dynamic call goes (dynamic_call.h): dynamic_watch.c, with all registers kept. Not
; left to the compiler: gcc saves what lives across a call of a function that keeps its registers
; all the same, at the entry of the caller, on the way that is not watched. Invariant: rax and the
; flags change, nothing else. Called by: the text of dynamic calls, from any place in a function,
; wherever the stack pointer stands.
bits 64

extern dynamic_call_closed, dynamic_call_missed
global dynamic_watch_closed, dynamic_watch_missed

KEPT equ 8 * 8 ; bytes of registers that C may change, but rax

; In: rax = target; stack: return address, struct dynamic_call *, which the return takes away.
; Out: rax = what the function returns, a bool or nothing. Clobbers flags.
%macro WATCH 1 ; function
    push rbp
    mov rbp, rsp
    push rdi
    push rsi
    push rdx
    push rcx
    push r8
    push r9
    push r10
    push r11
    and rsp, -16
    mov rdi, [rbp + 16]
    mov rsi, rax
    call %1
    movzx eax, al
    lea rsp, [rbp - KEPT]
    pop r11
    pop r10
    pop r9
    pop r8
    pop rcx
    pop rdx
    pop rsi
    pop rdi
    pop rbp
    ret 8
%endmacro

section .text progbits alloc exec nowrite align=16

dynamic_watch_closed:
    WATCH dynamic_call_closed
align 16
dynamic_watch_missed:
    WATCH dynamic_call_missed

section .note.GNU-stack noalloc noexec nowrite progbits ; for programs: tests/host
