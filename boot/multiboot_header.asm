; SPDX-License-Identifier: MIT
; What boot loaders look for in the first 8 KiB of the file. Invariant: both headers describe the
; file as one flat piece from kernel_start, entered at boot_start in 32-bit mode; linker.ld keeps
; it flat. Read by QEMU -kernel (multiboot 1) and GRUB 2 (multiboot 2, BIOS and UEFI).

%include "boot/boot.inc"

extern kernel_start, data_end, kernel_end, boot_start

MULTIBOOT1_MAGIC      equ 0x1badb002
MULTIBOOT1_FLAGS      equ (1 << 1) | (1 << 16)  ; wants the memory map; load addresses follow
MULTIBOOT2_MAGIC      equ 0xe85250d6
MULTIBOOT2_I386       equ 0
MULTIBOOT2_LENGTH     equ multiboot2_end - multiboot2_header

TAG_END               equ 0
TAG_ADDRESSES         equ 2
TAG_ENTRY             equ 3

section .boot.header progbits alloc noexec nowrite align=8

multiboot1_header:
    dd MULTIBOOT1_MAGIC
    dd MULTIBOOT1_FLAGS
    dd -(MULTIBOOT1_MAGIC + MULTIBOOT1_FLAGS)
    dd PHYSICAL(multiboot1_header)
    dd PHYSICAL(kernel_start)           ; load from
    dd PHYSICAL(data_end)               ; load to
    dd PHYSICAL(kernel_end)             ; zero to
    dd PHYSICAL(boot_start)             ; enter

align 8
multiboot2_header:
    dd MULTIBOOT2_MAGIC
    dd MULTIBOOT2_I386
    dd MULTIBOOT2_LENGTH
    dd -(MULTIBOOT2_MAGIC + MULTIBOOT2_I386 + MULTIBOOT2_LENGTH) & 0xffffffff
align 8
    dw TAG_ADDRESSES, 0
    dd 24
    dd PHYSICAL(multiboot2_header)
    dd PHYSICAL(kernel_start)
    dd PHYSICAL(data_end)
    dd PHYSICAL(kernel_end)
align 8
    dw TAG_ENTRY, 0
    dd 12
    dd PHYSICAL(boot_start)
align 8
    dw TAG_END, 0
    dd 8
multiboot2_end:
