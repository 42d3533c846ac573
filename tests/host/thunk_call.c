// SPDX-License-Identifier: MIT
/* See thunk_call.h. */
#include "tests/host/thunk_call.h"

#include "patching/platform.h"
#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>

/* Written and read by the assembler text below. */
struct thunk_registers thunk_given, thunk_found;
uint64_t thunk_address, thunk_arrivals, thunk_own_stack, thunk_return_address;
uint8_t thunk_forms[MITIGATION_COUNT][THUNK_COUNT][INDIRECT_THUNK_SITE_LENGTH];
extern const uint8_t thunk_behind_call[];
void thunk_call_with_registers(void);

/* In: thunk_given, thunk_address. Out: thunk_found, thunk_arrivals, thunk_return_address. Clobbers
 * nothing that C must keep. The trap flag, if given, takes effect behind the call. */
__asm__(".text\n"
        "thunk_call_with_registers:\n\t"
        "push %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\tpush %r15\n\t"
        "mov %rsp, thunk_own_stack\n\t"
        "mov thunk_given + 0x00, %rax\n\tmov thunk_given + 0x08, %rcx\n\t"
        "mov thunk_given + 0x10, %rdx\n\tmov thunk_given + 0x18, %rbx\n\t"
        "mov thunk_given + 0x28, %rbp\n\tmov thunk_given + 0x30, %rsi\n\t"
        "mov thunk_given + 0x38, %rdi\n\tmov thunk_given + 0x40, %r8\n\t"
        "mov thunk_given + 0x48, %r9\n\tmov thunk_given + 0x50, %r10\n\t"
        "mov thunk_given + 0x58, %r11\n\tmov thunk_given + 0x60, %r12\n\t"
        "mov thunk_given + 0x68, %r13\n\tmov thunk_given + 0x70, %r14\n\t"
        "mov thunk_given + 0x78, %r15\n\t"
        "push thunk_given + 0x80\n\tpopf\n\t"
        "call *thunk_address\n"
        "thunk_behind_call:\n\t"
        "mov thunk_own_stack, %rsp\n\t"
        "pop %r15\n\tpop %r14\n\tpop %r13\n\tpop %r12\n\tpop %rbp\n\tpop %rbx\n\t"
        "cld\n\tret\n"
        ".globl thunk_target\n"
        "thunk_target:\n\t"
        "mov %rax, thunk_found + 0x00\n\tmov %rcx, thunk_found + 0x08\n\t"
        "mov %rdx, thunk_found + 0x10\n\tmov %rbx, thunk_found + 0x18\n\t"
        "mov %rsp, thunk_found + 0x20\n\tmov %rbp, thunk_found + 0x28\n\t"
        "mov %rsi, thunk_found + 0x30\n\tmov %rdi, thunk_found + 0x38\n\t"
        "mov %r8, thunk_found + 0x40\n\tmov %r9, thunk_found + 0x48\n\t"
        "mov %r10, thunk_found + 0x50\n\tmov %r11, thunk_found + 0x58\n\t"
        "mov %r12, thunk_found + 0x60\n\tmov %r13, thunk_found + 0x68\n\t"
        "mov %r14, thunk_found + 0x70\n\tmov %r15, thunk_found + 0x78\n\t"
        "mov (%rsp), %rax\n\tmov %rax, thunk_return_address\n\t"
        "pushf\n\tpop thunk_found + 0x80\n\t"
        "incq thunk_arrivals\n\t"
        "jmp thunk_behind_call\n");

unsigned thunk_register(const char *name)
{
    static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    unsigned i = 0;

    while (strcmp(names[i], name) != 0) {
        assert_true(++i < ARRAY_COUNT(names));
    }
    return i;
}

static void note_form(void *form, const struct patch_site *site)
{
    uint8_t(**next)[INDIRECT_THUNK_SITE_LENGTH] = form;

    memcpy((*next)++, site->new_bytes, INDIRECT_THUNK_SITE_LENGTH);
}

/* Whatever the plans say is checked by those who look at the text: test_indirect_thunk.c. */
static enum patch_status forms_record(void)
{
    enum patch_status status = PATCH_OK;

    for (enum mitigation id = 0; id < MITIGATION_COUNT && status == PATCH_OK; id++) {
        uint8_t(*next)[INDIRECT_THUNK_SITE_LENGTH] = thunk_forms[id];
        struct patch_change change = mitigation_change_to(id);
        struct patch_error error;
        struct patch_plan plan;

        status = patch_plan_locked(&change, note_form, &next, &plan, &error);
    }
    for (unsigned i = 0; i < THUNK_COUNT; i++) {
        const struct indirect_thunk_site site = indirect_thunk_site(i);

        memcpy(thunk_forms[mitigation_current()][i], site.bytes, sizeof(site.bytes));
    }
    return status;
}

void thunk_tests_begin(enum mitigation to)
{
    enum mitigation from = mitigation_current();

    recorder_reset();
    recorder.text_start = own_text_start();
    recorder.text_end = own_text_end();
    for (unsigned i = 0; i < THUNK_COUNT; i++) {
        recorder_watch(indirect_thunk_site(i).address, thunk_forms[from][i], thunk_forms[to][i],
                       INDIRECT_THUNK_SITE_LENGTH);
    }
}

void thunk_tests_switch(enum mitigation to)
{
    thunk_tests_begin(to);
    assert_int_equal(mitigation_set(to, NULL), PATCH_OK);
}

int thunk_tests_setup(void **state)
{
    (void)state;
    thunk_tests_begin(mitigation_current());
    return 0;
}

int thunk_tests_teardown(void **state)
{
    (void)state;
    thunk_tests_switch(MITIGATION_RETPOLINE);
    return 0;
}

int thunk_tests_group_setup(void **state)
{
    if (own_text_unprotect() != 0) {
        return -1;
    }
    thunk_tests_setup(state);
    platform_lock();

    enum patch_status status = forms_record();

    platform_unlock();
    return status == PATCH_OK ? 0 : -1;
}

void thunk_call_given(uint64_t address)
{
    enum { STACK = 4 };

    memset(&thunk_found, 0, sizeof(thunk_found));
    thunk_address = address;
    thunk_arrivals = 0;
    thunk_call_with_registers();

    thunk_given.general[STACK] = thunk_own_stack - sizeof(uint64_t);
    assert_int_equal(thunk_arrivals, 1);
    assert_int_equal(thunk_return_address, thunk_behind_call);
    assert_memory_equal(thunk_found.general, thunk_given.general, sizeof(thunk_given.general));
}

void thunk_call(uint64_t address, unsigned through, uint64_t seed, uint64_t step)
{
    enum { ALWAYS_SET_AND_INTERRUPTS = 0x202 };

    for (unsigned i = 0; i < ARRAY_COUNT(thunk_given.general); i++) {
        thunk_given.general[i] = next_random(&seed);
    }
    thunk_given.general[through] = (uint64_t)thunk_target;
    thunk_given.flags = (next_random(&seed) & THUNK_FLAGS) | ALWAYS_SET_AND_INTERRUPTS | step;
    thunk_call_given(address);
    assert_int_equal(thunk_found.flags & THUNK_FLAGS, thunk_given.flags & THUNK_FLAGS);
}
