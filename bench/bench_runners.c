// SPDX-License-Identifier: MIT
/* Runners; see bench_runners.h. Invariant: a runner reads the flip sequence behind each time stamp,
 * so a pass is quiet only if no flip was in flight at its begin, at its end or in between:
 *
 *   patcher                                  runner
 *   waits for `quiet` of every runner        stamp; sequence even; pass; stamp; sequence the same:
 *                                              a quiet pass, into the ring
 *   sequence odd (release)
 *   flip                                     pass; stamp; sequence odd or changed: disturbed
 *   sequence even (release)
 *   waits for `accounted` == sequence        first quiet pass: disturbed ones summed up, accounted
 *                                              = sequence (release) */
#include "bench/bench_runners.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "bench/bench_sites.h"
#include "kernel/console.h"
#include "kernel/grace_period.h"
#include "kernel/thread.h"
#include "patching/heap_sort.h"

#define TYPICAL_PASSES 31                   /* of which the median is taken */
#define QUIET_PASSES   (2 * TYPICAL_PASSES) /* before a flip: the ring holds nothing older */
#define POLL_NS        100000ull
#define CTRL_C_NS      50000000ull /* a wait that takes so long ends by Ctrl-C */

struct runner {
    /* by the runner; read when it has ended or as noted: */
    _Alignas(64) struct thread *thread;
    uint64_t ring[TYPICAL_PASSES]; /* durations of the newest quiet passes, ticks */
    uint64_t disturbed_passes, disturbed_ticks;
    uint64_t wrong_passes;
    uint64_t stolen_ticks; /* of flip `accounted` */
    /* atomic, runner to patcher: */
    uint64_t quiet;     /* quiet passes since the last disturbed one */
    uint64_t accounted; /* sequence up to which flips are in stolen_ticks */
    uint64_t ended;     /* 1: it does nothing any more but end */
};

static struct runner runners[CPU_MAX];
static unsigned runner_count;
static uint64_t first_site;
static uint32_t site_count;
static _Alignas(64) uint64_t flip_sequence; /* odd during a flip */
static bool must_stop;                      /* atomic; partner: the loop of runner_thread() */

static bool ticks_before(const void *a, const void *b)
{
    return *(const uint64_t *)a < *(const uint64_t *)b;
}

static uint64_t typical_ticks(const struct runner *runner)
{
    uint64_t sorted[TYPICAL_PASSES];

    for (unsigned i = 0; i < TYPICAL_PASSES; i++) {
        sorted[i] = runner->ring[i];
    }
    heap_sort(sorted, TYPICAL_PASSES, sizeof(sorted[0]), ticks_before);
    return sorted[TYPICAL_PASSES / 2];
}

/* Sums up the flip that is over, of which @sequence is the even number. */
static void flip_account(struct runner *runner, uint64_t sequence)
{
    uint64_t expected = runner->disturbed_passes * typical_ticks(runner);

    runner->stolen_ticks =
        runner->disturbed_ticks > expected ? runner->disturbed_ticks - expected : 0;
    runner->disturbed_passes = 0;
    runner->disturbed_ticks = 0;
    /* Release: pairs with the acquire in runners_flip_end(), which then reads stolen_ticks. */
    __atomic_store_n(&runner->accounted, sequence, __ATOMIC_RELEASE);
}

/* Files a pass of @ticks that ended with @sequence. Returns true if it took a while itself. */
static bool pass_file(struct runner *runner, uint64_t ticks, uint64_t sequence, bool is_quiet)
{
    uint64_t quiet = runner->quiet;

    if (!is_quiet) {
        runner->disturbed_passes++;
        runner->disturbed_ticks += ticks;
        __atomic_store_n(&runner->quiet, 0, __ATOMIC_RELAXED);
        return false;
    }
    if (runner->disturbed_passes != 0) {
        flip_account(runner, sequence);
        return true;
    }
    runner->ring[quiet % TYPICAL_PASSES] = ticks;
    __atomic_store_n(&runner->quiet, quiet + 1, __ATOMIC_RELEASE);
    return false;
}

