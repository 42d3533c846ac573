// SPDX-License-Identifier: MIT
/* Readers on all CPUs, two on each, of what a writer publishes, waits for and poisons. Why it
 * detects: who still reads a version behind the period sees the poison. Could miss a period that
 * ends early while nobody happens to be inside. Called by suite_grace_period.c. */
#include "tests/kernel/grace_torture.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "kernel/grace_period.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define MILLISECOND  1000000ull
#define TORTURE_NS   (300 * MILLISECOND)
#define LONG_STAY_NS (20 * MILLISECOND)
#define SHORT_STAYS  16 /* one of them is long */

enum { VERSIONS = 8, VERSION_WORDS = 64, GOOD = 0x600d, POISON = 0xdead };

struct version {
    uint64_t words[VERSION_WORDS];
};

static struct torture {
    struct workers workers[2];         /* two a CPU, so that they preempt one another */
    struct version versions[VERSIONS]; /* a freed one stays poisoned for a while */
    struct version *published;         /* atomic */
    uint64_t poisoned;                 /* atomic: reads of a version that was freed */
} torture;

static void version_fill(struct version *version, uint64_t value)
{
    for (unsigned i = 0; i < VERSION_WORDS; i++) {
        __atomic_store_n(&version->words[i], value, __ATOMIC_RELAXED);
    }
}

static void version_read(const struct version *version)
{
    for (unsigned i = 0; i < VERSION_WORDS; i++) {
        uint64_t word = __atomic_load_n(&version->words[i], __ATOMIC_RELAXED);
        __atomic_fetch_add(&torture.poisoned, word != GOOD, __ATOMIC_RELAXED);
        cpu_relax();
    }
}

/* Some stay with a version for longer than a sync round takes, on a loaded host, too: else the
 * round alone would do what the wait for threads is for. */
static void read_versions(void *argument)
{
    for (unsigned round = 0; !workers_should_stop(argument); round++) {
        const struct version *version = __atomic_load_n(&torture.published, __ATOMIC_ACQUIRE);
        uint64_t end = clock_now_ns() + (round % SHORT_STAYS == 0 ? LONG_STAY_NS : 0);

        do {
            version_read(version);
        } while (clock_now_ns() < end);
    }
}

void no_reader_sees_a_version_that_a_period_has_freed(struct test *test)
{
    torture = (struct torture){.published = &torture.versions[0]};
    version_fill(&torture.versions[0], GOOD);
    bool is_complete =
        workers_start(&torture.workers[0], true, read_versions, &torture.workers[0]) &&
        workers_start(&torture.workers[1], true, read_versions, &torture.workers[1]);

    uint64_t end = clock_now_ns() + test_torture_ns(TORTURE_NS); /* now that all read */

    for (unsigned i = 1;
         is_complete && (i <= VERSIONS || clock_now_ns() < end) && !test_should_stop(test); i++) {
        version_fill(&torture.versions[i % VERSIONS], GOOD);
        __atomic_store_n(&torture.published, &torture.versions[i % VERSIONS], __ATOMIC_RELEASE);
        if (!EXPECT(test, synchronize_tasks())) {
            break;
        }
        version_fill(&torture.versions[(i - 1) % VERSIONS], POISON);
    }
    workers_join(&torture.workers[0]);
    workers_join(&torture.workers[1]);
    EXPECT(test, is_complete);
    EXPECT_EQUAL(test, torture.poisoned, 0);
}
