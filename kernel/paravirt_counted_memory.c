// SPDX-License-Identifier: MIT
/* Memory of the layer `counted`, and reading what stands there. Invariant: while an op is counted
 * every CPU has its block; a block is given back only while none is. Called by: the switch (enter,
 * leave), commands_pv_stats.c, tests/kernel. */
#include "kernel/paravirt_counted.h"

#include "arch/clock.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/mutex.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "patching/heap_sort.h"

#define NO_MEMORY "no memory to count in: 40 KiB for each CPU"
_Static_assert(sizeof(struct counted_cpu) <= 40 * 1024, NO_MEMORY);
_Static_assert(sizeof(struct counted_cpu) > 39 * 1024, NO_MEMORY);

/* How long a block is waited for: whoever counts is through in a microsecond, but for those that
 * were preempted, or whose virtual CPU rests. */
#define LEAVE_LIMIT_NS 10000000000ull
#define LEAVE_POLL_NS  100000ull

struct counted_place counted_places[CPU_MAX];
const char *counted_lock_names[COUNTED_LOCK_NAMES];
const char paravirt_lock_others[] = "(others: no room for more names)";

/* The blocks are neither made nor given back while somebody reads. */
static struct mutex memory_mutex = MUTEX("counted");
static uint32_t ops_entered; /* under memory_mutex; bit by op */
_Static_assert(PARAVIRT_OP_COUNT <= 32, "a bit an op");

/* ---- memory ---- */

static struct counted_cpu *block_of(unsigned cpu)
{
    return __atomic_load_n(&counted_places[cpu].block, __ATOMIC_RELAXED); /* memory_mutex is held */
}

/* Takes the block of @cpu away from those who count, and returns it when none of them is in it.
 * NULL: there was none, or somebody does not leave; then it stays where it was. */
static struct counted_cpu *block_take(unsigned cpu)
{
    struct counted_place *place = &counted_places[cpu];
    /* Full barrier; partner: count_call(). */
    struct counted_cpu *block = __atomic_exchange_n(&place->block, NULL, __ATOMIC_SEQ_CST);
    uint64_t end_ns = clock_now_ns() + LEAVE_LIMIT_NS;

    /* Acquire: pairs with the release behind the last count: it is over before the block is. */
    while (block != NULL && __atomic_load_n(&place->inside, __ATOMIC_ACQUIRE) != 0) {
        if (clock_now_ns() > end_ns) {
            log_warning("counted: somebody on CPU %u has been counting for %llu s: what it counts "
                        "in is kept",
                        cpu, LEAVE_LIMIT_NS / 1000000000);
            __atomic_store_n(&place->block, block, __ATOMIC_RELEASE);
            return NULL;
        }
        thread_sleep_ns(LEAVE_POLL_NS);
    }
    return block;
}

/* Context: no op is counted. */
static void memory_free(void)
{
    bool is_all_free = true;

    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        heap_free(block_take(cpu));
        is_all_free = is_all_free && block_of(cpu) == NULL;
    }
    if (is_all_free) {
        memset(counted_lock_names, 0, sizeof(counted_lock_names));
    }
}

/* All CPUs or none. */
static bool memory_make(void)
{
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        struct counted_cpu *block = block_of(cpu);

        block = block != NULL ? block : heap_allocate(sizeof(*block));
        if (block == NULL) {
            memory_free();
            return false;
        }
        /* Release: pairs with the load in count_call(), of an idle CPU that was there before. */
        __atomic_store_n(&counted_places[cpu].block, block, __ATOMIC_RELEASE);
    }
    return true;
}

const char *paravirt_counted_enter(enum paravirt_op_id op)
{
    const char *refusal = NULL;

    mutex_lock(&memory_mutex);
    if (ops_entered != 0 || memory_make()) {
        ops_entered |= 1u << op;
    } else {
        refusal = NO_MEMORY;
    }
    mutex_unlock(&memory_mutex);
    return refusal;
}

void paravirt_counted_leave(enum paravirt_op_id op)
{
    mutex_lock(&memory_mutex);
    ops_entered &= ~(1u << op);
    mutex_unlock(&memory_mutex);
}

bool paravirt_counted_has_memory(void)
{
    mutex_lock(&memory_mutex);
    bool has_memory = block_of(0) != NULL;
    mutex_unlock(&memory_mutex);
    return has_memory;
}

/* ---- reading ---- */

static uint64_t load(const uint64_t *value)
{
    return __atomic_load_n(value, __ATOMIC_RELAXED); /* partner: the adds, no order needed */
}

