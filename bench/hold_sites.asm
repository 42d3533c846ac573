; SPDX-License-Identifier: MIT
; Sites at which every mixture of old and new bytes is seen. Each turns between two forms whose
; bytes differ in two or three places, chosen so that whatever a CPU composes of them is again a
; valid instruction, and one that ends in a pad counting "mixed" instead of in a crash:
;
;   forms                    differing bytes         what the mixtures do
;   jmp a <-> jmp b          displacement 0, 1       a = +0x120, b = +0x240: jump to +0x140, +0x220
;   je a <-> je b            displacement 0, 1       the same; the zero flag is set
;   call a <-> call b        displacement 0, 1       the same, by calls
;   jmp a <-> call b         opcode and both         one of the four pads, and at the wrong stack
;                                                    depth where it is the right pad
;   nop5 <-> jmp b           opcode, byte 2          0f 1f 44 00 00 and e9 1f 80 00 00:
;                                                    e9 1f 44 00 00 jumps to a pad at +0x441f;
;                                                    0f 1f 80 00 00 is a nop of 7 bytes: it
;                                                    swallows the two behind the site
;   nop2 <-> jmp8 b          both                    66 90 and eb 50: eb 90 jumps back 112 bytes
;                                                    to a pad; 66 50 is push ax: wrong depth
;
; Invariant: so each run through a site gives exactly one of three outcomes, and leaves the stack
; as it was. tests/kernel/suite_hold.c writes every mixture and runs it. Called by: hold_sites.c.
;
; Each function hold_run_NAME, C ABI:
;   in:       rdi = 0, or a function (argument, point) called right before the site (point 0), with
;             the site itself as its way back, and in the code the site leads to (point 1), in a
;             called target with the return address on the stack; rsi = its argument
;   out:      eax = 0 first form, 1 second form, 2 mixed
;   clobbers: as any C function
; Inside: rbx, r12 = function and argument, r13 = address behind the site, then the outcome;
; rbp = rsp at the site.
bits 64
section .text

FIRST  equ 0
SECOND equ 1
MIXED  equ 2

PAD_FIRST  equ 0x120 ; low byte 20, high byte 01
PAD_MIXED1 equ 0x140
PAD_MIXED2 equ 0x220
PAD_SECOND equ 0x240

; Goes through hold_stand to the site, which may so stand anywhere behind this.
%macro ENTER_BLOCK 1 ; name
global hold_run_%1
hold_run_%1:
    push rbp
    push rbx
    push r12
    push r13
    mov rbp, rsp
    mov rbx, rdi
    mov r12, rsi
    lea r13, [rel hold_behind_%1]
    lea rax, [rel hold_site_%1]
    push rax
    jmp near hold_stand
%endmacro

; The next byte stands %2 behind a multiple of %1.
%macro PLACE 2
    align %1, db 0xcc
    times %2 db 0xcc
%endmacro

%macro PAD 2 ; outcome, bytes that the site has pushed
    mov eax, %1
    mov ecx, %2
    jmp near hold_arrived
%endmacro

%macro SITE 1 ; name
global hold_site_%1
hold_site_%1:
%endmacro

; Behind a site that always leaves: eax is 0 unless a called target has returned.
%macro BEHIND 1 ; name
hold_behind_%1:
    jmp near hold_behind
%endmacro

; The four pads of two displacements.
%macro PADS 3 ; name, bytes pushed by the first form, by the second
    times PAD_FIRST - ($ - hold_behind_%1) db 0xcc
global hold_first_%1
hold_first_%1:
    PAD FIRST, %2
    times PAD_MIXED1 - ($ - hold_behind_%1) db 0xcc
    jmp near hold_mixed
    times PAD_MIXED2 - ($ - hold_behind_%1) db 0xcc
    jmp near hold_mixed
    times PAD_SECOND - ($ - hold_behind_%1) db 0xcc
global hold_second_%1
hold_second_%1:
    PAD SECOND, %3
%endmacro

