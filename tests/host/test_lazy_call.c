// SPDX-License-Identifier: MIT
/* The stub and the worker: real calls through real stubs, patched in this program's own text, under
 * the recorder's eyes. Detects a register the stub spoils, a report that an interrupt loses, at any
 * instruction of the stub, a site patched that is no call of the stub, a site never patched, a
 * worker asked too often or never again. Could miss: what only two CPUs at once can show;
 * test_live_lazy_call.c has those. */
#include "patching/lazy_call.h"

#include "patching/instruction.h"
#include "patching/platform.h"
#include "patching/record.h"
#include "tests/host/host_test.h"
#include "tests/host/lazies.h"
#include "tests/host/recorder.h"
#include "tests/host/single_step.h"

#include <string.h>

enum { SLOTS = 32, STEPS_MAX = 4000 };

/* What capture_call() loads, and what arrived at capture_target(): rdi, rsi, rdx, rcx, r8, r9, rax,
 * r10, rbx, rbp, r12 to r15, and the stack. */
enum { REGISTERS = 14, STACK = REGISTERS };
uint64_t capture_sent[REGISTERS], capture_arrived[REGISTERS + 1], capture_stack;
uint64_t capture_return_high;

uint64_t capture_target(void), capture_call(void);
DEFINE_LAZY_CALL(captured, capture_target);

#define EACH_REGISTER(macro)                                                                       \
    macro(0, rdi) macro(1, rsi) macro(2, rdx) macro(3, rcx) macro(4, r8) macro(5, r9)              \
        macro(6, rax) macro(7, r10) macro(8, rbx) macro(9, rbp) macro(10, r12) macro(11, r13)      \
            macro(12, r14) macro(13, r15)
#define LOAD(number, name)  "movq capture_sent + 8 * " #number "(%rip), %" #name "\n\t"
#define STORE(number, name) "movq %" #name ", capture_arrived + 8 * " #number "(%rip)\n\t"

/* Stack at the call: a multiple of 16, as the ABI demands. */
__asm__(".pushsection .text, \"ax\", @progbits\n"
        ".globl capture_call, capture_target\n"
        "capture_call:\n\t"
        "push %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\tpush %r15\n\t"
        "subq $8, %rsp\n\t" EACH_REGISTER(
            LOAD) "movq %rsp, capture_stack(%rip)\n\t"
                  "call lazy_call_captured\n\t"
                  "movq %rdx, capture_return_high(%rip)\n\t"
                  "addq $8, %rsp\n\t"
                  "pop %r15\n\tpop %r14\n\tpop %r13\n\tpop %r12\n\tpop %rbp\n\tpop %rbx\n\t"
                  "ret\n"
                  "capture_target:\n\t" EACH_REGISTER(
                      STORE) "leaq 8(%rsp), %rax\n\t"
                             "movq %rax, capture_arrived + 8 * 14(%rip)\n\t"
                             "movabsq $0x1122334455667788, %rax\n\t"
                             "movabsq $0x99aabbccddeeff00, %rdx\n\t"
                             "ret\n\t"
                             ".popsection");

static void stub_passes_every_register_and_both_halves_of_the_result(void **state)
{
    (void)state;
    for (unsigned pass = 0; pass < 2; pass++) { /* through the stub, then without it */
        for (uint64_t i = 0; i < REGISTERS; i++) {
            capture_sent[i] = 0x0123456789abcdef * (i + 1 + pass);
        }
        memset(capture_arrived, 0, sizeof(capture_arrived));
        assert_int_equal(capture_call(), 0x1122334455667788);
        assert_int_equal(capture_return_high, 0x99aabbccddeeff00);
        assert_memory_equal(capture_arrived, capture_sent, sizeof(capture_sent));
        assert_int_equal(capture_arrived[STACK], capture_stack);
        assert_int_equal(lazy_pass_make().patched, 1 - pass);
    }
    assert_int_equal(lazy_statistics_of(&lazy_call_data_captured).slow_calls, 1);
}

__attribute__((noinline)) static int sum_of(int count, ...)
{
    va_list list;
    long sum = 0;

    va_start(list, count);
    for (int i = 0; i < count; i++) {
        sum += i % 2 == 0 ? va_arg(list, int) : va_arg(list, long);
    }
    va_end(list);
    return (int)sum;
}

DEFINE_LAZY_CALL(variadic, sum_of);

static void variadic_call_gets_all_arguments(void **state)
{
    (void)state;
    for (unsigned pass = 0; pass < 2; pass++) {
        assert_int_equal(lazy_call(variadic)(9, 1, 2l, 3, 4l, 5, 6l, 7, 8l, 9), 45);
        lazy_pass_make();
    }
}

