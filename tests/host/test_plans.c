// SPDX-License-Identifier: MIT
/* Plans against what then happens. Detects a protocol whose count of rounds is not what applying
 * takes, for mixtures of forms, placements and sites without change; a plan that touches text; and
 * an error that a plan forgets. Could miss: numbers of sites other than these. */
#include "patching/poke.h"
#include "tests/host/host_test.h"
#include "tests/host/sites.h"

static struct patch_batch batch;

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    return 0;
}

static enum patch_status plan(unsigned *rounds)
{
    platform_lock();
    enum patch_status status = patch_batch_plan_locked(&batch, rounds);
    platform_unlock();
    return status;
}

static void prepare(enum patch_protocol_id protocol, unsigned count, uint64_t seed)
{
    recorder_reset();
    recorder.early_boot = protocol == PATCH_PROTOCOL_NAIVE; /* it shows mixtures */
    sites_add_random(&batch, count, seed);
    batch.protocol = protocol;
    batch.flags = PATCH_ALLOW_UNSAFE;
}

static void plan_of_every_protocol_comes_true(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < PATCH_PROTOCOL_COUNT; protocol++) {
        for (unsigned count = 1; count <= 50; count++) {
            unsigned rounds;

            prepare(protocol, count, count * 2654435761u + protocol);
            assert_int_equal(plan(&rounds), PATCH_OK);
            assert_string_equal(recorder_log(), "");
            sites_expect_old();
            assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
            assert_int_equal(batch.record.rounds, rounds);
            assert_int_equal(batch.record.ipis, rounds * (recorder.cpus - 1));
            sites_expect_new();
        }
    }
}

static void refused_plan_is_still_refused_when_applied(void **state)
{
    (void)state;
    unsigned rounds;

    prepare(PATCH_PROTOCOL_COUNT, 3, 1);
    assert_int_equal(plan(&rounds), PATCH_ERR_PROTOCOL);
    assert_int_equal(rounds, 0);
    batch.protocol = PATCH_PROTOCOL_INT3;
    assert_int_equal(patch_batch_apply(&batch), PATCH_ERR_PROTOCOL);
    assert_string_equal(recorder_log(), "");
    sites_expect_old();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(plan_of_every_protocol_comes_true, setup),
    cmocka_unit_test_setup(refused_plan_is_still_refused_when_applied, setup),
};

HOST_TEST_MAIN(tests, NULL)
