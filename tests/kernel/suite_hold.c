// SPDX-License-Identifier: MIT
/* Every protocol, held at each of its steps while all other CPUs run through its sites, alone or
 * with a CPU whose interrupts are off; suite_hold_company.c adds other company. Why it detects: the
 * sites (bench/hold_sites.asm) tell old, new and mixed apart, a held step lasts until every CPU
 * has run through every site several times, and what each of them may get there is known exactly
 * (bench/hold_flip.h). What it could miss: a CPU that fetches stale bytes, which no emulator does;
 * under KVM on a real processor it would be seen here, else in `make silicon` and tests/model. That
 * a sync was answered is seen by its acknowledgement. And TCG tears quadwords: there mixtures of
 * quadword sites count only behind the sync. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/nmi.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "kernel/console.h"
#include "kernel/protocol_danger.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "patching/platform.h"
#include "patching/trap_statistics.h"
#include "tests/kernel/hold_test.h"

#define ROUNDS       8
#define PARKED_NS    2000000ull
#define MUTE_NS      10000000ull
#define NMI_LIMIT_NS 10000000000ull

static uint64_t line_of(uint64_t address)
{
    return address / 64;
}

/* What the comments of hold_sites.asm promise, for the linker has the last word. */
static void sites_lie_where_they_should(struct test *test)
{
    static const bool fits[HOLD_SITES] = {true, true, true, false, false, false, true};
    unsigned lines_crossed = 0;
    unsigned pages_crossed = 0;
    for (unsigned i = 0; i < HOLD_SITES; i++) {
        uint64_t first = hold_sites[i].address;
        uint64_t last = first + hold_sites[i].forms[HOLD_FORM_FIRST].length - 1;
        EXPECT_EQUAL(test, hold_sites[i].forms[HOLD_FORM_SECOND].length, last - first + 1);
        EXPECT_EQUAL(test, hold_site_fits_quadword(&hold_sites[i]), fits[i]);
        EXPECT(test, i == 0 || first > hold_sites[i - 1].address);
        lines_crossed += line_of(first) != line_of(last);
        pages_crossed += first / PAGE_SIZE != last / PAGE_SIZE;
    }
    EXPECT_EQUAL(test, lines_crossed, 2);
    EXPECT_EQUAL(test, pages_crossed, 1);
}

static void bytes_write(struct test *test, uint64_t address, const uint8_t *bytes, size_t length)
{
    struct platform_round round = {0};
    platform_text_open();
    EXPECT(test, platform_text_write((void *)address, bytes, length));
    platform_text_close();
    EXPECT(test, platform_sync_cores(&round));
}

/* Bit k of @mixture: byte k is that of the second form. */
static void mixture_run(struct test *test, unsigned site, unsigned mixture)
{
    const struct hold_site *hold = &hold_sites[site];
    uint8_t forms[HOLD_FORMS][PATCH_SITE_LENGTH_MAX];
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];
    size_t length = hold->forms[HOLD_FORM_FIRST].length;
    enum hold_outcome expected = HOLD_MIXED;
    hold_site_bytes(hold, HOLD_FORM_FIRST, forms[HOLD_FORM_FIRST]);
    hold_site_bytes(hold, HOLD_FORM_SECOND, forms[HOLD_FORM_SECOND]);
    for (size_t k = 0; k < length; k++) {
        bytes[k] = forms[mixture >> k & 1][k];
    }
    for (int form = HOLD_FORM_FIRST; form <= HOLD_FORM_SECOND; form++) {
        if (memcmp(bytes, forms[form], length) == 0) {
            expected = (enum hold_outcome)form;
        }
    }
    platform_lock();
    bytes_write(test, hold->address, bytes, length);
    EXPECT_EQUAL(test, hold->run(NULL, NULL), expected);
    bytes_write(test, hold->address, forms[HOLD_FORM_FIRST], length);
    platform_unlock();
}

/* The check under all others: if a mixture could pass for old or new, or crash, none of them would
 * be worth anything. Every choice of old and new bytes is written and run: nothing left to luck.
 * Mutant: mixture-not-counted. */
static void every_mixture_is_counted_as_mixed(struct test *test)
{
    for (unsigned site = 0; site < HOLD_SITES; site++) {
        unsigned length = hold_sites[site].forms[HOLD_FORM_FIRST].length;
        for (unsigned mixture = 0; mixture < 1u << length; mixture++) {
            mixture_run(test, site, mixture);
        }
    }
}

bool hold_test_begin(struct test *test)
{
    if (cpu_count() == 1) {
        test_skip(test, "needs a second CPU to run through the sites");
        return false;
    }
    return EXPECT(test, hold_readers_start());
}

/* Of quadword sites under QEMU's TCG, see platform_quadword_is_fetched_whole(); only between store
 * and sync. */
static bool may_tear(const struct hold_scenario *scenario)
{
    return scenario->protocol == PATCH_PROTOCOL_QWORD &&
           protocol_danger(PATCH_PROTOCOL_QWORD) != NULL;
}

void hold_test_end(struct test *test, const struct hold_scenario *scenario)
{
    EXPECT(test, hold_readers_mixed() == 0 || may_tear(scenario));
    hold_readers_stop();
}

void hold_test_flip(struct test *test, const struct hold_scenario *scenario, enum hold_form goal,
                    void (*visit)(struct hold_flip *flip))
{
    static struct hold_flip flip;
    flip = (struct hold_flip){.protocol = scenario->protocol,
                              .flags = scenario->flags,
                              .sites = scenario->sites,
                              .goal = goal,
                              .fetch_is_bytewise = may_tear(scenario),
                              .visit = visit,
                              .argument = test};
    EXPECT_EQUAL(test, hold_flip_apply(&flip), PATCH_OK);
    EXPECT_EQUAL(test, flip.holds, scenario->holds);
    if (flip.is_faulty) {
        console_print("    # %s\n", flip.fault);
    }
    EXPECT(test, !flip.is_faulty);
}

void hold_test_run(struct test *test, const struct hold_scenario *scenario,
                   void (*visit)(struct hold_flip *flip))
{
    if (hold_test_begin(test)) {
        hold_test_flip(test, scenario, HOLD_FORM_SECOND, visit);
        hold_test_flip(test, scenario, HOLD_FORM_FIRST, visit);
        hold_test_end(test, scenario);
    }
}

/* The patcher runs into the sites itself. */
static void count_here(struct hold_flip *flip)
{
    struct hold_counts counts = {.rounds = ROUNDS};
    preempt_disable();
    uint64_t traps = patch_traps_emulated(cpu_index());
    for (unsigned i = 0; i < HOLD_SITES * ROUNDS; i++) {
        counts.outcomes[i % HOLD_SITES][hold_sites[i % HOLD_SITES].run(NULL, NULL)]++;
    }
    counts.traps = patch_traps_emulated(cpu_index()) - traps;
    preempt_enable();
    hold_flip_check_counts(flip, cpu_index(), &counts);
}

/* Every other CPU stands still with interrupts off, but takes an NMI. Mutant: stop-does-not-park.
 */
void hold_check_parked(struct hold_flip *flip)
{
    static uint64_t before[CPU_MAX];
    uint64_t end = clock_now_ns() + PARKED_NS;
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        before[cpu] = hold_reader_rounds(cpu);
    }
    while (clock_now_ns() < end) {
        cpu_relax();
    }
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        struct cpu_snapshot snapshot;
        if (!hold_reader_runs(cpu)) {
            continue;
        }
        if (!nmi_capture_backtrace(cpu, &snapshot, NMI_LIMIT_NS)) {
            hold_flip_fault(flip, "cpu %u is parked and takes no NMI", cpu);
        } else if (snapshot.rflags & FLAG_INTERRUPT) {
            hold_flip_fault(flip, "cpu %u is parked with interrupts on", cpu);
        }
        if (hold_reader_rounds(cpu) != before[cpu]) {
            hold_flip_fault(flip, "cpu %u goes on though all are parked", cpu);
        }
    }
}

void hold_visit_plain(struct hold_flip *flip)
{
    if (flip->protocol == PATCH_PROTOCOL_STOP) {
        hold_check_parked(flip);
        return;
    }
    hold_flip_count(flip, (struct hold_window){.rounds = ROUNDS, .timeout_ns = HOLD_TIMEOUT_NS});
    count_here(flip);
}

#define SITE(i)        (1u << (i))
#define QUADWORD_SITES (SITE(0) | SITE(1) | SITE(2) | SITE(6))
#define FEW_SITES      (SITE(3) | SITE(6)) /* int3 is held at each site */

const struct hold_scenario hold_int3_all = {PATCH_PROTOCOL_INT3, 0, HOLD_ALL_SITES, 42};
const struct hold_scenario hold_int3 = {PATCH_PROTOCOL_INT3, 0, FEW_SITES, 12};
const struct hold_scenario hold_int3_one = {PATCH_PROTOCOL_INT3, 0, SITE(3), 6};
const struct hold_scenario hold_int3_batch = {PATCH_PROTOCOL_INT3_BATCH, 0, HOLD_ALL_SITES, 6};
const struct hold_scenario hold_qword = {PATCH_PROTOCOL_QWORD, PATCH_ALLOW_UNSAFE, HOLD_ALL_SITES,
                                         6};
static const struct hold_scenario qword_strict = {
    PATCH_PROTOCOL_QWORD, PATCH_STRICT | PATCH_ALLOW_UNSAFE, QUADWORD_SITES, 2};
const struct hold_scenario hold_stop = {PATCH_PROTOCOL_STOP, 0, HOLD_ALL_SITES, 1};

/* naive is wrong, and the check must say so: mixtures at every site. Whatever the checks of the
 * other cases are worth is shown here. Nothing is left to luck: naive is held between two bytes.
 * Mutant: mixture-passes-the-check. */
static uint64_t mixed_at[HOLD_SITES];

static void add_mixtures(struct hold_flip *flip)
{
    hold_flip_count(flip, (struct hold_window){.rounds = ROUNDS, .timeout_ns = HOLD_TIMEOUT_NS});
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        for (unsigned i = 0; hold_reader_runs(cpu) && i < HOLD_SITES; i++) {
            mixed_at[i] += hold_reader_counts(cpu)->outcomes[i][HOLD_MIXED];
        }
    }
}

static void naive_is_seen_to_mix(struct test *test)
{
    static struct hold_flip flip;
    if (!hold_test_begin(test)) {
        return;
    }
    memset(mixed_at, 0, sizeof(mixed_at));
    for (int goal = HOLD_FORM_SECOND; goal >= HOLD_FORM_FIRST; goal--) {
        flip = (struct hold_flip){.protocol = PATCH_PROTOCOL_NAIVE,
                                  .flags = PATCH_ALLOW_UNSAFE,
                                  .sites = HOLD_ALL_SITES,
                                  .goal = (enum hold_form)goal,
                                  .visit = add_mixtures};
        EXPECT_EQUAL(test, hold_flip_apply(&flip), PATCH_OK);
        EXPECT(test, flip.is_faulty);
        EXPECT_EQUAL(test, flip.record.rounds, 0);
        EXPECT_EQUAL(test, flip.record.ipis, 0);
    }
    for (unsigned i = 0; i < HOLD_SITES; i++) {
        EXPECT(test, mixed_at[i] > 0);
    }
    EXPECT(test, hold_readers_mixed() > 0);
    /* Whatever naive has left in a fetcher is gone once the sites were patched as they should. */
    hold_test_flip(test, &hold_int3_batch, HOLD_FORM_SECOND, NULL);
    hold_test_flip(test, &hold_int3_batch, HOLD_FORM_FIRST, NULL);
    hold_readers_stop();
}

/* A CPU whose interrupts are off since before the sync: the sync must wait for it, and it alone may
 * meet the int3 with interrupts off. A sync that does not wait is certain to be seen, unless the
 * host keeps the patcher from running for MUTE_NS between two lines. Mutants: sync-not-awaited,
 * stop-not-awaited. */
static unsigned muted_cpu;

static void mute_one(struct hold_flip *flip)
{
    do {
        muted_cpu = (muted_cpu + 1) % cpu_present_count();
    } while (!hold_reader_runs(muted_cpu));
    if (!hold_reader_mute(muted_cpu, MUTE_NS, HOLD_TIMEOUT_NS)) {
        hold_flip_fault(flip, "cpu %u did not turn its interrupts off", muted_cpu);
    }
}

/* The CPU is back, and got what was allowed when its interrupts went off: at @step, written. */
static void check_muted(struct hold_flip *flip, enum patch_step step)
{
    struct hold_flip then = *flip;
    if (hold_reader_is_muted(muted_cpu)) {
        hold_flip_fault(flip, "the sync did not wait for cpu %u, whose interrupts are off",
                        muted_cpu);
        return;
    }
    then.step = step;
    then.moment = PATCH_MOMENT_WRITTEN;
    if (!hold_flip_check_counts(&then, muted_cpu, hold_reader_muted_counts(muted_cpu))) {
        hold_flip_fault(flip, "with interrupts off: %s", then.fault);
    }
}

static void visit_muting(struct hold_flip *flip)
{
    if (flip->protocol == PATCH_PROTOCOL_STOP) {
        check_muted(flip, PATCH_STEP_INT3); /* muted since before the batch: old */
        hold_check_parked(flip);
    } else if (flip->moment == PATCH_MOMENT_WRITTEN) {
        hold_visit_plain(flip);
        mute_one(flip);
    } else {
        check_muted(flip, flip->step);
        hold_visit_plain(flip);
    }
}

static void run_muting(struct test *test, const struct hold_scenario *scenario)
{
    if (!hold_test_begin(test)) {
        return;
    }
    for (int goal = HOLD_FORM_SECOND; goal >= HOLD_FORM_FIRST; goal--) {
        struct hold_flip before = {.protocol = scenario->protocol};
        if (scenario->protocol == PATCH_PROTOCOL_STOP) {
            mute_one(&before);
        }
        EXPECT(test, !before.is_faulty);
        hold_test_flip(test, scenario, (enum hold_form)goal, visit_muting);
    }
    hold_test_end(test, scenario);
}

static void run_plain(struct test *test, const struct hold_scenario *scenario)
{
    hold_test_run(test, scenario, hold_visit_plain);
}

static void qword_alone_takes_no_trap(struct test *test)
{
    run_plain(test, &qword_strict);
}

/* The same two claims of each protocol. int3 is held again at every site: with all of them only
 * where nothing else goes on. */
#define CLAIMS(name, all, few)                                                                     \
    static void name##_never_mixes(struct test *test)                                              \
    {                                                                                              \
        run_plain(test, &(all));                                                                   \
    }                                                                                              \
    static void name##_waits_for_a_cpu_with_interrupts_off(struct test *test)                      \
    {                                                                                              \
        run_muting(test, &(few));                                                                  \
    }

CLAIMS(int3, hold_int3_all, hold_int3)
CLAIMS(int3_batch, hold_int3_batch, hold_int3_batch)
CLAIMS(qword, hold_qword, hold_qword)
CLAIMS(stop, hold_stop, hold_stop)

static const struct test_case cases[] = {
    TEST_CASE(sites_lie_where_they_should),
    TEST_CASE(every_mixture_is_counted_as_mixed),
    TEST_CASE(naive_is_seen_to_mix),
    TEST_CASE(qword_alone_takes_no_trap),
    TEST_CASE(int3_never_mixes),
    TEST_CASE(int3_batch_never_mixes),
    TEST_CASE(qword_never_mixes),
    TEST_CASE(stop_never_mixes),
    TEST_CASE(int3_waits_for_a_cpu_with_interrupts_off),
    TEST_CASE(int3_batch_waits_for_a_cpu_with_interrupts_off),
    TEST_CASE(qword_waits_for_a_cpu_with_interrupts_off),
    TEST_CASE(stop_waits_for_a_cpu_with_interrupts_off),
};

const struct test_suite suite_hold = TEST_SUITE("hold", cases);