static void first_call_reports_the_site_and_the_worker_makes_it_direct(void **state)
{
    uint64_t site = lazy_site_of(0);
    struct lazy_call_statistics statistics;
    struct patch_record record;

    (void)state;
    assert_int_equal(lazy_run(1), LAZY_OLD_ONE);
    assert_int_equal(recorder.work_requests, 1);
    lazy_expect_call(site, lazy_call_data_lazy_many.stub); /* nothing is patched by the stub */

    struct lazy_pass pass = lazy_pass_make();

    assert_int_equal(pass.reports, 1);
    assert_int_equal(pass.found, 1);
    assert_int_equal(pass.patched, 1);
    assert_int_equal(pass.pending, 0);
    lazy_expect_call(site, (uint64_t)lazy_old);
    recorder_expect_synced();
    assert_true(patch_record_get(patch_record_newest(), &record));
    assert_string_equal(record.who, "lazy_many");
    assert_int_equal(record.rounds, 3);

    assert_int_equal(lazy_run(1), LAZY_OLD_ONE);
    statistics = lazy_statistics_of(&lazy_call_data_lazy_many);
    assert_int_equal(statistics.slow_calls, 1);
    assert_int_equal(statistics.reported, 1);
    assert_int_equal(statistics.sites, 1);
    assert_int_equal(statistics.patched, 1);
    assert_true(statistics.converged_ns > 0);
}

static void sites_of_several_calls_share_a_batch(void **state)
{
    uint64_t newest = patch_record_newest();
    struct patch_record record;

    (void)state;
    lazy_run(5);
    lazy_call_other(0);
    assert_int_equal(lazy_pass_make().patched, 6);
    assert_int_equal(patch_record_newest(), newest + 1);
    assert_true(patch_record_get(newest + 1, &record));
    assert_string_equal(record.who, "lazy");
    assert_int_equal(record.sites, 6);
    assert_int_equal(record.rounds, 3);
}

static void pass_without_reports_costs_nothing(void **state)
{
    uint64_t newest = patch_record_newest();

    (void)state;
    assert_int_equal(lazy_pass_make().reports, 0);
    assert_int_equal(patch_record_newest(), newest);
    assert_string_equal(recorder_log(), "");
}

/* The worker is asked by the first report after it looked, and by no other. */
static void worker_is_asked_once_until_it_looks(void **state)
{
    (void)state;
    lazy_run(3);
    assert_int_equal(recorder.work_requests, 1);
    lazy_pass_make();
    lazy_run(3);
    assert_int_equal(recorder.work_requests, 1);
    lazy_run(4);
    assert_int_equal(recorder.work_requests, 2);
}

static void host_without_a_worker_is_asked_again(void **state)
{
    (void)state;
    recorder.has_no_worker = true;
    lazy_run(1);
    lazy_run(1); /* its report is still there */
    assert_int_equal(recorder.work_requests, 2);
    recorder.has_no_worker = false;
    lazy_run(1);
    lazy_run(1);
    assert_int_equal(recorder.work_requests, 3);
    assert_int_equal(lazy_pass_make().found, 1);
}

/* More sites than slots: what found none costs another slow call each, nothing else. */
static void full_slots_are_counted_and_all_sites_converge(void **state)
{
    struct lazy_call_statistics statistics;

    (void)state;
    assert_int_equal(lazy_run(LAZY_FUNCTIONS), LAZY_FUNCTIONS * LAZY_OLD_ONE);
    statistics = lazy_statistics_of(&lazy_call_data_lazy_many);
    assert_int_equal(statistics.reported, SLOTS);
    assert_int_equal(statistics.overflowed, LAZY_FUNCTIONS - SLOTS);
    assert_int_equal(lazy_pass_make().patched, SLOTS);
    for (size_t i = 0; i < LAZY_FUNCTIONS; i++) {
        lazy_expect_call(lazy_site_of(i),
                         i < SLOTS ? (uint64_t)lazy_old : lazy_call_data_lazy_many.stub);
    }

    assert_int_equal(lazy_run(LAZY_FUNCTIONS), LAZY_FUNCTIONS * LAZY_OLD_ONE);
    assert_int_equal(recorder.work_requests, 2);
    assert_int_equal(lazy_pass_make().patched, LAZY_FUNCTIONS - SLOTS);
    lazy_run(LAZY_FUNCTIONS);
    statistics = lazy_statistics_of(&lazy_call_data_lazy_many);
    assert_int_equal(statistics.slow_calls, LAZY_FUNCTIONS + LAZY_FUNCTIONS - SLOTS);
    assert_int_equal(statistics.patched, LAZY_FUNCTIONS);
}

