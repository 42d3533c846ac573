// SPDX-License-Identifier: MIT
/* The int3 handler through the real trap: a batch is armed, int3 stands at its site, and the test
 * runs into it. So every emulation is seen from outside, entry stub and stack gap included, and it
 * cannot be missed by luck: the trap is certain. */
#include "arch/instructions.h"
#include "arch/nmi.h"
#include "arch/percpu.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "patching/breakpoint.h"
#include "patching/instruction.h"
#include "patching/platform.h"
#include "patching/trap_statistics.h"
#include "tests/kernel/patch_sites.h"
#include "tests/kernel/workers.h"

#define CONDITION_EQUAL 4 /* je; Intel SDM volume 2, "Jcc" */

/* Intel SDM, volume 1, "Status Flags". */
enum {
    CMP_CARRY = 1 << 0,
    CMP_PARITY = 1 << 2,
    CMP_AUXILIARY = 1 << 4,
    CMP_ZERO = 1 << 6,
    CMP_SIGN = 1 << 7,
    CMP_OVERFLOW = 1 << 11,
    CMP_FLAGS = CMP_CARRY | CMP_PARITY | CMP_AUXILIARY | CMP_ZERO | CMP_SIGN | CMP_OVERFLOW,
};

static void first_byte_write(struct test *test, uint64_t address, uint8_t byte)
{
    platform_text_open();
    EXPECT(test, platform_text_write((void *)address, &byte, 1));
    platform_text_close();
    struct platform_round round = {0};
    EXPECT(test, platform_sync_cores(&round));
}

/* Arms a batch that turns the site into @new_bytes and puts int3 there. The patch lock is held
 * until site_disarm(). Returns the first byte that stood there. */
static uint8_t bytes_arm_as(struct test *test, uint64_t address, const uint8_t *new_bytes,
                            size_t length, bool is_last)
{
    uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
    unsigned rounds;
    memcpy(old_bytes, (const void *)address, length);
    patch_batch_initialize(&test_batch, "armed site");
    EXPECT_EQUAL(test,
                 is_last ? patch_batch_add_last(&test_batch, address, old_bytes, new_bytes, length)
                         : patch_batch_add(&test_batch, address, old_bytes, new_bytes, length),
                 PATCH_OK);
    platform_lock();
    EXPECT_EQUAL(test, patch_batch_plan_locked(&test_batch, &rounds), PATCH_OK);
    patch_breakpoint_arm(&test_batch);
    first_byte_write(test, address, INSN_INT3);
    return old_bytes[0];
}

static uint8_t bytes_arm(struct test *test, uint64_t address, const uint8_t *new_bytes,
                         size_t length)
{
    return bytes_arm_as(test, address, new_bytes, length, false);
}

static uint8_t site_arm(struct test *test, uint64_t address, unsigned kind, uint64_t target)
{
    uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
    site_encode(test, address, kind, target, new_bytes);
    return bytes_arm(test, address, new_bytes, SITE_LENGTH);
}

static void site_disarm(struct test *test, uint64_t address, uint8_t first_byte)
{
    first_byte_write(test, address, first_byte);
    patch_breakpoint_disarm();
    platform_unlock();
}

static uint64_t traps_here(void)
{
    return patch_traps_emulated(cpu_index());
}

static void jump_is_emulated(struct test *test)
{
    uint64_t address = (uint64_t)patch_site_plain;
    uint8_t first = site_arm(test, address, INSTRUCTION_JUMP, (uint64_t)patch_target_two);
    uint64_t before = traps_here();
    uint32_t result = patch_site_plain();
    uint64_t taken = traps_here() - before;
    site_disarm(test, address, first);
    EXPECT_EQUAL(test, result, 2);
    EXPECT_EQUAL(test, taken, 1);
}

/* CALL emulation writes below the interrupted stack pointer: without the gap in the entry stub it
 * would overwrite the trap frame and not come back here at all. */
