; SPDX-License-Identifier: MIT
; Where the entry of a traced function calls. Invariant: linked into .text.nopatch; every general
; register is preserved, so a function that gets here has lost nothing but the flags, which no
; function reads at its entry. Called by the 5 bytes that function_trace.c writes, or by the
; breakpoint handler that emulates them.

%define ENTRY_SAVED 9                   ; registers that C may clobber

extern trace_ring_add, trace_recording
global function_trace_entry

section .text.nopatch progbits alloc exec nowrite align=16
default rel

; In: [rsp] the address behind the entry, [rsp + 8] where the function will return to.
; Clobbers: flags. Stack: 16-byte aligned on entry, as two calls have left it; 11 words and what
; trace_ring_add() needs.
align 16
function_trace_entry:
    cmp byte [trace_recording], 0       ; a look in advance: trace_ring_add() decides
    je .done
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    mov rdi, [rsp + ENTRY_SAVED * 8]
    mov rsi, [rsp + (ENTRY_SAVED + 1) * 8]
    sub rsp, 8                          ; alignment
    call trace_ring_add
    add rsp, 8
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
.done:
    ret

section .note.GNU-stack noalloc noexec nowrite progbits ; for programs: tests/host
