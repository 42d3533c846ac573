; SPDX-License-Identifier: MIT
; From the loader's 32-bit entry, or from an application processor's, to the first C line in long
; mode. Invariant: C starts with final permissions: text executable and read-only, rodata
; read-only, all else not executable, NX and WP on, an unmapped page below each stack, no identity
; mapping, nothing writable that shows text. Entered by the boot loader (boot_start) and by
; smp_trampoline.asm (smp_start_32).

%include "boot/boot.inc"
%include "arch/percpu.inc"

extern text_start, text_end, rodata_end, kernel_end
extern boot_main, smp_main, cpus
global boot_start:function, smp_start_32:function, boot_gdt:data
global kernel_root, start_root, boot_no_execute, boot_stacks

CPUID_EXTENDED_MAX         equ 0x80000000
CPUID_EXTENDED_FEATURES    equ 0x80000001
CPUID_TOPOLOGY             equ 0x0b
FEATURE_NX_BIT             equ 20                   ; in EDX
FEATURE_LONG_MODE_BIT      equ 29

CR0_PE_MP_ET_NE_WP_PG      equ 0x80010033
CR4_PAE                    equ 1 << 5
MSR_EFER                   equ 0xc0000080
EFER_LME                   equ 1 << 8
EFER_NXE                   equ 1 << 11

PAGE_PRESENT               equ 1 << 0
PAGE_WRITE                 equ 1 << 1
PAGE_LARGE                 equ 1 << 7
PAGE_GLOBAL                equ 1 << 8
TABLE_ENTRY                equ PAGE_PRESENT | PAGE_WRITE

IMAGE_PAGES                equ 4 * 512              ; the first 8 MiB hold the image: linker.ld
DIRECT_LARGE_PAGES         equ 4 * 512              ; the early direct map: 4 GiB
TOP_LEVEL_DIRECT           equ 256                  ; 0xffff800000000000
TOP_LEVEL_KERNEL           equ 511                  ; 0xffffffff80000000
SECOND_LEVEL_KERNEL        equ 510
STACK_COUNT                equ 4                    ; main, NMI, double fault, machine check

section .boot.text progbits alloc exec nowrite align=16
bits 32

; In:  EAX loader magic, EBX its information, protected mode, paging off, interrupts off.
; Out: does not return. Stack: the boot stack.
boot_start:
    cli
    cld
    mov esp, PHYSICAL(boot_stacks) + 4096 + STACK_BYTES
    mov edi, eax
    mov esi, ebx
    mov ebx, PHYSICAL(message_loader)
    cmp edi, MULTIBOOT1_LOADED
    je .loader_known
    cmp edi, MULTIBOOT2_LOADED
    jne boot_refuse
.loader_known:
    push esi
    push edi
    call check_long_mode
    call build_page_tables
    pop edi
    pop esi
    jmp enter_long_mode

; In: paging off, CS flat 32-bit; on an application processor. Clobbers all. Stack: none.
smp_start_32:
    mov ax, SELECTOR_DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov edi, STARTED_BY_SIPI

; In: EDI magic or STARTED_BY_SIPI, ESI information; page tables built. Does not return. Stack:
; none.
enter_long_mode:
    mov eax, CR4_PAE
    mov cr4, eax
    mov eax, PHYSICAL(start_root)
    mov cr3, eax
    mov ecx, MSR_EFER
    rdmsr
    or eax, EFER_LME
    cmp dword [PHYSICAL(boot_no_execute) + 4], 0
    je .no_nx
    or eax, EFER_NXE
.no_nx:
    wrmsr
    mov eax, CR0_PE_MP_ET_NE_WP_PG
    mov cr0, eax
    lgdt [PHYSICAL(boot_gdt_pointer)]
    jmp dword SELECTOR_CODE64:PHYSICAL(long_mode)

; Out: boot_no_execute set. Clobbers EAX, EBX, ECX, EDX. Refuses a CPU without long mode.
check_long_mode:
    mov eax, CPUID_EXTENDED_MAX
    cpuid
    cmp eax, CPUID_EXTENDED_FEATURES
    jb .refuse
    mov eax, CPUID_EXTENDED_FEATURES
    cpuid
    bt edx, FEATURE_LONG_MODE_BIT
    jnc .refuse
    bt edx, FEATURE_NX_BIT
    jnc .done
    mov dword [PHYSICAL(boot_no_execute) + 4], 0x80000000
.done:
    ret
.refuse:
    mov ebx, PHYSICAL(message_long_mode)

; In: EBX text, NUL-terminated. Prints it on COM1 and halts.
boot_refuse:
    mov dx, 0x3fd                       ; line status
    in al, dx
    test al, 0x20                       ; transmitter empty
    jz boot_refuse
    mov dx, 0x3f8
    mov al, [ebx]
    inc ebx
    test al, al
    jz .halt
    out dx, al
    jmp boot_refuse
.halt:
    cli
    hlt
    jmp .halt

; In: tables zeroed (.bss). Out: start_root and kernel_root complete. Clobbers EAX, EBX, ECX, EDX,
; EBP.
build_page_tables:
    mov ebp, [PHYSICAL(boot_no_execute) + 4]
    xor ecx, ecx
.image_page:                            ; ECX page number, EAX its address, EBX:EDX its entry
    mov eax, ecx
    shl eax, 12
    mov edx, ebp
    lea ebx, [eax + TABLE_ENTRY]
    cmp eax, PHYSICAL(text_start)
    jb .direct_entry
    cmp eax, PHYSICAL(rodata_end)
    jae .direct_entry
    lea ebx, [eax + PAGE_PRESENT]
.direct_entry:
    mov [PHYSICAL(direct_tables) + ecx * 8], ebx
    mov [PHYSICAL(direct_tables) + ecx * 8 + 4], edx
    cmp eax, PHYSICAL(text_start)
    jb .next_page
    cmp eax, PHYSICAL(kernel_end)
    jae .next_page
    cmp eax, PHYSICAL(text_end)
    jae .image_entry
    xor edx, edx                        ; executable
.image_entry:
    or ebx, PAGE_GLOBAL
    mov [PHYSICAL(image_tables) + ecx * 8], ebx
    mov [PHYSICAL(image_tables) + ecx * 8 + 4], edx
.next_page:
    inc ecx
    cmp ecx, IMAGE_PAGES
    jb .image_page

    mov eax, PHYSICAL(boot_stacks)      ; guard pages
    shr eax, 12
    mov ecx, STACK_COUNT
.guard_page:
    mov dword [PHYSICAL(image_tables) + eax * 8], 0
    add eax, 1 + STACK_BYTES / 4096
    loop .guard_page

    xor ecx, ecx                        ; the early direct map in large pages
.large_page:
    mov eax, ecx
    shl eax, 21
    or eax, PAGE_PRESENT | PAGE_WRITE | PAGE_LARGE
    mov [PHYSICAL(direct_directories) + ecx * 8], eax
    mov [PHYSICAL(direct_directories) + ecx * 8 + 4], ebp
    inc ecx
    cmp ecx, DIRECT_LARGE_PAGES
    jb .large_page

    xor ecx, ecx                        ; four tables each: image, its part of the direct map, 4 GiB
.table:
    mov edx, ecx
    shl edx, 12
    lea eax, [edx + PHYSICAL(image_tables) + TABLE_ENTRY]
    mov [PHYSICAL(image_directory) + ecx * 8], eax
    lea eax, [edx + PHYSICAL(direct_tables) + TABLE_ENTRY]
    mov [PHYSICAL(direct_directories) + ecx * 8], eax
    mov dword [PHYSICAL(direct_directories) + ecx * 8 + 4], 0
    lea eax, [edx + PHYSICAL(direct_directories) + TABLE_ENTRY]
    mov [PHYSICAL(direct_pointers) + ecx * 8], eax
    inc ecx
    cmp ecx, 4
    jb .table

    mov eax, PHYSICAL(image_directory) + TABLE_ENTRY
    mov [PHYSICAL(kernel_pointers) + SECOND_LEVEL_KERNEL * 8], eax
    mov [PHYSICAL(start_pointers)], eax ; identity: the same tables, the same permissions
    mov eax, PHYSICAL(kernel_pointers) + TABLE_ENTRY
    mov [PHYSICAL(start_root) + TOP_LEVEL_KERNEL * 8], eax
    mov [PHYSICAL(kernel_root) + TOP_LEVEL_KERNEL * 8], eax
    mov eax, PHYSICAL(start_pointers) + TABLE_ENTRY
    mov [PHYSICAL(start_root)], eax
    mov eax, PHYSICAL(direct_pointers) + TABLE_ENTRY
    mov [PHYSICAL(kernel_root) + TOP_LEVEL_DIRECT * 8], eax
    ret

