; SPDX-License-Identifier: MIT
; Entries that may hit while kernel text is half written: #BP, NMI, sync. Invariant: linked into
; .text.nopatch; calls only nopatch code. Entered through the descriptor table (arch/traps.c),
; interrupts off.

%include "arch/percpu.inc"
%include "arch/registers.inc"

VECTOR_NMI                equ 2
VECTOR_BREAKPOINT         equ 3
MSR_X2APIC_EOI            equ 0x80b

extern breakpoint_handle, nmi_handle
extern sync_round, apic_end_of_interrupt_register
global breakpoint_entry, nmi_entry, sync_entry_xapic, sync_entry_x2apic

section .text
default rel

; #BP. In: RIP, CS, RFLAGS, RSP, SS pushed by the CPU. Clobbers nothing that the handler does not
; change in the frame.
; Stack: works on a copy of the hardware frame 48 bytes lower, so that an emulated CALL may write
; the 8 bytes below the interrupted RSP. Inside NMI it must not leave by IRET, which would unmask
; NMIs and let the next one overwrite the NMI stack.
align 16
breakpoint_entry:
    sub rsp, 8                          ; the copy ends 8 bytes below the original: alignment
%rep 5
    push qword [rsp + 5 * 8]            ; SS, RSP, RFLAGS, CS, RIP in turn
%endrep
    push 0
    push VECTOR_BREAKPOINT
    PUSH_REGISTERS
    CALL_WITH_FRAME breakpoint_handle
    cmp dword [gs:CPU_NMI_DEPTH], 0
    jne .inside_nmi
    POP_REGISTERS
    iretq
.inside_nmi:
    mov rax, [rsp + FRAME_RIP + 3 * 8]  ; interrupted RSP; nothing lives below it (no red zone)
    mov rcx, [rsp + FRAME_RIP]
    mov [rax - 8], rcx
    mov rcx, [rsp + FRAME_RIP + 2 * 8]
    mov [rax - 16], rcx
    sub rax, 16
    mov [rsp + FRAME_RIP + 3 * 8], rax
    POP_REGISTERS
    mov rsp, [rsp + 3 * 8]
    popfq
    ret

; NMI, on its own stack. In: hardware frame. Never nests: nothing in it executes IRET before its
; end.
align 16
nmi_entry:
    push 0
    push VECTOR_NMI
    PUSH_REGISTERS
    inc dword [gs:CPU_NMI_DEPTH]
    CALL_WITH_FRAME nmi_handle
    dec dword [gs:CPU_NMI_DEPTH]
    POP_REGISTERS
    iretq

; VECTOR_SYNC_CORE. Acknowledges the round in progress and ends the interrupt; the IRET serialises.
; That the acknowledgement comes before the IRET is harmless: up to it the CPU runs only these
; instructions, and every later one is fetched after it. Acknowledged before the end of interrupt,
; so that the next round's IPI is a new one.
; Ordering: reading sync_round pairs with its increment in round_begin_locked() of ipi.c.
align 64
sync_entry_xapic:
    push rax
    mov rax, [sync_round]
    inc qword [gs:CPU_SYNC_RECEIVED]
    mov [gs:CPU_SYNC_ACKNOWLEDGED], rax
    mov rax, [apic_end_of_interrupt_register]
    mov dword [rax], 0
    pop rax
    iretq

align 64
sync_entry_x2apic:
    push rax
    push rcx
    push rdx
    mov rax, [sync_round]
    inc qword [gs:CPU_SYNC_RECEIVED]
    mov [gs:CPU_SYNC_ACKNOWLEDGED], rax
    xor eax, eax
    xor edx, edx
    mov ecx, MSR_X2APIC_EOI
    wrmsr
    pop rdx
    pop rcx
    pop rax
    iretq