; Returns to the site on top of the stack, eax 0, zero flag set.
; in: rbx, r12; out: eax; clobbers: as a C function; stack: aligned to 16 with the site on top
hold_stand:
    test rbx, rbx
    jz .go
    mov rdi, r12
    xor esi, esi
    call rbx
.go:
    xor eax, eax
    ret

; Where the pads meet. in: eax = outcome, ecx = bytes that the site should have pushed: the address
; behind it, or nothing. A called target goes back there.
hold_arrived:
    mov rdx, rbp
    sub rdx, rsp
    cmp rdx, rcx
    jne hold_mixed
    test ecx, ecx
    jz .jumped
    cmp [rsp], r13
    jne hold_mixed
    mov r13d, eax
    sub rsp, 8
    call hold_stand_behind
    add rsp, 8
    lea eax, [r13 + 1]
    ret
.jumped:
    mov r13d, eax
    call hold_stand_behind
    lea eax, [r13 + 1]
    jmp hold_leave

; in: rbx, r12; clobbers: as a C function; stack: aligned to 16
hold_stand_behind:
    test rbx, rbx
    jz .back
    mov rdi, r12
    mov esi, 1
    call rbx
.back:
    ret

; in: eax = 0: the site was fallen through; else outcome + 1, from a called target
hold_behind:
    test eax, eax
    jnz hold_leave
hold_mixed:
    mov rsp, rbp
    mov eax, MIXED + 1
; in: eax = outcome + 1; ends the function
hold_leave:
    cmp rsp, rbp
    jne hold_mixed
    pop r13
    pop r12
    pop rbx
    pop rbp
    dec eax
    ret

; The sites, in the order of their addresses, which is that of the table in hold_sites.c.

ENTER_BLOCK jump ; inside an aligned quadword
    PLACE 16, 1
SITE jump
    db 0xe9
    dd PAD_FIRST
BEHIND jump
PADS jump, 0, 0

ENTER_BLOCK branch ; the longest one, up to the end of a quadword
    PLACE 16, 2
SITE branch
    db 0x0f, 0x84
    dd PAD_FIRST
BEHIND branch
PADS branch, 0, 0

    PLACE 16, 0 ; eb 90 leads here
hold_short_mixed:
    jmp near hold_mixed
ENTER_BLOCK short
    times 112 - 2 - ($ - hold_short_mixed) db 0xcc
SITE short
    db 0x66, 0x90
hold_behind_short:
    mov al, 1 ; as behind nop5 below
    jmp near hold_fallen_through
    times 0x50 - ($ - hold_behind_short) db 0xcc
global hold_second_short
hold_second_short:
    PAD SECOND, 0

; Behind a nop. in: eax = 1: run through as it should be; 0: the instruction before was swallowed
hold_fallen_through:
    test eax, eax
    jz hold_mixed
    PAD FIRST, 0

ENTER_BLOCK call ; two bytes in one quadword, three in the next
    PLACE 64, 6
SITE call
    db 0xe8
    dd PAD_FIRST
BEHIND call
PADS call, 8, 8

ENTER_BLOCK jump_to_call ; across a cache line, between the bytes of the displacement that differ
    PLACE 64, 62
SITE jump_to_call
    db 0xe9
    dd PAD_FIRST
BEHIND jump_to_call
PADS jump_to_call, 0, 8

ENTER_BLOCK page ; the same across a page
    PLACE 4096, 4094
SITE page
    db 0xe9
    dd PAD_FIRST
BEHIND page
PADS page, 0, 0

ENTER_BLOCK nop ; the shape of a static key
    PLACE 16, 0
SITE nop
    db 0x0f, 0x1f, 0x44, 0x00, 0x00
hold_behind_nop:
    mov al, 1
    jmp near hold_fallen_through
    times 0x441f - ($ - hold_behind_nop) db 0xcc
    jmp near hold_mixed
    times 0x801f - ($ - hold_behind_nop) db 0xcc
global hold_second_nop
hold_second_nop:
    PAD SECOND, 0