static void same_site_from_several_cpus_is_found_once(void **state)
{
    struct lazy_call_statistics statistics;

    (void)state;
    for (recorder.cpu = 0; recorder.cpu < 4; recorder.cpu++) {
        lazy_run(1);
        lazy_run(1); /* already in a slot of that CPU */
    }
    recorder.cpu = PATCH_CPU_MAX - 1;
    lazy_run(1);

    struct lazy_pass pass = lazy_pass_make();

    assert_int_equal(pass.reports, 5);
    assert_int_equal(pass.found, 1);
    assert_int_equal(pass.patched, 1);
    statistics = lazy_statistics_of(&lazy_call_data_lazy_many);
    assert_int_equal(statistics.merged, 4);
    assert_int_equal(statistics.slow_calls, 9);
    assert_int_equal(statistics.reported, 5);
}

static unsigned interrupt_at, interrupt_function;

static void interrupt_now(void)
{
    if (single_step_count() == interrupt_at) {
        lazy_functions[interrupt_function](0);
    }
}

/* Calls function 0, interrupted behind instruction @at by a call of function @by. Returns false if
 * that is behind the call. */
static bool call_interrupted(unsigned at, unsigned by)
{
    interrupt_at = at;
    interrupt_function = by;
    single_step_begin(interrupt_now);
    lazy_functions[0](0);
    single_step_end();
    return single_step_count() >= at;
}

/* Behind every instruction of the stub and the report, in turn, an interrupt calls through another
 * site: neither report is lost. Then through the same site: it is found once. */
static void interrupt_anywhere_in_a_report_loses_none(void **state)
{
    for (unsigned by = 0; by < 2; by++) {
        unsigned at = 1;

        while (call_interrupted(at, 1 - by)) {
            struct lazy_pass pass = lazy_pass_make();

            assert_int_equal(pass.found, by == 0 ? 2 : 1);
            assert_int_equal(pass.patched, pass.found);
            assert_int_equal(lazies_setup(state), 0);
            assert_true(++at < STEPS_MAX);
        }
        assert_true(at > 100); /* there was something to interrupt */
        assert_int_equal(lazies_setup(state), 0);
    }
}

__attribute__((noinline)) static unsigned tail_call(unsigned sum)
{
    return lazy_call(lazy_other)(sum);
}

/* One call instruction, however loops are unrolled: its return address is what the stub sees. */
__attribute__((noinline)) static unsigned call_tail_call(void)
{
    unsigned sum = tail_call(0);

    __asm__ volatile("" : "+r"(sum));
    return sum;
}

static void tail_call_is_not_patched_and_not_reported_for_ever(void **state)
{
    struct lazy_call_statistics statistics;
    uint64_t newest = patch_record_newest();

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(call_tail_call(), LAZY_OLD_ONE);
        assert_int_equal(lazy_pass_make().found, 0);
    }
    assert_int_equal(patch_record_newest(), newest);
    assert_true(recorder.work_requests <= 1);
    statistics = lazy_statistics_of(&lazy_call_data_lazy_other);
    assert_int_equal(statistics.slow_calls, 5);
    assert_in_range(statistics.unpatchable, 4, 5);
    assert_int_equal(statistics.sites, 0);
}

__attribute__((noinline)) static unsigned call_indirectly(void)
{
    unsigned (*volatile pointer)(unsigned sum) = lazy_call(lazy_other);
    unsigned sum = pointer(0);

    __asm__ volatile("" : "+r"(sum));
    return sum;
}

/* Reported by two CPUs before the worker comes; 2 bytes, not 5. */
static void indirect_call_of_the_stub_is_not_patched(void **state)
{
    struct lazy_call_statistics statistics;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        recorder.cpu = i % 2;
        assert_int_equal(call_indirectly(), LAZY_OLD_ONE);
        if (i == 1) {
            assert_int_equal(lazy_pass_make().found, 0);
        }
    }
    statistics = lazy_statistics_of(&lazy_call_data_lazy_other);
    assert_in_range(statistics.unpatchable, 2, 4);
    assert_int_equal(statistics.merged, 0);
}

/* A jump to the stub where its return address claims a call: it must stay a jump. */
unsigned jump_with_return_address(unsigned sum);
__asm__(".pushsection .text, \"ax\", @progbits\n"
        "jump_with_return_address:\n\t"
        "pushq $1f\n\t"
        ".byte 0xe9\n\t"
        ".long lazy_call_lazy_other - (. + 4)\n"
        "1:\n\t"
        "ret\n\t"
        ".popsection");

static void jump_behind_a_pushed_return_address_is_not_patched(void **state)
{
    (void)state;
    assert_int_equal(jump_with_return_address(0), LAZY_OLD_ONE);
    assert_int_equal(lazy_pass_make().found, 0);
    assert_int_equal(jump_with_return_address(0), LAZY_OLD_ONE);
}

void lazy_call_report(struct lazy_call *call, uint64_t return_address);

