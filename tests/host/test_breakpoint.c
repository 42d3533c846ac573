// SPDX-License-Identifier: MIT
/* The handler by itself: races that the order of writes does not show. */
#include "tests/host/sites.h"

#include "patching/instruction.h"
#include "patching/trap_statistics.h"
#include "tests/host/host_test.h"
#include "tests/host/single_step.h"

#include <string.h>

static struct patch_batch batch;
static struct test_site only_site;

static int setup(void **state)
{
    (void)state;
    const struct site_form nop = {INSTRUCTION_NOP, 5, 0, 0};
    const struct site_form jump = {INSTRUCTION_JUMP, 5, 0, 0x01000000};

    recorder_reset();
    patch_batch_initialize(&batch, "one site");
    only_site = site_make(100, &nop, &jump);
    site_add(&batch, &only_site);
    return 0;
}

static void int3_of_nobody_is_not_resolved(void **state)
{
    (void)state;
    struct patch_registers registers = {.sp = 1, .flags = 2, .ax = 3};

    recorder_arena[9] = INSN_INT3;
    assert_false(recorder_trap(1, (uint64_t)recorder_arena + 9, &registers));
    assert_int_equal(registers.ip, recorder_arena + 10);
    assert_int_equal(registers.sp, 1);
    assert_int_equal(registers.ax, 3);
    assert_int_equal(patch_traps_emulated_total(), 0);
}

static void trap_on_neighbours(void)
{
    static const int distances[] = {-100, -1, 1, 4, 5, 90, 4096, 200000};

    for (size_t i = 0; i < ARRAY_COUNT(distances); i++) {
        uint64_t address = only_site.address + (uint64_t)(int64_t)distances[i];
        uint8_t saved = *(uint8_t *)address;
        struct patch_registers registers = {0};

        *(uint8_t *)address = INSN_INT3;
        assert_false(recorder_trap(2, address, &registers));
        *(uint8_t *)address = saved;
    }
}

static void int3_beside_a_site_in_flight_is_not_resolved(void **state)
{
    (void)state;
    recorder.on_sync = trap_on_neighbours;
    assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
}

static void trap_whose_int3_vanished_is_retried(void **state)
{
    (void)state;
    struct patch_registers registers = {.flags = 2};

    assert_true(recorder_trap(3, only_site.address, &registers));
    assert_int_equal(registers.ip, only_site.address);
    assert_int_equal(patch_traps_retried(3), 1);
    assert_int_equal(patch_traps_emulated(3), 0);
}

/* An emulator may hold on to an int3 that is gone: fetched again, it would trap again. The patcher
 * may meet it, or a CPU that has interrupts off and owes a sync. So the new instruction is done as
 * long as the batch is in flight: that is until the site has been written once more. */
static bool met_vanished_int3, met_before_refresh;

static void trap_on_vanished_int3(void)
{
    struct patch_registers registers = {0};

    if (recorder.rounds > 0 && *(const uint8_t *)only_site.address != INSN_INT3) {
        assert_true(recorder_trap(1, only_site.address, &registers));
        assert_int_equal(registers.ip, only_site.address + 5 + 0x01000000);
        met_vanished_int3 = true;
        met_before_refresh |= recorder.rounds == 3;
    }
}

static void vanished_int3_of_a_batch_in_flight_is_emulated(void **state)
{
    (void)state;
    recorder.text_needs_refresh = true;
    recorder.on_open = trap_on_vanished_int3;
    recorder.on_sync = trap_on_vanished_int3;
    assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
    assert_true(met_vanished_int3 && met_before_refresh);
    assert_int_equal(patch_traps_retried(1), 0);
}

/* A trap on the int3 of the batch before (an emulator may still have it), while another CPU arms
 * the next batch and writes its int3: at every instruction of the handler in turn. */
static unsigned arm_at_step;
static bool armed_meanwhile;

static void arm_next_batch(void)
{
    if (single_step_count() == arm_at_step) {
        patch_breakpoint_arm(&batch);
        *(uint8_t *)only_site.address = INSN_INT3;
        armed_meanwhile = true;
    }
}

static void late_trap_is_resolved_whenever_the_next_batch_arms(void **state)
{
    (void)state;
    unsigned rounds;
    unsigned emulated = 0;

    platform_lock();
    assert_int_equal(patch_batch_plan_locked(&batch, &rounds), PATCH_OK);
    for (arm_at_step = 1, armed_meanwhile = true; armed_meanwhile; arm_at_step++) {
        struct patch_registers registers = {0};

        armed_meanwhile = false;
        single_step_begin(arm_next_batch);
        bool resolved = recorder_trap(1, only_site.address, &registers);

        single_step_end();
        assert_true(resolved);
        emulated += registers.ip == only_site.address + 5 + 0x01000000;
        assert_true(registers.ip == only_site.address ||
                    registers.ip == only_site.address + 5 + 0x01000000);
        memcpy((void *)only_site.address, only_site.old_bytes, 5);
        if (armed_meanwhile) {
            patch_breakpoint_disarm();
        }
    }
    assert_in_range(emulated, 1, arm_at_step - 2);
}

