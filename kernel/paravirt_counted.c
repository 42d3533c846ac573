// SPDX-License-Identifier: MIT
/* The paravirt layer `counted`: counts and times each op, and forwards it to what was below it.
 * Invariant: what a caller sees is what the way below does, registers included; a call that has
 * returned is counted once, on the CPU it returned on. Called by: the sites of all ops that are
 * counted, in any context but NMI: interrupt entry, scheduler, patcher.
 *
 * So nothing here takes a lock, allocates, or calls an op (it would call itself): the TSC is read
 * raw, and each count is one atomic instruction. Nor has any function an entry that can be traced:
 * that of one op would stand for calls of all. */
#include "kernel/paravirt_counted.h"

#include "arch/instructions.h"
#include "arch/paravirt.h"
#include "arch/percpu.h"
#include "kernel/paravirt_backends.h"
#include "kernel/paravirt_counted_cells.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "patching/nopatch.h"
#include "patching/paravirt_thunk.h"

/* ---- counting ---- */

/* Locked: an interrupt between reading the CPU's number and this, with a switch to another CPU,
 * must not lose another's count. */
static inline void add(uint64_t *counter, uint64_t amount)
{
    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

/* *@most = the greater one. Goes round only when somebody has raised it meanwhile. */
static inline void raise(uint64_t *most, uint64_t value)
{
    uint64_t seen = __atomic_load_n(most, __ATOMIC_RELAXED);

    while (value > seen && !__atomic_compare_exchange_n(most, &seen, value, false, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED)) {
    }
}

/* Returns the ticks since @begin; 0 if the TSC went back (the virtual machine was moved). */
static inline uint64_t ticks_since(uint64_t begin)
{
    uint64_t end = read_tsc();

    return end > begin ? end - begin : 0;
}

/* ---- locks ---- */

/* The place of @name in the table, by its address; a new one if there is room. One text that stands
 * in memory twice has two: paravirt_counted_locks() puts them together. */
static PATCH_NO_ENTRY unsigned place_of_name(const char *name)
{
    unsigned place = (unsigned)(((uint64_t)name * 0x9e3779b97f4a7c15u) >> 32);

    for (unsigned tries = 0; tries < COUNTED_LOCK_NAMES; tries++, place++) {
        const char **entry = &counted_lock_names[place % COUNTED_LOCK_NAMES];
        const char *there = __atomic_load_n(entry, __ATOMIC_RELAXED);

        /* Relaxed: the address alone is compared; the text is a constant of the image. If another
         * CPU was faster, @there is what it has put. */
        if (there == NULL && __atomic_compare_exchange_n(entry, &there, name, false,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            return place % COUNTED_LOCK_NAMES;
        }
        if (there == name) {
            return place % COUNTED_LOCK_NAMES;
        }
    }
    return COUNTED_OTHERS;
}

/* The lock's name if @op is one whose operand is a lock. Taken before the op: a lock that was
 * released may be gone. */
static inline const char *lock_name(enum paravirt_op_id op, uint64_t operand)
{
    if (op != PARAVIRT_lock_unlock && op != PARAVIRT_lock_slow) {
        return NULL;
    }
    const char *name = ((const struct spinlock *)operand)->name;

    return name != NULL ? name : "(no name)";
}

static inline void count_lock(struct counted_cpu *block, enum paravirt_op_id op, const char *name,
                              uint64_t ticks)
{
    struct counted_lock *lock = &block->locks[place_of_name(name)];

    if (op == PARAVIRT_lock_unlock) {
        add(&lock->taken, 1);
        return;
    }
    add(&lock->waited_ticks, ticks);
    raise(&lock->longest, ticks);
    add(&lock->contended, 1);
}

/* ---- a call ---- */

static inline void count_op(struct counted_times *times, uint64_t ticks)
{
    add(&times->ticks, ticks);
    raise(&times->longest, ticks);
    raise(&times->shortest, ~ticks);
    __atomic_fetch_add(&times->buckets[histogram_bucket(ticks)], 1, __ATOMIC_RELAXED);
    add(&times->count, 1);
}

/* A call has returned. @lock: name of the lock that it was about, or NULL. */
static __attribute__((noinline)) PATCH_NO_ENTRY void count_call(enum paravirt_op_id op,
                                                                uint64_t ticks, const char *lock)
{
    struct counted_place *place = &counted_places[cpu_index()];

    /* Full barrier; partner: block_take(). Without it the block could be freed under our hands. */
    __atomic_fetch_add(&place->inside, 1, __ATOMIC_SEQ_CST);

    struct counted_cpu *block = __atomic_load_n(&place->block, __ATOMIC_SEQ_CST);

    if (block != NULL) {
        count_op(&block->ops[op], ticks);
        if (lock != NULL) {
            count_lock(block, op, lock, ticks);
        }
    }
    __atomic_fetch_sub(&place->inside, 1, __ATOMIC_RELEASE);
}

/* ---- the time halted ---- */

/* A halt ends by an interrupt, whose handler would switch to the thread it woke: back here only
 * when that has nothing to do any more. So it is made to come back first, and switched behind. */
static inline uint64_t call_begin(enum paravirt_op_id op)
{
    if (op == PARAVIRT_safe_halt) {
        preempt_disable();
    }
    return read_tsc();
}

/* The switch calls ops, which are counted; this one is already. */
static inline void call_end(enum paravirt_op_id op)
{
    if (op == PARAVIRT_safe_halt) {
        preempt_enable();
    }
}

/* ---- ways: one function an op, made from the table ---- */

/* below_NAME(): an ordinary indirect call, no site: what is below changes by a store, before the
 * sites of the layer are written. */
#define BELOW "call *paravirt_below+%c[offset](%%rip)\n\t"
#define DEFINE_BELOW(name, group, keeping, shape, types, kind, native, summary)                    \
    PARAVIRT_CALL_##keeping##_##shape(below_##name, name, BELOW, types)
// cppcheck-suppress uninitvar ; written by the asm
PARAVIRT_TABLE(DEFINE_BELOW)

#define COUNTED_NOTHING(name, types)                                                               \
    PATCH_NO_ENTRY void counted_##name(void)                                                       \
    {                                                                                              \
        uint64_t begin = call_begin(PARAVIRT_##name);                                              \
                                                                                                   \
        below_##name();                                                                            \
        count_call(PARAVIRT_##name, ticks_since(begin), NULL);                                     \
        call_end(PARAVIRT_##name);                                                                 \
    }

#define COUNTED_RETURNS(name, types)                                                               \
    PATCH_NO_ENTRY PARAVIRT_FIRST(types) counted_##name(void)                                      \
    {                                                                                              \
        uint64_t begin = read_tsc();                                                               \
        PARAVIRT_FIRST(types) result = below_##name();                                             \
                                                                                                   \
        count_call(PARAVIRT_##name, ticks_since(begin), NULL);                                     \
        return result;                                                                             \
    }

/* The thunk puts the result on the stack. */
#define COUNTED_STACKED(name, types) COUNTED_RETURNS(name, types)

#define COUNTED_TAKES(name, types)                                                                 \
    PATCH_NO_ENTRY void counted_##name(PARAVIRT_FIRST(types) first)                                \
    {                                                                                              \
        const char *lock = lock_name(PARAVIRT_##name, (uint64_t)first);                            \
        uint64_t begin = read_tsc();                                                               \
                                                                                                   \
        below_##name(first);                                                                       \
        count_call(PARAVIRT_##name, ticks_since(begin), lock);                                     \
    }

#define COUNTED_TAKES2(name, types)                                                                \
    PATCH_NO_ENTRY void counted_##name(PARAVIRT_FIRST(types) first, PARAVIRT_SECOND(types) second) \
    {                                                                                              \
        const char *lock = lock_name(PARAVIRT_##name, (uint64_t)first);                            \
        uint64_t begin = read_tsc();                                                               \
                                                                                                   \
        below_##name(first, second);                                                               \
        count_call(PARAVIRT_##name, ticks_since(begin), lock);                                     \
    }

#define THUNK_KEEPS_NOTHING(name) PARAVIRT_THUNK(counted_##name)
#define THUNK_KEEPS_TAKES(name)   PARAVIRT_THUNK(counted_##name)
#define THUNK_KEEPS_STACKED(name) PARAVIRT_THUNK_STACKED(counted_##name)
#define FUNCTION_KEEPS(name)      paravirt_thunk_counted_##name
#define FUNCTION_CALLS(name)      (paravirt_function *)counted_##name
/* An op that may clobber what a call does needs no thunk. */
#define THUNK_CALLS_NOTHING(name) _Static_assert(true, #name)
#define THUNK_CALLS_TAKES(name)   _Static_assert(true, #name)
#define THUNK_CALLS_TAKES2(name)  _Static_assert(true, #name)
#define THUNK_CALLS_RETURNS(name) _Static_assert(true, #name)

#define DEFINE_WAY(name, group, keeping, shape, types, kind, native, summary)                      \
    COUNTED_##shape(name, types) THUNK_##keeping##_##shape(name);                                  \
    static const struct paravirt_way way_##name = {"counted_" #name, FUNCTION_##keeping(name),     \
                                                   NULL, NULL, NULL};
PARAVIRT_TABLE(DEFINE_WAY)

#define WAY_ENTRY(name, group, keeping, shape, types, kind, native, summary)                       \
    [PARAVIRT_##name] = &way_##name,

const struct paravirt_backend paravirt_backend_counted = {
    .name = "counted",
    .summary = "counts and times every op on each CPU, then does what was below",
    .ways = {PARAVIRT_TABLE(WAY_ENTRY)},
    .is_layer = true,
    .enter = paravirt_counted_enter,
    .leave = paravirt_counted_leave,
};
