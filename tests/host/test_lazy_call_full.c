// SPDX-License-Identifier: MIT
/* More call sites than lazy patching can keep: a program of its own, because the table is full ever
 * after. Thousands of calls of the stub are written into the recorder's arena and reported as the
 * stub would. Detects a site lost below the limit, a table that overruns, a worker that is asked
 * for ever for sites it has no room for, sites mixed up by the hash. */
#include "patching/lazy_call.h"

#include "patching/instruction.h"
#include "patching/record.h"
#include "tests/host/host_test.h"
#include "tests/host/lazies.h"
#include "tests/host/recorder.h"

#include <string.h>

enum { STRIDE = 16, BUNCH = 32, EXTRA = 40 };

void lazy_call_report(struct lazy_call *call, uint64_t return_address);

static struct lazy_call *const many = &lazy_call_data_lazy_many;

static uint64_t arena_site(unsigned number)
{
    return (uint64_t)recorder_arena + (uint64_t)number * STRIDE;
}

/* Writes calls of the stub, to be patched to lazy_old(). */
static void sites_write(void)
{
    for (unsigned i = 0; i < LAZY_SITES_MAX + EXTRA; i++) {
        struct instruction call = {
            .kind = INSTRUCTION_CALL, .length = INSN_CALL32_LENGTH, .target = many->stub};
        uint8_t bytes[2][PATCH_SITE_LENGTH_MAX];

        assert_int_equal(instruction_encode(&call, arena_site(i), bytes[0]), PATCH_OK);
        call.target = (uint64_t)lazy_old;
        assert_int_equal(instruction_encode(&call, arena_site(i), bytes[1]), PATCH_OK);
        memcpy((void *)arena_site(i), bytes[0], INSN_CALL32_LENGTH);
        recorder_watch(arena_site(i), bytes[0], bytes[1], INSN_CALL32_LENGTH);
    }
}

static void sites_report(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        lazy_call_report(many, arena_site(i) + INSN_CALL32_LENGTH);
        if ((i - from) % BUNCH == BUNCH - 1) {
            lazy_pass_make();
        }
    }
    lazy_pass_make();
}

static void sites_beyond_the_limit_stay_indirect_and_are_counted(void **state)
{
    struct lazy_call_statistics statistics;
    struct patch_record record;

    (void)state;
    recorder_reset();
    sites_write();
    sites_report(0, LAZY_SITES_MAX - 8);
    sites_report(LAZY_SITES_MAX - 8, LAZY_SITES_MAX + 16); /* full in the middle of a pass */
    statistics = lazy_statistics_of(many);
    assert_int_equal(statistics.patched, LAZY_SITES_MAX);
    for (unsigned i = 0; i < LAZY_SITES_MAX + EXTRA; i++) {
        lazy_expect_call(arena_site(i), i < LAZY_SITES_MAX ? (uint64_t)lazy_old : many->stub);
    }

    unsigned requests = recorder.work_requests;

    sites_report(LAZY_SITES_MAX, LAZY_SITES_MAX + EXTRA);
    assert_int_equal(recorder.work_requests, requests); /* there is nothing to be done */
    assert_int_equal(lazy_statistics_of(many).unlisted, EXTRA);
    assert_int_equal(lazy_run(2), 2 * LAZY_OLD_ONE);

    recorder.early_boot = true; /* the sites are watched on their way there, not back */
    assert_int_equal(lazy_call_forget(many, NULL), PATCH_OK);
    assert_true(patch_record_get(patch_record_newest(), &record));
    assert_int_equal(record.sites, LAZY_SITES_MAX);
    assert_int_equal(record.rounds, 3);
    lazy_expect_call(arena_site(LAZY_SITES_MAX - 1), many->stub);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(sites_beyond_the_limit_stay_indirect_and_are_counted),
};

HOST_TEST_MAIN(tests, lazies_group_setup)
