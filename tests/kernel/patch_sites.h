// SPDX-License-Identifier: MIT
/* The functions of patch_sites.asm. Invariant: between tests each site is the 5-byte nop (the
 * conditional one jne, that of comparisons a 7-byte nop) it was built as. Callers: suite_poke.c,
 * suite_breakpoint.c. */
#pragma once

#include <stdint.h>

#include "patching/poke.h"
#include "tests/kernel/test.h"

typedef uint32_t site_function(void);

site_function patch_site_plain, patch_site_call, patch_target_two, patch_target_add_ten;
site_function patch_site_page_crossing, patch_site_line_crossing, patch_site_field;
uint32_t patch_site_conditional(uint32_t taken);
uint64_t patch_site_compare(uint64_t value);
extern char patch_site_call_address[], patch_site_conditional_address[],
    patch_site_compare_address[];

#define SITE_LENGTH 5

/* Encodes @kind with @target for @address; a failure of the encoder fails the test. */
void site_encode(struct test *test, uint64_t address, unsigned kind, uint64_t target,
                 uint8_t bytes[PATCH_SITE_LENGTH_MAX]);

/* Turns the 5 bytes at @address into that instruction, through a batch of its own. */
enum patch_status site_patch(struct test *test, uint64_t address, unsigned kind, uint64_t target,
                             struct patch_record *record);

/* The one batch of the tests: static storage, as patching/poke.h demands. */
extern struct patch_batch test_batch;