/* The patcher's life, one phase after another, batch after batch; what it may do next depends on
 * the handler alone: it cannot end a batch under a reference. */
static enum { IDLE, ARMED, TRAPPING, WRITTEN } phase;
static uint64_t schedule;

static void patcher_goes_on(void)
{
    uint8_t *text = (uint8_t *)only_site.address;

    switch (phase) {
    case IDLE:
        patch_breakpoint_arm(&batch);
        phase = ARMED;
        return;
    case ARMED:
        *text = INSN_INT3;
        phase = TRAPPING;
        return;
    case TRAPPING:
        *text = only_site.old_bytes[0];
        phase = WRITTEN;
        return;
    case WRITTEN:
        if (patch_trap_cpus[1].references == 1) {
            patch_breakpoint_disarm();
            phase = IDLE;
        }
        return;
    }
}

/* Now and then, and then some phases at once. */
static void patcher_may_go_on(void)
{
    if (next_random(&schedule) % 8 == 0) {
        for (uint64_t steps = next_random(&schedule) % 5; steps > 0; steps--) {
            patcher_goes_on();
        }
    }
}

/* A CPU that was silent, or runs in an emulator, may trap late, and whole batches may pass while it
 * is in the handler. Whatever it then finds is no stranger's int3. */
static void late_trap_is_resolved_however_many_batches_pass(void **state)
{
    (void)state;
    unsigned rounds;

    platform_lock();
    assert_int_equal(patch_batch_plan_locked(&batch, &rounds), PATCH_OK);
    for (unsigned seed = 1; seed <= 4000; seed++) {
        struct patch_registers registers = {0};

        schedule = seed * 0x9e3779b97f4a7c15;
        single_step_begin(patcher_may_go_on);
        bool resolved = recorder_trap(1, only_site.address, &registers);

        single_step_end();
        if (!resolved) {
            fail_msg("trap not resolved with schedule %u", seed);
        }
        while (phase != IDLE) {
            patcher_goes_on();
        }
    }
}

/* A handler that is still inside when the last sync returns (an NMI): the batch may not
 * come back. */
static unsigned relaxes_until_handler_leaves;

static void enter_handler_on_cpu_2(void)
{
    if (recorder.rounds == 3) {
        patch_trap_cpus[2].references++;
    }
}

static void leave_handler_on_cpu_2(void)
{
    if (--relaxes_until_handler_leaves == 0) {
        patch_trap_cpus[2].references--;
    }
}

static void batch_returns_only_after_every_cpu_left_the_handler(void **state)
{
    (void)state;
    relaxes_until_handler_leaves = 5;
    recorder.on_sync = enter_handler_on_cpu_2;
    recorder.on_relax = leave_handler_on_cpu_2;
    assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
    assert_int_equal(recorder.relaxes, 5);
    assert_int_equal(patch_trap_cpus[2].references, 0);
}

static void trap_on_the_highest_cpu(void)
{
    struct patch_registers registers = {0};

    if (*(uint8_t *)only_site.address == INSN_INT3) {
        assert_true(recorder_trap(PATCH_CPU_MAX - 1, only_site.address, &registers));
        assert_int_equal(registers.ip, only_site.address + 5 + 0x01000000);
        recorder.traps++;
    }
}

static void cpu_that_comes_up_during_a_batch_is_served(void **state)
{
    (void)state;
    recorder.on_sync = trap_on_the_highest_cpu;
    assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
    assert_int_equal(patch_traps_emulated(PATCH_CPU_MAX - 1), 2);
    assert_int_equal(batch.record.traps, recorder.traps);
}

/* An NMI whose handler runs into the site while the #BP handler of the same CPU holds its
 * reference. */
static void trap_inside_a_handler(void)
{
    struct patch_registers registers = {0};

    patch_trap_cpus[1].references++;
    if (*(uint8_t *)only_site.address == INSN_INT3) {
        assert_true(recorder_trap(1, only_site.address, &registers));
        recorder.traps++;
    }
    patch_trap_cpus[1].references--;
}

static void handler_nests(void **state)
{
    (void)state;
    recorder.on_sync = trap_inside_a_handler;
    assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
    assert_int_equal(recorder.relaxes, 0);
}

/* A batch in flight whose only site is to become call [rip + @distance]. */
static struct test_site arm_call_through_memory(size_t offset, int32_t distance)
{
    const struct site_form nop = {INSTRUCTION_NOP, INSN_CALL_MEMORY_LENGTH, 0, 0};
    const struct site_form call = {INSTRUCTION_CALL_MEMORY, INSN_CALL_MEMORY_LENGTH, 0, distance};
    struct test_site site;
    unsigned rounds;

    recorder_reset();
    patch_batch_initialize(&batch, "through a word");
    site = site_make(offset, &nop, &call);
    site_add(&batch, &site);
    platform_lock();
    assert_int_equal(patch_batch_plan_locked(&batch, &rounds), PATCH_OK);
    patch_breakpoint_arm(&batch);
    return site;
}