static void call_is_emulated_and_returns_behind_the_site(struct test *test)
{
    uint64_t address = (uint64_t)patch_site_call_address;
    uint8_t first = site_arm(test, address, INSTRUCTION_CALL, (uint64_t)patch_target_add_ten);
    uint32_t result = patch_site_call();
    site_disarm(test, address, first);
    EXPECT_EQUAL(test, result, 11);
}

static void return_is_emulated(struct test *test)
{
    uint64_t address = (uint64_t)patch_site_plain;
    uint8_t first = site_arm(test, address, INSTRUCTION_RETURN, 0);
    uint64_t before = traps_here();
    patch_site_plain(); /* returns at once; eax is whatever it was */
    uint64_t taken = traps_here() - before;
    site_disarm(test, address, first);
    EXPECT_EQUAL(test, taken, 1);
}

static void return_zero_is_emulated(struct test *test)
{
    uint64_t address = (uint64_t)patch_site_call_address;
    uint8_t first = site_arm(test, address, INSTRUCTION_RETURN_ZERO, 0);
    uint32_t result = patch_site_call();
    site_disarm(test, address, first);
    EXPECT_EQUAL(test, result, 1); /* no call was made: ecx is still 0 */
}

/* The site is jne to patch_target_two and is emulated as je: both outcomes. (All sixteen conditions
 * with all flags: tests/host.) */
static void conditional_jump_follows_the_flags(struct test *test)
{
    uint64_t address = (uint64_t)patch_site_conditional_address;
    const struct instruction je = {.kind = INSTRUCTION_JUMP_IF,
                                   .length = INSN_JCC32_LENGTH,
                                   .condition = CONDITION_EQUAL,
                                   .target = (uint64_t)patch_target_two};
    uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
    EXPECT_EQUAL(test, patch_site_conditional(1), 2);
    EXPECT_EQUAL(test, instruction_encode(&je, address, new_bytes), PATCH_OK);
    uint8_t first = bytes_arm(test, address, new_bytes, INSN_JCC32_LENGTH);
    uint32_t equal = patch_site_conditional(0);
    uint32_t unequal = patch_site_conditional(1);
    site_disarm(test, address, first);
    EXPECT_EQUAL(test, equal, 2);
    EXPECT_EQUAL(test, unequal, 1);
}

/* Runs into a comparison with each of @values in turn and returns what came out of the flags. */
static void comparison_run(struct test *test, unsigned kind, uint64_t target,
                           const uint64_t values[3], uint64_t flags[3])
{
    uint64_t address = (uint64_t)patch_site_compare_address;
    const struct instruction compare = {
        .kind = (enum instruction_kind)kind, .length = INSN_COMPARE_LENGTH, .target = target};
    uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
    EXPECT_EQUAL(test, instruction_encode(&compare, address, new_bytes), PATCH_OK);
    uint8_t first = bytes_arm(test, address, new_bytes, INSN_COMPARE_LENGTH);
    for (unsigned i = 0; i < 3; i++) {
        flags[i] = patch_site_compare(values[i]) & CMP_FLAGS;
    }
    site_disarm(test, address, first);
}

/* The flags must leave the trap frame with the IRET. (All of them with all values: tests/host.) */
static void comparison_leaves_its_flags_behind_the_trap(struct test *test)
{
    static uint64_t word = 0x1234567890;
    const uint64_t beside_word[3] = {word, word - 1, word + 1};
    const uint64_t beside_value[3] = {100, 99, 101};
    uint64_t flags[3];
    comparison_run(test, INSTRUCTION_COMPARE, 100, beside_value, flags);
    EXPECT_EQUAL(test, flags[0], CMP_ZERO | CMP_PARITY);
    EXPECT_EQUAL(test, flags[1], CMP_CARRY | CMP_PARITY | CMP_AUXILIARY | CMP_SIGN);
    EXPECT_EQUAL(test, flags[2], 0);
    comparison_run(test, INSTRUCTION_COMPARE_MEMORY, (uint64_t)&word, beside_word, flags);
    EXPECT_EQUAL(test, flags[0], CMP_ZERO | CMP_PARITY);
    EXPECT_EQUAL(test, flags[1], CMP_CARRY | CMP_PARITY | CMP_SIGN);
    EXPECT_EQUAL(test, flags[2], 0);
}

