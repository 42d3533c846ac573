// SPDX-License-Identifier: MIT
/* The breakpoint handler, whole in .text.nopatch. Invariant: the batch in flight is read only under
 * a reference of this CPU, and a trap of ours always ends in the new instruction (at a last site
 * the old one) emulated or the site fetched again. Called by: the host's #BP entry (handle), the
 * protocols (arm, disarm). */
#include "patching/breakpoint.h"

#include "patching/bytes.h"
#include "patching/instruction.h"

enum { INT3_LENGTH = 1 };

enum flag {
    FLAG_CARRY = 1 << 0,
    FLAG_PARITY = 1 << 2,
    FLAG_AUXILIARY = 1 << 4, /* the borrow into bit 4 */
    FLAG_ZERO = 1 << 6,
    FLAG_SIGN = 1 << 7,
    FLAG_OVERFLOW = 1 << 11,
    FLAGS_COMPARED =
        FLAG_CARRY | FLAG_PARITY | FLAG_AUXILIARY | FLAG_ZERO | FLAG_SIGN | FLAG_OVERFLOW,
};

struct patch_trap_cpu patch_trap_cpus[PATCH_CPU_MAX];

static const struct patch_batch *in_flight; /* under a reference; written while there is none */
static uint64_t batches_armed; /* atomic; counted before a batch writes its first int3 */

/* Takes a reference unless the count is 0.
 * Acquire: pairs with the release in patch_breakpoint_arm(); without it the handler could search
 * the previous content of the batch. */