static void histogram_of(const struct counted_times *times, struct histogram *histogram)
{
    histogram->count = load(&times->count);
    histogram->minimum = ~load(&times->shortest);
    histogram->maximum = load(&times->longest);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        histogram->buckets[i] = __atomic_load_n(&times->buckets[i], __ATOMIC_RELAXED);
    }
}

void paravirt_counted_add(enum paravirt_op_id op, unsigned first, unsigned end,
                          struct paravirt_counts *counts)
{
    mutex_lock(&memory_mutex);
    for (unsigned cpu = first; cpu < end && block_of(cpu) != NULL; cpu++) {
        const struct counted_times *times = &block_of(cpu)->ops[op];
        struct histogram histogram;

        histogram_of(times, &histogram);
        histogram_merge(&counts->times, &histogram);
        counts->ticks += load(&times->ticks);
    }
    mutex_unlock(&memory_mutex);
}

/* What all CPUs have counted at one place of the table. */
static struct paravirt_lock_counts lock_sum(unsigned place, const char *name)
{
    struct paravirt_lock_counts sum = {.name = name};

    for (unsigned cpu = 0; cpu < cpu_present_count() && block_of(cpu) != NULL; cpu++) {
        const struct counted_lock *lock = &block_of(cpu)->locks[place];
        uint64_t longest = load(&lock->longest);

        sum.taken += load(&lock->taken);
        sum.contended += load(&lock->contended);
        sum.waited_ticks += load(&lock->waited_ticks);
        sum.longest_ticks = longest > sum.longest_ticks ? longest : sum.longest_ticks;
    }
    return sum;
}

/* Adds @sum to the row of that text, a new one if there is none. Returns how many rows there are.
 */
static unsigned row_add(struct paravirt_lock_counts *rows, unsigned count,
                        const struct paravirt_lock_counts *sum)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(rows[i].name, sum->name) == 0) {
            rows[i].taken += sum->taken;
            rows[i].contended += sum->contended;
            rows[i].waited_ticks += sum->waited_ticks;
            if (sum->longest_ticks > rows[i].longest_ticks) {
                rows[i].longest_ticks = sum->longest_ticks;
            }
            return count;
        }
    }
    rows[count] = *sum;
    return count + 1;
}

static bool row_before(const void *left_row, const void *right_row)
{
    const struct paravirt_lock_counts *left = left_row;
    const struct paravirt_lock_counts *right = right_row;

    if (left->waited_ticks != right->waited_ticks) {
        return left->waited_ticks > right->waited_ticks;
    }
    return left->taken > right->taken;
}

unsigned paravirt_counted_locks(struct paravirt_lock_counts rows[PARAVIRT_LOCK_ROWS])
{
    unsigned count = 0;

    mutex_lock(&memory_mutex);
    for (unsigned place = 0; place < PARAVIRT_LOCK_ROWS; place++) {
        const char *name = place == COUNTED_OTHERS
                               ? paravirt_lock_others
                               : __atomic_load_n(&counted_lock_names[place], __ATOMIC_RELAXED);
        const struct paravirt_lock_counts sum = lock_sum(place, name);

        if (name != NULL && (sum.taken != 0 || sum.contended != 0)) {
            count = row_add(rows, count, &sum);
        }
    }
    mutex_unlock(&memory_mutex);
    heap_sort(rows, count, sizeof(rows[0]), row_before);
    return count;
}

/* ---- clearing ---- */

static void store_zero(uint64_t *value)
{
    __atomic_store_n(value, 0, __ATOMIC_RELAXED);
}

static void times_clear(struct counted_times *times)
{
    store_zero(&times->count);
    store_zero(&times->ticks);
    store_zero(&times->longest);
    store_zero(&times->shortest);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        __atomic_store_n(&times->buckets[i], 0, __ATOMIC_RELAXED);
    }
}

static void block_clear(struct counted_cpu *block)
{
    for (unsigned op = 0; op < PARAVIRT_OP_COUNT; op++) {
        times_clear(&block->ops[op]);
    }
    for (unsigned place = 0; place < PARAVIRT_LOCK_ROWS; place++) {
        store_zero(&block->locks[place].taken);
        store_zero(&block->locks[place].contended);
        store_zero(&block->locks[place].waited_ticks);
        store_zero(&block->locks[place].longest);
    }
}

void paravirt_counted_clear(void)
{
    mutex_lock(&memory_mutex);
    if (ops_entered == 0) {
        memory_free();
    }
    for (unsigned cpu = 0; cpu < cpu_present_count() && block_of(cpu) != NULL; cpu++) {
        block_clear(block_of(cpu));
    }
    mutex_unlock(&memory_mutex);
}