static void runner_thread(void *argument)
{
    struct runner *runner = argument;
    uint64_t before = __atomic_load_n(&flip_sequence, __ATOMIC_ACQUIRE);
    uint64_t start = read_tsc();

    while (!__atomic_load_n(&must_stop, __ATOMIC_RELAXED)) {
        uint32_t result = bench_sites_run(first_site);

        thread_checkpoint();
        cpu_relax();
        uint64_t end = read_tsc();
        uint64_t after = __atomic_load_n(&flip_sequence, __ATOMIC_ACQUIRE);
        bool is_quiet = before == after && after % 2 == 0;

        runner->wrong_passes += (result >> 16) + (result & 0xffff) != site_count;
        /* The next pass begins where this one ended, but for the work of accounting. */
        start = pass_file(runner, end - start, after, is_quiet) ? read_tsc() : end;
        before = after;
    }
    __atomic_store_n(&runner->ended, 1, __ATOMIC_RELEASE); /* pairs with the acquire of a wait */
}

/* Waits until the counter of every runner has reached @least. Returns false if one does not, whose
 * CPU may have its interrupts off, and Ctrl-C came. */
static bool wait_for_all(size_t offset, uint64_t least)
{
    uint64_t patient_until = clock_now_ns() + CTRL_C_NS;

    for (unsigned i = 0; i < runner_count; i++) {
        const uint64_t *counter = (const uint64_t *)((const char *)&runners[i] + offset);

        while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < least) {
            if (console_interrupt_requested() && clock_now_ns() > patient_until) {
                return false;
            }
            thread_sleep_ns(POLL_NS);
        }
    }
    return true;
}

enum runners_start runners_start(unsigned count, uint64_t first, uint32_t sites)
{
    uint64_t wrong_passes;

    if (!runners_stop(&wrong_passes)) { /* those that Ctrl-C left */
        return RUNNERS_INTERRUPTED;
    }
    first_site = first;
    site_count = sites;
    __atomic_store_n(&must_stop, false, __ATOMIC_RELAXED);
    for (unsigned cpu = 0; cpu < cpu_present_count() && runner_count < count; cpu++) {
        struct runner *runner = &runners[runner_count];

        if (cpu == cpu_index() || !cpu_index_is_online(cpu)) {
            continue;
        }
        *runner = (struct runner){.accounted = flip_sequence};
        runner->thread = thread_create("bench runner", cpu, runner_thread, runner);
        if (runner->thread == NULL) {
            runners_stop(&wrong_passes);
            return RUNNERS_NO_MEMORY;
        }
        runner_count++;
    }
    return RUNNERS_STARTED;
}

bool runners_flip_begin(void)
{
    bool all_quiet = wait_for_all(offsetof(struct runner, quiet), QUIET_PASSES);

    if (all_quiet) {
        __atomic_fetch_add(&flip_sequence, 1, __ATOMIC_SEQ_CST);
    }
    return all_quiet;
}

bool runners_flip_end(struct histogram *stolen)
{
    uint64_t sequence = __atomic_add_fetch(&flip_sequence, 1, __ATOMIC_SEQ_CST);

    if (!wait_for_all(offsetof(struct runner, accounted), sequence)) {
        return false;
    }
    for (unsigned i = 0; i < runner_count; i++) {
        histogram_add(stolen, clock_ticks_to_ns(runners[i].stolen_ticks));
    }
    return true;
}

bool runners_stop(uint64_t *wrong_passes)
{
    *wrong_passes = 0;
    __atomic_store_n(&must_stop, true, __ATOMIC_RELAXED);
    if (!wait_for_all(offsetof(struct runner, ended), 1)) {
        return false;
    }
    for (unsigned i = 0; i < runner_count; i++) {
        thread_join(runners[i].thread);
        *wrong_passes += runners[i].wrong_passes;
    }
    runner_count = 0;
    return true;
}
