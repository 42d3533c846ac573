// SPDX-License-Identifier: MIT
/* Readers of the hold sites. Invariant: see hold_readers.h. How a window is exact:
 *
 *   holder                                  reader, between two rounds
 *   window = odd number   (release) ----->  sees it (acquire): counts = 0; own window = it
 *   waits for own window and rounds         rounds
 *   window = even number  (release) ----->  sees it: own window = it (release)
 *   sees that (acquire), reads counts       does not touch the counts any more
 */
#include "bench/hold_readers.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/patience.h"
#include "arch/percpu.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "patching/trap_statistics.h"

#define START_POLL_NS 100000ull
#define YIELD_ROUNDS  64

struct hold_reader {
    struct thread *thread;
    /* atomic, written by the reader: */
    uint64_t window;            /* the one it has last seen */
    uint64_t rounds;            /* since the start */
    uint64_t window_began;      /* `rounds` when its window opened */
    uint64_t mixed[HOLD_SITES]; /* runs since the start */
    bool is_muted;
    /* by the reader, while its window is open; by the holder afterwards: */
    struct hold_counts counts;
    struct hold_counts muted_counts;
    struct hold_counts other_counts; /* between windows */
    /* atomic, written by the holder, reset by the reader: */
    uint64_t mute_ns;
};

static struct hold_readers {
    uint64_t window; /* atomic; odd: open */
    bool stop;       /* atomic; partner: the loop in reader_run() */
    struct hold_reader on[CPU_MAX];
} readers;

static bool is_open(uint64_t window)
{
    return window % 2 != 0;
}

static void round_count(struct hold_reader *reader, struct hold_counts *counts)
{
    for (unsigned i = 0; i < HOLD_SITES; i++) {
        enum hold_outcome outcome = hold_sites[i].run(NULL, NULL);
        counts->outcomes[i][outcome]++;
        if (outcome == HOLD_MIXED) {
            __atomic_fetch_add(&reader->mixed[i], 1, __ATOMIC_RELAXED);
        }
    }
    counts->rounds++;
}

static void counts_begin(struct hold_counts *counts)
{
    *counts = (struct hold_counts){.traps = patch_traps_emulated(cpu_index())};
}

static void counts_end(struct hold_counts *counts)
{
    counts->traps = patch_traps_emulated(cpu_index()) - counts->traps;
}

/* The holder has opened or closed a window. */
static void window_turn(struct hold_reader *reader, uint64_t window)
{
    if (is_open(window)) {
        counts_begin(&reader->counts);
        __atomic_store_n(&reader->window_began, reader->rounds, __ATOMIC_RELAXED);
    } else {
        counts_end(&reader->counts);
    }
    __atomic_store_n(&reader->window, window, __ATOMIC_RELEASE);
}

static void rounds_run_muted(struct hold_reader *reader, uint64_t duration_ns)
{
    uint64_t flags = interrupts_save();
    uint64_t end = clock_now_ns() + duration_ns;
    counts_begin(&reader->muted_counts);
    __atomic_store_n(&reader->is_muted, true, __ATOMIC_RELAXED);
    __atomic_store_n(&reader->mute_ns, 0, __ATOMIC_RELEASE); /* pairs with hold_reader_mute() */
    while (clock_now_ns() < end) {
        round_count(reader, &reader->muted_counts);
        cpu_relax();
    }
    counts_end(&reader->muted_counts);
    /* Release, and before interrupts come on: whoever has waited for an interrupt of this CPU, or
     * sees false, finds the counts complete. */
    __atomic_store_n(&reader->is_muted, false, __ATOMIC_RELEASE);
    interrupts_restore(flags);
}

static void reader_run(void *argument)
{
    struct hold_reader *reader = argument;
    while (!__atomic_load_n(&readers.stop, __ATOMIC_RELAXED)) {
        uint64_t window = __atomic_load_n(&readers.window, __ATOMIC_ACQUIRE);
        if (window != reader->window) {
            window_turn(reader, window);
        }
        uint64_t mute_ns = __atomic_load_n(&reader->mute_ns, __ATOMIC_RELAXED);
        if (mute_ns != 0) {
            rounds_run_muted(reader, mute_ns);
        }
        round_count(reader, is_open(window) ? &reader->counts : &reader->other_counts);
        uint64_t rounds = __atomic_add_fetch(&reader->rounds, 1, __ATOMIC_RELEASE);
        if (rounds % YIELD_ROUNDS == 0) {
            thread_yield(); /* tests keep other threads on this CPU */
        }
        cpu_relax();
    }
}

bool hold_reader_runs(unsigned cpu)
{
    return readers.on[cpu].thread != NULL;
}

uint64_t hold_reader_rounds(unsigned cpu)
{
    return __atomic_load_n(&readers.on[cpu].rounds, __ATOMIC_ACQUIRE);
}