static bool reference_get(struct patch_trap_cpu *cpu)
{
    uint32_t count = __atomic_load_n(&cpu->references, __ATOMIC_ACQUIRE);

    while (count != 0) {
        if (__atomic_compare_exchange_n(&cpu->references, &count, count + 1, false,
                                        __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
            return true;
        }
    }
    return false;
}

/* Release: pairs with the acquire in patch_breakpoint_disarm(); without it the batch could be
 * reused while the handler still reads it. */
static void reference_put(struct patch_trap_cpu *cpu)
{
    __atomic_fetch_sub(&cpu->references, 1, __ATOMIC_RELEASE);
}

static const struct patch_site *find_site(const struct patch_batch *batch, uint64_t address)
{
    uint64_t bucket = (address - batch->index.base) >> batch->index.shift;

    if (bucket >= PATCH_INDEX_BUCKETS) { /* below the base the difference wraps to a huge number */
        return NULL;
    }

    uint32_t low = batch->index.bucket_start[bucket];
    uint32_t end = batch->index.bucket_start[bucket + 1];
    uint32_t high = end;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (batch->sites[middle].address < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < end && batch->sites[low].address == address ? &batch->sites[low] : NULL;
}

/* Intel SDM, volume 2, "jcc": bit 0 of the condition negates, bits 3..1 say what is tested. */
static bool condition_holds(uint8_t condition, uint64_t flags)
{
    static const uint16_t any_of[8] = {
        FLAG_OVERFLOW, FLAG_CARRY,  FLAG_ZERO, FLAG_CARRY | FLAG_ZERO,
        FLAG_SIGN,     FLAG_PARITY, 0,         FLAG_ZERO,
    };
    unsigned test = condition >> 1;
    bool less = ((flags & FLAG_SIGN) != 0) != ((flags & FLAG_OVERFLOW) != 0);
    bool holds = (flags & any_of[test]) != 0 || (test >= 6 && less);

    return holds != ((condition & 1) != 0);
}

/* Sets what cmp @left, @right sets (Intel SDM, volume 2, "CMP": as SUB). */
static void compare(struct patch_registers *registers, uint64_t left, uint64_t right)
{
    uint64_t result = left - right;
    uint64_t borrows = left ^ right ^ result; /* into each bit */
    uint64_t overflow = (left ^ right) & (left ^ result);
    unsigned parity = (unsigned)(result ^ result >> 4) & 15; /* of the low byte, in four bits */
    uint64_t flags = registers->flags & ~(uint64_t)FLAGS_COMPARED;

    flags |= left < right ? FLAG_CARRY : 0;
    flags |= (0x9669u >> parity & 1) != 0 ? FLAG_PARITY : 0; /* bit n: n has an even number of 1s */
    flags |= borrows & FLAG_AUXILIARY;
    flags |= result == 0 ? FLAG_ZERO : 0;
    flags |= result >> 63 != 0 ? FLAG_SIGN : 0;
    flags |= overflow >> 63 != 0 ? FLAG_OVERFLOW : 0;
    registers->flags = flags;
}

/* Does what the old instruction of @site, which is last, would do: a nop or a jump. */
static void emulate_old(const struct patch_site *site, struct patch_registers *registers)
{
    const uint8_t *bytes = site->old_bytes;
    int64_t displacement = 0;

    if (bytes[0] == INSN_JMP8) {
        displacement = (int8_t)bytes[1];
    }
    if (bytes[0] == INSN_JMP32) {
        displacement = (int32_t)bytes_load4(bytes + 1);
    }
    registers->ip = site->address + site->length + (uint64_t)displacement;
}

/* Does what the new instruction of @site would do; where it has a stand-in, calls that. */
static void emulate_new(const struct patch_site *site, struct patch_registers *registers)
{
    uint64_t next = site->address + site->length;
    uint64_t operand = (uint64_t)(int64_t)site->displacement;
    enum instruction_kind kind = (enum instruction_kind)site->kind;

    registers->ip = instruction_has_target(kind) ? next + operand : next;
    if (kind == INSTRUCTION_JUMP_IF && !condition_holds(site->condition, registers->flags)) {
        registers->ip = next;
    }
    if (kind == INSTRUCTION_CALL_MEMORY) {
        /* One load, before the push, as the instruction does. */
        registers->ip = bytes_load8((const void *)(next + operand));
    }
    if (kind == INSTRUCTION_CALL || kind == INSTRUCTION_CALL_MEMORY) {
        registers->sp -= sizeof(uint64_t);
        *(uint64_t *)registers->sp = next;
    }
    if (kind == INSTRUCTION_RETURN) {
        registers->ip = *(const uint64_t *)registers->sp;
        registers->sp += sizeof(uint64_t);
    }
    if (kind == INSTRUCTION_RETURN_ZERO) {
        registers->ax = 0; /* the flags are dead, as behind any call */
    }
    if (kind == INSTRUCTION_COMPARE) {
        compare(registers, registers->ax, operand);
    }
    if (kind == INSTRUCTION_COMPARE_MEMORY) {
        /* One load, as the instruction does; who writes the word orders it (dynamic_call.h). */
        compare(registers, registers->ax, bytes_load8((const void *)(next + operand)));
    }
}

/* Of a site that is last the old instruction, as long as the batch is in flight: the new one is for
 * those who fetched it, which they can only when no other site shows its old one (three_steps.c).
 */
static void emulate(const struct patch_site *site, struct patch_registers *registers)
{
    if (site->is_last) {
        emulate_old(site, registers);
    } else {
        emulate_new(site, registers);
    }
}

/* One look for the int3 that a CPU ran into. */
enum look {
    LOOK_EMULATED, /* ours: done */
    LOOK_VANISHED, /* no int3 any more: fetch again (facts: bug 4) */
    LOOK_STRANGE,  /* int3, and no batch had it when we looked */
};

/* A site of the batch in flight is emulated whether its int3 still stands or not: while a batch is
 * in flight either instruction will do. To go back and fetch again would do, too, on a processor;
 * but an emulator that has filed a translation of the int3 (sites_refresh()) would trap again. If
 * it is the patcher who goes round and round, nobody is left to write the site once more; if it is
 * a CPU with interrupts off, it never takes the sync that the batch waits for.
 *
 * The byte is read once, behind the reference. Acquire: pairs with the count in
 * patch_breakpoint_arm(): who sees an int3 sees its batch counted, see patch_breakpoint_handle().
 */
static enum look look_once(struct patch_trap_cpu *cpu, struct patch_registers *registers)
{
    uint64_t address = registers->ip - INT3_LENGTH;
    bool in_time = reference_get(cpu);
    bool stands = __atomic_load_n((const uint8_t *)address, __ATOMIC_ACQUIRE) == INSN_INT3;
    const struct patch_site *site = in_time ? find_site(in_flight, address) : NULL;

    if (site != NULL) {
        emulate(site, registers);
        __atomic_fetch_add(&cpu->emulated, 1, __ATOMIC_RELAXED); /* ordered by the put */
    }
    if (in_time) {
        reference_put(cpu);
    }
    return site != NULL ? LOOK_EMULATED : stands ? LOOK_STRANGE : LOOK_VANISHED;
}

/* An int3 may be met late: by a CPU that was silent when a batch was put back, or that runs in an
 * emulator (site_write.h, sites_refresh()). If it looks for the batch before, and at the byte
 * after, the next one has armed, it finds an int3 that nobody seems to have set:
 *
 *     patcher                                   a CPU in the handler
 *     batch 1 put back, returns                 count of batches: 1
 *                                               no batch in flight
 *     batch 2: references, count = 2, int3
 *                                               reads int3: whose?
 *                                               count is 2 now: look again
 *
 * So an int3 is a stranger's only if no batch was armed from before the look until behind it. */
bool patch_breakpoint_handle(struct patch_registers *registers)
{
    uint64_t start = platform_time_ticks();
    struct patch_trap_cpu *cpu = &patch_trap_cpus[platform_cpu_index()];
    uint64_t armed_before;
    enum look look;

    do {
        armed_before = __atomic_load_n(&batches_armed, __ATOMIC_ACQUIRE); /* before the reference */
        look = look_once(cpu, registers);
    } while (look == LOOK_STRANGE &&
             __atomic_load_n(&batches_armed, __ATOMIC_RELAXED) != armed_before);

    if (look == LOOK_EMULATED) {
        histogram_add(&cpu->handler_ticks, platform_time_ticks() - start);
    }
    if (look == LOOK_VANISHED) {
        registers->ip -= INT3_LENGTH;
        __atomic_fetch_add(&cpu->retried, 1, __ATOMIC_RELAXED); /* a count, no order needed */
    }
    return look != LOOK_STRANGE;
}

/* References of all possible CPUs, not only of those online: one that comes up meanwhile
 * may trap. */
void patch_breakpoint_arm(const struct patch_batch *batch)
{
    unsigned possible = platform_cpu_possible();

    in_flight = batch;
    for (unsigned i = 0; i < possible; i++) {
        __atomic_store_n(&patch_trap_cpus[i].references, 1, __ATOMIC_RELEASE);
    }
    /* Release: pairs with both loads in patch_breakpoint_handle(): who finds the new count finds
     * the references; the int3s are written behind it. */
    __atomic_fetch_add(&batches_armed, 1, __ATOMIC_RELEASE);
}

void patch_breakpoint_disarm(void)
{
    unsigned possible = platform_cpu_possible();

    for (unsigned i = 0; i < possible; i++) {
        reference_put(&patch_trap_cpus[i]);
    }
    for (unsigned i = 0; i < possible; i++) {
        while (__atomic_load_n(&patch_trap_cpus[i].references, __ATOMIC_ACQUIRE) != 0) {
            platform_relax();
        }
    }
}