bits 64

; In: EDI magic or STARTED_BY_SIPI, ESI information, start_root loaded, running at the physical
; address. Continues at the kernel's address under kernel_root; the identity mapping is gone.
long_mode:
    mov rax, .high
    jmp rax
.high:
    mov ax, SELECTOR_DATA
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor eax, eax
    mov fs, ax
    mov gs, ax
    mov eax, PHYSICAL(kernel_root)
    mov cr3, rax
    mov rax, boot_gdt_pointer_high
    lgdt [rax]
    xor ebp, ebp                        ; ends the frame chain
    cmp edi, STARTED_BY_SIPI
    je smp_start_64
    mov rsp, boot_stacks + 4096 + STACK_BYTES
    mov edi, edi                        ; boot_main(uint32_t magic, uint64_t information)
    mov esi, esi
    push 0                              ; return address: ends a backtrace
    jmp boot_main

; In: kernel_root loaded, on an application processor. Finds its struct cpu by APIC id, takes its
; stack and calls smp_main(cpu). A CPU that nobody listed halts for ever. Clobbers all.
smp_start_64:
    xor eax, eax
    cpuid
    cmp eax, CPUID_TOPOLOGY
    jb .short_id
    mov eax, CPUID_TOPOLOGY
    xor ecx, ecx
    cpuid
    test ebx, ebx                       ; 0: leaf not implemented
    jnz .search                         ; EDX is the id
.short_id:
    mov eax, 1
    cpuid
    shr ebx, 24
    mov edx, ebx
.search:
    mov rbx, cpus
.next_cpu:
    mov rdi, [rbx]
    add rbx, 8
    test rdi, rdi                       ; cpus[CPU_MAX] is NULL
    jz .unknown
    cmp [rdi + CPU_APIC_ID], edx
    jne .next_cpu
    mov rsp, [rdi + CPU_STACK_TOP]
    test rsp, rsp
    jz .unknown
    push 0                              ; return address: ends a backtrace
    jmp smp_main
.unknown:
    cli
    hlt
    jmp .unknown

; Read-only while in use, hence the accessed bits.
align 8
boot_gdt:
    dq 0
    dq 0x00af9b000000ffff               ; SELECTOR_CODE64
    dq 0x00cf93000000ffff               ; SELECTOR_DATA
    dq 0x00cf9b000000ffff               ; SELECTOR_CODE32
boot_gdt_end:
boot_gdt_pointer:
    dw boot_gdt_end - boot_gdt - 1
    dd PHYSICAL(boot_gdt)
boot_gdt_pointer_high:
    dw boot_gdt_end - boot_gdt - 1
    dq boot_gdt

message_loader:
    db "livetext: not started by a multiboot 1 or multiboot 2 loader", 13, 10, 0
message_long_mode:
    db "livetext: this CPU has no 64-bit mode", 13, 10, 0

section .rodata
align 8
boot_no_execute:                        ; NX bit of a page-table entry, 0 if the CPU has none;
    dq 0                                ; written before paging is on

section .bss.page_tables nobits alloc noexec write align=4096
start_root:          resb 4096          ; while starting: identity and image
kernel_root:         resb 4096          ; from then on, for ever
kernel_pointers:     resb 4096
start_pointers:      resb 4096
image_directory:     resb 4096
image_tables:        resb 4 * 4096
direct_pointers:     resb 4096          ; the early direct map, until paging_initialize()
direct_directories:  resb 4 * 4096
direct_tables:       resb 4 * 4096

; Each with its unmapped guard page first; the same shape as the slots of arch/stacks.c.
section .bss.stacks nobits alloc noexec write align=4096
boot_stacks:         resb STACK_COUNT * (4096 + STACK_BYTES)