static bool reader_start(unsigned cpu)
{
    readers.on[cpu].thread = thread_create("hold reader", cpu, reader_run, &readers.on[cpu]);
    return readers.on[cpu].thread != NULL;
}

bool hold_readers_start(void)
{
    bool complete = true;
    memset(&readers, 0, sizeof(readers));
    for (unsigned cpu = 0; complete && cpu < cpu_present_count(); cpu++) {
        if (cpu != cpu_index() && cpu_index_is_online(cpu)) {
            complete = reader_start(cpu);
        }
    }
    if (!complete) {
        hold_readers_stop();
        return false;
    }
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        while (hold_reader_runs(cpu) && hold_reader_rounds(cpu) == 0) {
            thread_sleep_ns(START_POLL_NS);
        }
    }
    return true;
}

void hold_readers_stop(void)
{
    __atomic_store_n(&readers.stop, true, __ATOMIC_RELAXED);
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (hold_reader_runs(cpu)) {
            thread_join(readers.on[cpu].thread);
            readers.on[cpu].thread = NULL;
        }
    }
}

uint64_t hold_readers_mixed_at(unsigned site)
{
    uint64_t mixed = 0;
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        mixed += __atomic_load_n(&readers.on[cpu].mixed[site], __ATOMIC_RELAXED);
    }
    return mixed;
}

uint64_t hold_readers_mixed(void)
{
    uint64_t mixed = 0;
    for (unsigned site = 0; site < HOLD_SITES; site++) {
        mixed += hold_readers_mixed_at(site);
    }
    return mixed;
}

/* Whether @cpu's reader has seen @window and done @rounds in it. */
static bool reader_has_done(unsigned cpu, uint64_t window, uint64_t rounds)
{
    struct hold_reader *reader = &readers.on[cpu];
    if (__atomic_load_n(&reader->window, __ATOMIC_ACQUIRE) != window) {
        return false;
    }
    uint64_t began = __atomic_load_n(&reader->window_began, __ATOMIC_RELAXED);
    return __atomic_load_n(&reader->rounds, __ATOMIC_RELAXED) - began >= rounds;
}

/* Waits until all readers have seen @number and done their rounds, and the least time is over. */
static enum hold_window_result readers_wait(const struct hold_window *window, uint64_t number,
                                            uint64_t rounds, uint64_t least_ns, unsigned *stuck_cpu)
{
    uint64_t start = clock_now_ns();
    struct patience patience = patience_begin(start, window->timeout_ns);
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        while (hold_reader_runs(cpu) && !reader_has_done(cpu, number, rounds)) {
            if (!window->meanwhile(window->argument) && rounds != 0) {
                return HOLD_WINDOW_ENDED;
            }
            if (patience_spent(&patience, clock_now_ns()) > window->timeout_ns) {
                *stuck_cpu = cpu;
                return HOLD_WINDOW_STUCK;
            }
        }
    }
    while (clock_now_ns() - start < least_ns) {
        if (!window->meanwhile(window->argument)) {
            return HOLD_WINDOW_ENDED;
        }
    }
    return HOLD_WINDOW_DONE;
}

enum hold_window_result hold_window_count(const struct hold_window *window, unsigned *stuck_cpu)
{
    uint64_t number = readers.window + 1;
    __atomic_store_n(&readers.window, number, __ATOMIC_RELEASE);
    enum hold_window_result result =
        readers_wait(window, number, window->rounds, window->least_ns, stuck_cpu);
    __atomic_store_n(&readers.window, number + 1, __ATOMIC_RELEASE);
    if (result == HOLD_WINDOW_STUCK) {
        return result;
    }
    enum hold_window_result closed = readers_wait(window, number + 1, 0, 0, stuck_cpu);
    return closed == HOLD_WINDOW_DONE ? result : closed;
}

const struct hold_counts *hold_reader_counts(unsigned cpu)
{
    return &readers.on[cpu].counts;
}

bool hold_reader_is_muted(unsigned cpu)
{
    return __atomic_load_n(&readers.on[cpu].is_muted, __ATOMIC_ACQUIRE);
}

const struct hold_counts *hold_reader_muted_counts(unsigned cpu)
{
    return &readers.on[cpu].muted_counts;
}

bool hold_reader_mute(unsigned cpu, uint64_t ns, uint64_t timeout_ns)
{
    struct hold_reader *reader = &readers.on[cpu];
    struct patience patience = patience_begin(clock_now_ns(), timeout_ns);
    __atomic_store_n(&reader->mute_ns, ns, __ATOMIC_RELAXED);
    /* Acquire: pairs with the release in rounds_run_muted(): is_muted was set before. */
    while (__atomic_load_n(&reader->mute_ns, __ATOMIC_ACQUIRE) != 0) {
        if (patience_spent(&patience, clock_now_ns()) > timeout_ns) {
            return false;
        }
        cpu_relax();
    }
    return true;
}
