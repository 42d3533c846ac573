; SPDX-License-Identifier: MIT
; The first instructions of an application processor. Invariant: works at any page below 640 KiB,
; is never mapped executable (paging is still off), and needs nothing filled in. Copied there by
; smp_start.c.

%include "boot/boot.inc"

extern boot_gdt, smp_start_32
global smp_trampoline, smp_trampoline_end

section .rodata
bits 16

; In: real mode, CS = page / 16, IP = 0, as SIPI leaves it. Out: smp_start_32 in flat 32-bit mode.
; Stack: none.
smp_trampoline:
    cli
    mov ax, cs
    mov ds, ax
    o32 lgdt [gdt_pointer - smp_trampoline]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    jmp dword SELECTOR_CODE32:PHYSICAL(smp_start_32)
align 4
gdt_pointer:
    dw 4 * 8 - 1
    dd PHYSICAL(boot_gdt)
smp_trampoline_end:
