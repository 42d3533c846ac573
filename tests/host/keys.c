// SPDX-License-Identifier: MIT
/* Keys and branches that are really compiled into the test programs; see keys.h. */
#include "tests/host/keys.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>

DEFINE_STATIC_KEY_FALSE(key_off);
DEFINE_STATIC_KEY_TRUE(key_on);
DEFINE_STATIC_KEY_FALSE(key_far);
DEFINE_STATIC_KEY_FALSE(key_long);
DEFINE_STATIC_KEY_FALSE(a_key_without_branches);

/* Every function returns 1 if its key's branch was taken as enabled, 0 if not. */
#define BRANCH_FUNCTION(name, branch, key)                                                         \
    __attribute__((noinline)) static int name(void)                                                \
    {                                                                                              \
        __asm__ volatile("");                                                                      \
        if (branch(&(key))) {                                                                      \
            __asm__ volatile("nop");                                                               \
            return 1;                                                                              \
        }                                                                                          \
        __asm__ volatile("");                                                                      \
        return 0;                                                                                  \
    }

BRANCH_FUNCTION(off_likely, static_branch_likely, key_off)
BRANCH_FUNCTION(off_unlikely, static_branch_unlikely, key_off)
BRANCH_FUNCTION(on_likely, static_branch_likely, key_on)
BRANCH_FUNCTION(on_unlikely, static_branch_unlikely, key_on)
BRANCH_FUNCTION(long_likely, static_branch_likely_long, key_long)
BRANCH_FUNCTION(long_unlikely, static_branch_unlikely_long, key_long)

/* Too far for a jump of two bytes: the assembler must choose five. */
__attribute__((noinline)) int far_likely(void)
{
    if (static_branch_likely(&key_far)) {
        __asm__ volatile(".skip 200, 0x90");
        return 1;
    }
    return 0;
}

int (*const off_functions[2])(void) = {off_likely, off_unlikely};
int (*const on_functions[2])(void) = {on_likely, on_unlikely};
int (*const long_functions[2])(void) = {long_likely, long_unlikely};

void keys_expect_execution(int (*const *functions)(void), size_t count, int expected)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(functions[i](), expected);
    }
}

/* Watches every branch of this program in its two forms. */
static void watch_all_sites(void)
{
    for (struct static_key_site *site = static_key_sites_start; site < static_key_sites_end;
         site++) {
        size_t length =
            *(const uint8_t *)site->address == INSN_JMP8 || *(const uint8_t *)site->address == 0x66
                ? 2
                : 5;
        struct instruction nop = {.kind = INSTRUCTION_NOP, .length = (uint8_t)length};
        struct instruction jump = {
            .kind = INSTRUCTION_JUMP, .length = (uint8_t)length, .target = site->target};
        uint8_t bytes[2][PATCH_SITE_LENGTH_MAX];
        bool jumps_now;

        assert_int_equal(instruction_encode(&nop, site->address, bytes[0]), PATCH_OK);
        assert_int_equal(instruction_encode(&jump, site->address, bytes[1]), PATCH_OK);
        jumps_now = memcmp((const void *)site->address, bytes[1], length) == 0;
        recorder_watch(site->address, bytes[jumps_now], bytes[!jumps_now], length);
    }
}

void keys_begin(void)
{
    recorder_reset();
    recorder.text_start = own_text_start();
    recorder.text_end = own_text_end();
    watch_all_sites();
}

int keys_setup(void **state)
{
    (void)state;
    keys_begin();
    return 0;
}

int keys_teardown(void **state)
{
    (void)state;
    keys_begin();
    return static_key_disable(&key_off) != PATCH_OK || static_key_enable(&key_on) != PATCH_OK ||
           static_key_disable(&key_long) != PATCH_OK || static_key_disable(&key_far) != PATCH_OK;
}

int keys_group_setup(void **state)
{
    (void)state;
    struct patch_error error;

    if (own_text_unprotect() != 0) {
        return -1;
    }
    keys_begin();
    recorder.early_boot = true;
    if (static_key_enable(&key_off) != PATCH_ERR_NOT_INITIALIZED) {
        return -1;
    }
    return static_key_initialize(&error) == PATCH_OK && recorder.rounds == 1 ? 0 : -1;
}
