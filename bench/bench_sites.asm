; SPDX-License-Identifier: MIT
; What `bench poke` flips: two rows of 4096 sites, one with every site inside an aligned quadword,
; one with every site across the end of one (every fourth across a cache line). Invariant: running
; through a site adds 1 to eax while it is a nop, TAKEN_ONE while it is the jump; both ways execute
; three instructions, so that a pass takes as long flipped as not. The numbers stand in
; bench/bench_sites.h, too.
bits 64
section .text

SITES     equ 4096 ; PATCH_BATCH_MAX
STRIDE    equ 16   ; BENCH_SITE_STRIDE
TAKEN_ONE equ 1 << 16

; One site. In, out: eax. No labels: thousands of them would fill the symbol table.
%macro SITE 0
    db 0x0f, 0x1f, 0x44, 0x00, 0x00 ; nop5, or jmp to the add: BENCH_SITE_JUMP bytes behind it
    inc eax
    jmp short $ + 2 + 5             ; over the add
    add eax, TAKEN_ONE
    xchg ax, ax
%endmacro

; A row of sites. In: eax. Out: eax. Returns.
%macro ROW 1
global %1:function ; NASM takes what begins with db for data
%1:
%rep SITES
    SITE
%endrep
%1_end:
    ret
    times -(%1_end - %1 != SITES * STRIDE) db 0 ; refused ("negative") unless a site is STRIDE bytes
%endmacro

; Runs through a row from the site at rdi to its end. In: rdi. Out: eax = taken << 16 | skipped.
; Clobbers: eax. Stack: the return address.
global bench_sites_run
bench_sites_run:
    xor eax, eax
    jmp rdi

global bench_sites_quadword_end, bench_sites_across_end

    align 64, db 0xcc
ROW bench_sites_quadword

    align 64, db 0xcc
    times 12 db 0xcc
ROW bench_sites_across
