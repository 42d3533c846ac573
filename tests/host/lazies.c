// SPDX-License-Identifier: MIT
/* See lazies.h. */
#include "tests/host/lazies.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"
#include "tests/host/watcher.h"

#include <string.h>

enum { FUNCTION_BYTES = 64, SITES_MAX = 128 };

/* Every call of a stub in this program, as linked. */
static struct found_site {
    uint64_t address;
    const struct lazy_call *call;
    uint64_t may_become; /* what it may call besides what it calls */
} found_sites[SITES_MAX];
static size_t found_site_count;

__attribute__((noinline)) unsigned lazy_old(unsigned sum)
{
    return sum + LAZY_OLD_ONE;
}

__attribute__((noinline)) unsigned lazy_new(unsigned sum)
{
    return sum + LAZY_NEW_ONE;
}

DEFINE_LAZY_CALL(lazy_many, lazy_old);
DEFINE_LAZY_CALL(lazy_other, lazy_old);

/* The asm keeps the call from being the function's end, and the functions from being one. */
#define FUNCTION(number)                                                                           \
    __attribute__((noinline)) static unsigned function_##number(unsigned sum)                      \
    {                                                                                              \
        sum = lazy_call(lazy_many)(sum);                                                           \
        __asm__ volatile("# " #number : "+r"(sum));                                                \
        return sum;                                                                                \
    }
#define NAME(number) function_##number,
#define EIGHT(macro, tens)                                                                         \
    macro(tens##0) macro(tens##1) macro(tens##2) macro(tens##3) macro(tens##4) macro(tens##5)      \
        macro(tens##6) macro(tens##7)
#define ALL(macro) EIGHT(macro, 1) EIGHT(macro, 2) EIGHT(macro, 3) EIGHT(macro, 4) EIGHT(macro, 5)

ALL(FUNCTION)

unsigned (*const lazy_functions[LAZY_FUNCTIONS])(unsigned sum) = {ALL(NAME)};

__attribute__((noinline)) unsigned lazy_call_other(unsigned sum)
{
    sum = lazy_call(lazy_other)(sum);
    __asm__ volatile("" : "+r"(sum));
    return sum;
}

unsigned lazy_run(size_t count)
{
    unsigned sum = 0;

    for (size_t i = 0; i < count; i++) {
        sum = lazy_functions[i](sum);
    }
    return sum;
}

static void encode_call(uint64_t site, uint64_t target, uint8_t *bytes)
{
    struct instruction call = {
        .kind = INSTRUCTION_CALL, .length = INSN_CALL32_LENGTH, .target = target};

    assert_int_equal(instruction_encode(&call, site, bytes), PATCH_OK);
}

static bool calls(uint64_t site, uint64_t target)
{
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];

    encode_call(site, target, bytes);
    return memcmp((const void *)site, bytes, INSN_CALL32_LENGTH) == 0;
}

uint64_t lazy_site_of(size_t index)
{
    uint64_t start = (uint64_t)lazy_functions[index];

    for (uint64_t site = start; site < start + FUNCTION_BYTES; site++) {
        if (calls(site, lazy_call_data_lazy_many.stub) || calls(site, (uint64_t)lazy_old) ||
            calls(site, (uint64_t)lazy_new)) {
            return site;
        }
    }
    fail_msg("function %zu: no call", index);
    return 0;
}

void lazy_expect_call(uint64_t site, uint64_t target)
{
    assert_true(calls(site, target));
}

static void all_watch(void)
{
    watcher_reset();
    for (size_t i = 0; i < found_site_count; i++) {
        const struct found_site *site = &found_sites[i];
        uint8_t bytes[PATCH_SITE_LENGTH_MAX];

        encode_call(site->address, site->may_become, bytes);
        recorder_watch(site->address, (const uint8_t *)site->address, bytes, INSN_CALL32_LENGTH);
    }
}

void lazies_watch(const struct lazy_call *call, uint64_t to)
{
    for (size_t i = 0; i < found_site_count; i++) {
        if (found_sites[i].call == call) {
            found_sites[i].may_become = to;
        }
    }
    all_watch();
}

/* Looks for the calls of all stubs in this program's text. */
static void sites_find(void)
{
    for (uint64_t site = own_text_start(); site + INSN_CALL32_LENGTH <= own_text_end(); site++) {
        for (struct lazy_call *call = lazy_call_first();
             *(const uint8_t *)site == INSN_CALL32 && call != NULL; call = lazy_call_next(call)) {
            if (calls(site, call->stub)) {
                assert_true(found_site_count < SITES_MAX);
                found_sites[found_site_count++] = (struct found_site){
                    .address = site, .call = call, .may_become = (uint64_t)call->target};
            }
        }
    }
}

struct lazy_pass lazy_pass_make(void)
{
    struct lazy_pass pass;
    struct patch_error error;

    assert_int_equal(lazy_calls_patch_reported(&pass, &error), PATCH_OK);
    return pass;
}

struct lazy_call_statistics lazy_statistics_of(const struct lazy_call *call)
{
    struct lazy_call_statistics statistics;

    lazy_call_statistics(call, &statistics);
    return statistics;
}

static void begin(void)
{
    recorder_reset();
    recorder.text_start = own_text_start();
    recorder.text_end = own_text_end();
    all_watch();
}

static void watch_targets(void)
{
    for (struct lazy_call *call = lazy_call_first(); call != NULL; call = lazy_call_next(call)) {
        lazies_watch(call, (uint64_t)call->target);
    }
}

/* Whatever a failed test left: reports, sites, targets. */
int lazies_setup(void **state)
{
    struct lazy_pass pass;

    (void)state;
    begin();
    watch_targets();
    if (lazy_calls_patch_reported(&pass, NULL) != PATCH_OK) {
        return -1;
    }
    for (struct lazy_call *call = lazy_call_first(); call != NULL; call = lazy_call_next(call)) {
        lazies_watch(call, call->stub);
        if (lazy_call_forget(call, NULL) != PATCH_OK) {
            return -1;
        }
    }
    if (lazy_call_update(lazy_many, lazy_old, NULL) != PATCH_OK ||
        lazy_call_update(lazy_other, lazy_old, NULL) != PATCH_OK) {
        return -1;
    }
    watch_targets();
    begin();
    return 0;
}

int lazies_group_setup(void **state)
{
    (void)state;
    if (own_text_unprotect() != 0) {
        return -1;
    }
    recorder_reset();
    if (lazy_call_initialize(NULL) != PATCH_OK) {
        return -1;
    }
    sites_find();
    return 0;
}