/* A gate opens behind everything else: whoever meets its int3 must not pass yet. */
static void last_site_goes_on_as_before(struct test *test)
{
    uint64_t address = (uint64_t)patch_site_plain;
    uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
    site_encode(test, address, INSTRUCTION_JUMP, (uint64_t)patch_target_two, new_bytes);
    uint8_t first = bytes_arm_as(test, address, new_bytes, SITE_LENGTH, true);
    uint64_t before = traps_here();
    uint32_t result = patch_site_plain();
    uint64_t taken = traps_here() - before;
    site_disarm(test, address, first);
    EXPECT_EQUAL(test, result, 1);
    EXPECT_EQUAL(test, taken, 1);
}

/* The int3 is gone when the handler looks: it must send the CPU back, not fail (facts, bug 4). The
 * moment is made by calling the handler for a place where no int3 stands. */
static void vanished_int3_is_retried(struct test *test)
{
    uint64_t address = (uint64_t)patch_site_plain;
    struct patch_registers registers = {.ip = address + 1};
    preempt_disable();
    uint64_t before = patch_traps_retried(cpu_index());
    EXPECT(test, patch_breakpoint_handle(&registers));
    EXPECT_EQUAL(test, registers.ip, address);
    EXPECT_EQUAL(test, patch_traps_retried(cpu_index()), before + 1);
    preempt_enable();
}

static void unknown_int3_is_not_ours(struct test *test)
{
    static const uint8_t int3 = INSN_INT3;
    struct patch_registers registers = {.ip = (uint64_t)&int3 + 1};
    EXPECT(test, !patch_breakpoint_handle(&registers));
}

/* An int3 handler may be interrupted by an NMI, whose handler returns by IRET and so allows the
 * next one: registers must survive. The NMIs are asked for by this CPU; each worker traps in a
 * loop. */
static struct nmi_storm {
    struct workers workers;
    uint32_t wrong;
} storm;

static void trap_in_a_loop(void *argument)
{
    (void)argument;
    while (!workers_should_stop(&storm.workers)) {
        if (patch_site_call() != 11) {
            __atomic_fetch_add(&storm.wrong, 1, __ATOMIC_RELAXED);
        }
    }
}

static void nmi_inside_the_handler_does_no_harm(struct test *test)
{
    uint64_t address = (uint64_t)patch_site_call_address;
    if (cpu_count() == 1) {
        test_skip(test, "needs a second CPU to take the NMIs");
        return;
    }
    uint8_t first = site_arm(test, address, INSTRUCTION_CALL, (uint64_t)patch_target_add_ten);
    storm.wrong = 0;
    uint32_t unanswered = 0;
    if (EXPECT(test, workers_start(&storm.workers, false, trap_in_a_loop, NULL))) {
        for (unsigned i = 0; i < 200; i++) {
            unsigned cpu = storm.workers.threads[i % storm.workers.count]->cpu;
            struct cpu_snapshot snapshot;
            unanswered += !nmi_capture_backtrace(cpu, &snapshot, 20000000000ull);
        }
        workers_join(&storm.workers);
    }
    site_disarm(test, address, first);
    EXPECT_EQUAL(test, unanswered, 0);
    EXPECT_EQUAL(test, storm.wrong, 0);
}

static const struct test_case cases[] = {
    TEST_CASE(jump_is_emulated),
    TEST_CASE(call_is_emulated_and_returns_behind_the_site),
    TEST_CASE(return_is_emulated),
    TEST_CASE(return_zero_is_emulated),
    TEST_CASE(conditional_jump_follows_the_flags),
    TEST_CASE(comparison_leaves_its_flags_behind_the_trap),
    TEST_CASE(last_site_goes_on_as_before),
    TEST_CASE(vanished_int3_is_retried),
    TEST_CASE(unknown_int3_is_not_ours),
    TEST_CASE(nmi_inside_the_handler_does_no_harm),
};

const struct test_suite suite_breakpoint = TEST_SUITE("breakpoint", cases);