static void site_outside_patchable_text_is_left_alone(void **state)
{
    (void)state;
    recorder.text_end = lazy_site_of(7) + INSN_CALL32_LENGTH - 1;
    lazy_call_report(&lazy_call_data_lazy_other, recorder.text_end + 1);
    assert_int_equal(lazy_pass_make().found, 0);
    lazy_expect_call(lazy_site_of(7), lazy_call_data_lazy_many.stub);
}

static void context_that_may_not_patch_is_refused(void **state)
{
    struct lazy_pass pass;
    struct patch_error error;

    (void)state;
    lazy_run(1); /* the stub works anywhere */
    recorder.may_patch = false;
    assert_int_equal(lazy_calls_patch_reported(&pass, &error), PATCH_ERR_CONTEXT);
    assert_int_equal(error.status, PATCH_ERR_CONTEXT);
    assert_int_equal(lazy_call_update(lazy_many, lazy_new, &error), PATCH_ERR_CONTEXT);
    assert_int_equal(lazy_call_forget(&lazy_call_data_lazy_many, &error), PATCH_ERR_CONTEXT);
    recorder.may_patch = true;
    assert_int_equal(lazy_pass_make().patched, 1);
}

static void calls_are_listed_by_name_and_sites_by_address(void **state)
{
    struct lazy_call *call = lazy_call_first();
    struct lazy_call_site site = {.address = 0};
    unsigned count = 0;

    (void)state;
    for (; lazy_call_next(call) != NULL; call = lazy_call_next(call)) {
        assert_true(strcmp(call->name, lazy_call_next(call)->name) < 0);
    }
    assert_ptr_equal(lazy_call_find("lazy_many"), &lazy_call_data_lazy_many);
    assert_null(lazy_call_find("lazy"));
    lazy_run(LAZY_FUNCTIONS);
    lazy_pass_make();
    for (uint64_t last = 0; lazy_call_site_next(&lazy_call_data_lazy_many, last, &site);
         last = site.address) {
        assert_true(site.address > last);
        assert_string_equal(lazy_site_state_name(site.state), "patched");
        count++;
    }
    assert_int_equal(count, SLOTS);
    assert_string_equal(lazy_site_state_name((enum lazy_site_state)99), "?");
}

/* Calls before initialize are reported, and found behind it; a name twice is refused. */
static void calls_work_before_they_are_initialized(void **state)
{
    const char *name = lazy_call_data_lazy_other.name;
    struct patch_error error;
    struct lazy_pass pass;

    (void)state;
    lazy_call_data_lazy_other.name = "lazy_many";
    assert_int_equal(lazy_call_initialize(&error), PATCH_ERR_DUPLICATE);
    assert_string_equal(error.name, "lazy_many");
    lazy_call_data_lazy_other.name = name;

    assert_int_equal(lazy_run(1), LAZY_OLD_ONE);
    assert_int_equal(lazy_calls_patch_reported(&pass, &error), PATCH_ERR_NOT_INITIALIZED);
    assert_int_equal(lazy_call_update(lazy_many, lazy_new, &error), PATCH_ERR_NOT_INITIALIZED);
    assert_int_equal(lazy_call_forget(&lazy_call_data_lazy_many, &error),
                     PATCH_ERR_NOT_INITIALIZED);
    assert_int_equal(lazy_call_initialize(&error), PATCH_OK);
    assert_int_equal(lazy_pass_make().patched, 1);
}

static const struct CMUnitTest tests[] = {
    LAZY_TEST(calls_work_before_they_are_initialized),
    LAZY_TEST(stub_passes_every_register_and_both_halves_of_the_result),
    LAZY_TEST(variadic_call_gets_all_arguments),
    LAZY_TEST(first_call_reports_the_site_and_the_worker_makes_it_direct),
    LAZY_TEST(sites_of_several_calls_share_a_batch),
    LAZY_TEST(pass_without_reports_costs_nothing),
    LAZY_TEST(worker_is_asked_once_until_it_looks),
    LAZY_TEST(host_without_a_worker_is_asked_again),
    LAZY_TEST(full_slots_are_counted_and_all_sites_converge),
    LAZY_TEST(same_site_from_several_cpus_is_found_once),
    LAZY_TEST(interrupt_anywhere_in_a_report_loses_none),
    LAZY_TEST(tail_call_is_not_patched_and_not_reported_for_ever),
    LAZY_TEST(indirect_call_of_the_stub_is_not_patched),
    LAZY_TEST(jump_behind_a_pushed_return_address_is_not_patched),
    LAZY_TEST(site_outside_patchable_text_is_left_alone),
    LAZY_TEST(context_that_may_not_patch_is_refused),
    LAZY_TEST(calls_are_listed_by_name_and_sites_by_address),
};

HOST_TEST_MAIN(tests, lazies_group_setup)
