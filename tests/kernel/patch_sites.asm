; SPDX-License-Identifier: MIT
; Places to patch whose bytes and layout the tests choose. Each function starts with its site, a
; 5-byte nop, and returns 1 in eax when the nop runs; the targets return other values.
bits 64
section .text

%macro NOP5 0
    db 0x0f, 0x1f, 0x44, 0x00, 0x00
%endmacro

; All functions: in: nothing; out: eax; clobbers: eax; stack: their return address

global patch_site_plain
patch_site_plain:
    NOP5
    mov eax, 1
    ret

global patch_site_call ; a call in place of the nop returns behind it: ecx counts it
patch_site_call:
    xor ecx, ecx
global patch_site_call_address
patch_site_call_address:
    NOP5
    lea eax, [rcx + 1]
    ret

global patch_target_two
patch_target_two:
    mov eax, 2
    ret

global patch_target_add_ten ; for a call: adds 10 to ecx and returns to the caller
patch_target_add_ten:
    add ecx, 10
    ret

; The branch of a conditional site: 6 bytes as jne rel32, taken or not by edi.
; in: edi = 0 or 1; out: eax = 1 not taken, 2 taken
global patch_site_conditional
patch_site_conditional:
    cmp edi, 0
global patch_site_conditional_address
patch_site_conditional_address:
    jne near patch_target_two
    mov eax, 1
    ret

; A comparison, 7 bytes; built as a nop.
; in: rdi = what is compared; out: rax = flags behind the site
global patch_site_compare
patch_site_compare:
    mov rax, rdi
global patch_site_compare_address
patch_site_compare_address:
    db 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00
    pushfq
    pop rax
    ret

; A site whose bytes lie in two pages, one that crosses a cache line only.
    align 4096, db 0xcc
    times 4096 - 3 db 0xcc
global patch_site_page_crossing
patch_site_page_crossing:
    NOP5
    mov eax, 1
    ret

    align 64, db 0xcc
    times 62 db 0xcc
global patch_site_line_crossing
patch_site_line_crossing:
    NOP5
    mov eax, 1
    ret

; As many sites as a batch may have. Running through all of them falls out of the end.
%define PATCH_BATCH_MAX 4096 ; patching/poke.h; suite_poke.c asserts the size of the field
    align 16, db 0xcc
global patch_site_field
patch_site_field:
%rep PATCH_BATCH_MAX
    NOP5
%endrep
    mov eax, 1
    ret