static void disarm(void)
{
    patch_breakpoint_disarm();
    platform_unlock();
}

/* Words ahead and behind, aligned and not, of which all eight bytes count; read anew each time. */
static void call_through_memory_goes_where_the_word_says(void **state)
{
    (void)state;
    static const int32_t distances[] = {0x1000, 0x1001, 0x3ffd, -0x1000, -0x0fff};
    uint64_t random = 21;

    for (size_t i = 0; i < ARRAY_COUNT(distances); i++) {
        struct test_site site = arm_call_through_memory(0x8000 + 3 * i, distances[i]);
        uint64_t next = site.address + INSN_CALL_MEMORY_LENGTH;
        uint64_t stack[4] = {1, 2, 3, 4};

        for (unsigned run = 0; run < 100; run++) {
            struct patch_registers registers = {
                .sp = (uint64_t)&stack[2], .flags = run * 0x11u, .ax = run};
            uint64_t target = next_random(&random);

            memcpy((void *)(next + (uint64_t)(int64_t)distances[i]), &target, sizeof(target));
            assert_true(recorder_trap(1, site.address, &registers));
            assert_int_equal(registers.ip, target);
            assert_ptr_equal(registers.sp, &stack[1]);
            assert_int_equal(registers.flags, run * 0x11u);
            assert_int_equal(registers.ax, run);
            assert_int_equal(stack[1], next);
            assert_true(stack[0] == 1 && stack[2] == 3 && stack[3] == 4);
        }
        disarm();
    }
}

/* Intel SDM, volume 2, "CALL": the operand is read, then the return address is pushed. */
static void call_through_the_word_that_it_overwrites_goes_where_that_said(void **state)
{
    (void)state;
    struct test_site site = arm_call_through_memory(0x8000, 0x1002);
    uint64_t next = site.address + INSN_CALL_MEMORY_LENGTH;
    uint64_t target = 0x123456789abcdef0, pushed;
    struct patch_registers registers = {.sp = next + 0x1002 + sizeof(target)};

    memcpy((void *)(next + 0x1002), &target, sizeof(target));
    assert_true(recorder_trap(1, site.address, &registers));
    memcpy(&pushed, (void *)(next + 0x1002), sizeof(pushed));
    assert_int_equal(registers.ip, target);
    assert_int_equal(pushed, next);
    disarm();
}

static void references_of_two_cpus_share_no_cache_line(void **state)
{
    (void)state;
    assert_int_equal(sizeof(patch_trap_cpus[0]) % 64, 0);
    assert_int_equal((uint64_t)patch_trap_cpus % 64, 0);
}

static void handler_times_are_counted_merged_and_reset(void **state)
{
    (void)state;
    struct histogram times = {0};

    patch_trap_times_reset();
    assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
    patch_trap_times_merge(&times);
    assert_int_equal(times.count, batch.record.traps);
    assert_true(times.minimum == 10 && times.maximum == 10); /* one tick of the recorder's clock */
    patch_trap_times_reset();
    histogram_reset(&times);
    patch_trap_times_merge(&times);
    assert_int_equal(times.count, 0);
}

/* With two sites at the ends of a wide range all index arithmetic is at its limits. */
static void sites_far_apart_are_found(void **state)
{
    (void)state;
    const struct site_form nop = {INSTRUCTION_NOP, 5, 0, 0};
    const struct site_form jump = {INSTRUCTION_JUMP, 5, 0, 0x01000000};
    struct test_site last = site_make(RECORDER_ARENA_SIZE - 5, &nop, &jump);
    struct test_site first = site_make(0, &nop, &jump);

    site_add(&batch, &last);
    site_add(&batch, &first);
    assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
    assert_true(batch.record.traps > 6);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(int3_of_nobody_is_not_resolved, setup),
    cmocka_unit_test_setup(int3_beside_a_site_in_flight_is_not_resolved, setup),
    cmocka_unit_test_setup(trap_whose_int3_vanished_is_retried, setup),
    cmocka_unit_test_setup(vanished_int3_of_a_batch_in_flight_is_emulated, setup),
    cmocka_unit_test_setup(late_trap_is_resolved_whenever_the_next_batch_arms, setup),
    cmocka_unit_test_setup(late_trap_is_resolved_however_many_batches_pass, setup),
    cmocka_unit_test_setup(batch_returns_only_after_every_cpu_left_the_handler, setup),
    cmocka_unit_test_setup(cpu_that_comes_up_during_a_batch_is_served, setup),
    cmocka_unit_test_setup(handler_nests, setup),
    cmocka_unit_test_setup(call_through_memory_goes_where_the_word_says, setup),
    cmocka_unit_test_setup(call_through_the_word_that_it_overwrites_goes_where_that_said, setup),
    cmocka_unit_test_setup(references_of_two_cpus_share_no_cache_line, setup),
    cmocka_unit_test_setup(handler_times_are_counted_merged_and_reset, setup),
    cmocka_unit_test_setup(sites_far_apart_are_found, setup),
};

HOST_TEST_MAIN(tests, NULL)
