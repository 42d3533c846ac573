// SPDX-License-Identifier: MIT
/* Held batches in an NMI storm. Invariant: see hold_test.h. Called by: suite_hold_company.c. */
#include "arch/nmi.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "kernel/thread.h"
#include "tests/kernel/hold_test.h"

#define ROUNDS        8
#define STORM_ASKS    6
#define STORM_REST_NS 50000ull
#define NMI_LIMIT_NS  10000000000ull

/* NMIs from two sides: the patcher asks every other CPU again and again while it is held, a thread
 * on the last CPU all others, the patcher's included, all the time: during syncs and while text is
 * open. They land inside the int3 handler, which is counted, so that a storm that misses it does
 * not pass for one; and between two instructions of the sites. QEMU's single-threaded TCG leaves a
 * CPU at PAUSE alone: there no NMI can land in the handler, and nearly all find PAUSE. */
static struct storm {
    struct thread *thread;
    bool stop;                 /* atomic */
    uint64_t unanswered, sent; /* atomic */
    /* by the holder: */
    unsigned turn, asked;
    uint64_t landed;       /* NMIs of the holder */
    uint64_t inside;       /* of them in text that may not be patched, while int3 stood */
    uint64_t behind_pause; /* of them right behind a PAUSE */
} storm;

/* One NMI to each other CPU in turn; @snapshot: what it was doing. */
static bool nmi_ask_next(unsigned *turn, struct cpu_snapshot *snapshot)
{
    do {
        *turn = (*turn + 1) % cpu_present_count();
    } while (*turn == cpu_index() || !cpu_index_is_online(*turn));
    bool answered = nmi_capture_backtrace(*turn, snapshot, NMI_LIMIT_NS);
    __atomic_fetch_add(answered ? &storm.sent : &storm.unanswered, 1, __ATOMIC_RELAXED);
    return answered;
}

static bool is_nopatch(uint64_t address)
{
    return address >= (uint64_t)nopatch_start && address < (uint64_t)nopatch_end;
}

static bool is_behind_pause(uint64_t address)
{
    const uint8_t *text = (const uint8_t *)address;
    return text[-2] == 0xf3 && text[-1] == 0x90;
}

static void storm_run(void *argument)
{
    (void)argument;
    unsigned turn = 0;
    struct cpu_snapshot snapshot;
    while (!__atomic_load_n(&storm.stop, __ATOMIC_RELAXED)) {
        nmi_ask_next(&turn, &snapshot);
        thread_sleep_ns(STORM_REST_NS);
    }
}

/* By the holder. */
static bool nmi_ask_while_held(void *argument)
{
    const struct hold_flip *flip = argument;
    struct cpu_snapshot snapshot;
    storm.asked++;
    if (nmi_ask_next(&storm.turn, &snapshot)) {
        storm.landed++;
        storm.inside += is_nopatch(snapshot.rip) && flip->step != PATCH_STEP_FIRST;
        storm.behind_pause += is_behind_pause(snapshot.rip);
    }
    return true;
}

static void visit_in_storm(struct hold_flip *flip)
{
    storm.asked = 0;
    if (flip->protocol != PATCH_PROTOCOL_STOP) {
        hold_flip_count(flip, (struct hold_window){.rounds = ROUNDS,
                                                   .timeout_ns = HOLD_TIMEOUT_NS,
                                                   .meanwhile = nmi_ask_while_held,
                                                   .argument = flip});
    }
    while (storm.asked < STORM_ASKS) {
        nmi_ask_while_held(flip);
    }
    if (flip->protocol == PATCH_PROTOCOL_STOP) {
        hold_check_parked(flip);
    }
}

static unsigned last_cpu(void)
{
    unsigned cpu = cpu_present_count() - 1;
    while (!cpu_index_is_online(cpu) || cpu == cpu_index()) {
        cpu--;
    }
    return cpu;
}

void hold_test_in_storm(struct test *test, const struct hold_scenario *scenario)
{
    if (cpu_count() == 1) {
        test_skip(test, "needs a second CPU to take the NMIs");
        return;
    }
    storm = (struct storm){0};
    storm.thread = thread_create("nmi storm", last_cpu(), storm_run, NULL);
    if (!EXPECT(test, storm.thread != NULL)) {
        return;
    }
    hold_test_run(test, scenario, visit_in_storm);
    __atomic_store_n(&storm.stop, true, __ATOMIC_RELAXED);
    thread_join(storm.thread);
    EXPECT_EQUAL(test, storm.unanswered, 0);
    EXPECT(test, storm.sent > 0);
    EXPECT(test, storm.inside > 0 || 4 * storm.behind_pause >= 3 * storm.landed ||
                     !hold_protocol_has_step(scenario->protocol, scenario->sites, PATCH_STEP_INT3));
}
