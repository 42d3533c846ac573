// SPDX-License-Identifier: MIT
/* The table of paravirt ops, and the native ways of all that are one instruction. Invariant: the
 * out-of-line function of such an op is that instruction and a return, made of the same text as the
 * bytes that are patched in. The functions that are more stand where they belong: spinlock.c,
 * apic.c, paging.c, clock.c, and below. Called by: boot, kernel/paravirt_switch.c. */
#include "arch/paravirt.h"

#include "arch/instructions.h"
#include "arch/ipi_raw.h"
#include "kernel/panic.h"
#include "kernel/spinlock.h"
#include "patching/paravirt_thunk.h"

/* An instruction's function (the slot's target, and the stand-in of an int3) and its bytes. */
#define NATIVE_CODE(name, body, text)                                                              \
    PARAVIRT_ASM_FUNCTION(native_##name, body);                                                    \
    extern const uint8_t native_bytes_##name[], native_bytes_end_##name[];                         \
    __asm__(".pushsection .rodata\n"                                                               \
            "native_bytes_" #name ":\n\t" text "\n"                                                \
            "native_bytes_end_" #name ":\n\t"                                                      \
            ".popsection")

#define NATIVE_CODE_KEEPS_NOTHING(name, text) NATIVE_CODE(name, text "\n\tret\n\t", text)
#define NATIVE_CODE_KEEPS_TAKES(name, text)   NATIVE_CODE(name, text "\n\tret\n\t", text)
#define NATIVE_CODE_CALLS_TAKES(name, text)   NATIVE_CODE(name, text "\n\tret\n\t", text)
/* What the instruction pushes must lie where the return address of the call lies. */
#define NATIVE_CODE_KEEPS_STACKED(name, text)                                                      \
    NATIVE_CODE(name, "push (%rsp)\n\t" text "\n\tpop 8(%rsp)\n\tret\n\t", text)

#define NATIVE_INSTRUCTION(name, keeping, shape, text)                                             \
    NATIVE_CODE_##keeping##_##shape(name, text);                                                   \
    static const struct paravirt_way way_##name = {"native_" #name, native_##name, text,           \
                                                   native_bytes_##name, native_bytes_end_##name}
#define NATIVE_FUNCTION(name, keeping, shape, symbol)                                              \
    static const struct paravirt_way way_##name = {#symbol, (paravirt_function *)symbol, NULL,     \
                                                   NULL, NULL}
#define NATIVE_WAY(name, group, keeping, shape, types, kind, native, summary)                      \
    NATIVE_##kind(name, keeping, shape, native);
PARAVIRT_TABLE(NATIVE_WAY)

/* incl 12(%rdi): one plain store to a line that this CPU owns. On x86 a store releases: the owner's
 * earlier ones are seen first (Intel SDM volume 3, "Memory Ordering"). */
_Static_assert(offsetof(struct spinlock, serving) == 12, "lock_unlock");

#define SLOT(name, group, keeping, shape, types, kind, native, summary)                            \
    [PARAVIRT_##name] = (paravirt_function *)NATIVE_SLOT_##kind(name, native),
#define NATIVE_SLOT_INSTRUCTION(name, native) native_##name
#define NATIVE_SLOT_FUNCTION(name, native)    native
paravirt_function *pv_ops[PARAVIRT_OP_COUNT] = {PARAVIRT_TABLE(SLOT)};

#define NATIVE_ENTRY(name, group, keeping, shape, types, kind, native, summary)                    \
    [PARAVIRT_##name] = &way_##name,
const struct paravirt_way *paravirt_native_ways[PARAVIRT_OP_COUNT] = {PARAVIRT_TABLE(NATIVE_ENTRY)};

#define CLOBBERS_KEEPS_NOTHING   "flags"
#define CLOBBERS_KEEPS_TAKES     "flags"
#define CLOBBERS_KEEPS_STACKED   "flags"
#define CLOBBERS_CALLS_NOTHING   "as a call"
#define CLOBBERS_CALLS_TAKES     "as a call"
#define CLOBBERS_CALLS_TAKES2    "as a call"
#define CLOBBERS_CALLS_RETURNS   "as a call"
#define SIGNATURE_NOTHING(types) "void (void)"
#define SIGNATURE_TAKES(types)   "void " #types
#define SIGNATURE_TAKES2(types)  "void " #types
#define SIGNATURE_RETURNS(types) SIGNATURE_TYPE types " (void)"
#define SIGNATURE_STACKED(types) SIGNATURE_TYPE types " (void), on the stack"
#define SIGNATURE_TYPE(type)     #type
#define OP_ENTRY(op_name, op_group, keeping, shape, types, kind, native, op_summary)               \
    [PARAVIRT_##op_name] = {.name = #op_name,                                                      \
                            .group = (op_group)[0] != '\0' ? (op_group) : NULL,                    \
                            .signature = SIGNATURE_##shape(types),                                 \
                            .clobbers = CLOBBERS_##keeping##_##shape,                              \
                            .summary = (op_summary),                                               \
                            .way = &way_##op_name},
struct paravirt_op paravirt_ops[PARAVIRT_OP_COUNT] = {PARAVIRT_TABLE(OP_ENTRY)};

void native_safe_halt(void)
{
    cpu_halt_wait();
}

/* The end of an interrupt in x2APIC mode: WRMSR takes three registers, which the op keeps. The
 * argument, the address of the xAPIC's register, is not used. */
#define MSR_X2APIC_END_OF_INTERRUPT 0x80b
_Static_assert(MSR_X2APIC_END_OF_INTERRUPT == MSR_X2APIC_BASE + (APIC_END_OF_INTERRUPT >> 4),
               "eoi");
#define TEXT_OF(number)  TEXT_OF_(number)
#define TEXT_OF_(number) #number
PARAVIRT_ASM_FUNCTION(native_eoi_x2apic,
                      "push %rax\n\t"
                      "push %rcx\n\t"
                      "push %rdx\n\t"
                      "mov $" TEXT_OF(MSR_X2APIC_END_OF_INTERRUPT) ", %ecx\n\t"
                                                                   "xor %eax, %eax\n\t"
                                                                   "xor %edx, %edx\n\t"
                                                                   "wrmsr\n\t"
                                                                   "pop %rdx\n\t"
                                                                   "pop %rcx\n\t"
                                                                   "pop %rax\n\t"
                                                                   "ret\n\t");

static const struct paravirt_way way_eoi_x2apic = {"native_eoi_x2apic", native_eoi_x2apic, NULL,
                                                   NULL, NULL};

void paravirt_native_use_x2apic(void)
{
    struct patch_error error;
    struct patch_change change = paravirt_change_to(&paravirt_ops[PARAVIRT_eoi], &way_eoi_x2apic);

    paravirt_native_ways[PARAVIRT_eoi] = &way_eoi_x2apic;
    if (patch_transaction("native eoi", &change, 1, &error) != PATCH_OK) {
        panic("paravirt op eoi, site 0x%llx: %s", (unsigned long long)error.address,
              patch_status_text(error.status));
    }
}

enum patch_status paravirt_ops_initialize(struct patch_error *error)
{
    return paravirt_initialize(paravirt_ops, PARAVIRT_OP_COUNT, pv_ops, PARAVIRT_INLINE, error);
}
