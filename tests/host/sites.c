// SPDX-License-Identifier: MIT
/* Makes sites for tests; see sites.h. */
#include "tests/host/sites.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"

#include <string.h>

const struct site_form site_forms[] = {
    {INSTRUCTION_NOP, 5, 0, 0},
    {INSTRUCTION_JUMP, 5, 0, 0x44332211},
    {INSTRUCTION_JUMP, 5, 0, -100000},
    {INSTRUCTION_CALL, 5, 0, 0x01020304},
    {INSTRUCTION_CALL, 5, 0, -4096},
    {INSTRUCTION_RETURN, 5, 0, 0},
    {INSTRUCTION_RETURN_ZERO, 5, 0, 0},
    {INSTRUCTION_NOP, 2, 0, 0},
    {INSTRUCTION_JUMP, 2, 0, 0x7f},
    {INSTRUCTION_JUMP, 2, 0, -0x80},
    {INSTRUCTION_JUMP_IF, 2, 4, 0x20},
    {INSTRUCTION_RETURN, 2, 0, 0},
    {INSTRUCTION_NOP, 6, 0, 0},
    {INSTRUCTION_JUMP_IF, 6, 5, 0x01000100},
    {INSTRUCTION_JUMP_IF, 6, 15, -0x7654321},
    {INSTRUCTION_RETURN, 6, 0, 0},
    {INSTRUCTION_CALL, 6, 0, 0x01020305},
    {INSTRUCTION_CALL, 6, 0, -4097},
    {INSTRUCTION_CALL_MEMORY, 6, 0, RECORDER_ARENA_SIZE / 2},
    {INSTRUCTION_CALL_MEMORY, 6, 0, RECORDER_ARENA_SIZE / 2 + 0x102},
    {INSTRUCTION_NOP, 1, 0, 0},
    {INSTRUCTION_RETURN, 1, 0, 0},
    {INSTRUCTION_NOP, 3, 0, 0},
    {INSTRUCTION_RETURN, 3, 0, 0},
    {INSTRUCTION_NOP, 4, 0, 0},
    {INSTRUCTION_RETURN, 4, 0, 0},
    {INSTRUCTION_NOP, 7, 0, 0},
    {INSTRUCTION_RETURN, 7, 0, 0},
    {INSTRUCTION_COMPARE, 7, 0, 0x44332211},
    {INSTRUCTION_COMPARE, 7, 0, -2},
    {INSTRUCTION_COMPARE_MEMORY, 7, 0, RECORDER_ARENA_SIZE / 2},
    {INSTRUCTION_COMPARE_MEMORY, 7, 0, RECORDER_ARENA_SIZE / 2 + 0x101},
};

static struct test_site made[PATCH_BATCH_MAX]; /* by the two functions that make many */
static unsigned made_count;

size_t site_form_count(void)
{
    return ARRAY_COUNT(site_forms);
}

static void encode(const struct site_form *form, uint64_t address, uint8_t *bytes)
{
    bool is_relative = form->kind == INSTRUCTION_JUMP || form->kind == INSTRUCTION_JUMP_IF ||
                       form->kind == INSTRUCTION_CALL || form->kind == INSTRUCTION_COMPARE_MEMORY ||
                       form->kind == INSTRUCTION_CALL_MEMORY;
    struct instruction instruction = {
        .kind = form->kind,
        .length = form->length,
        .condition = form->condition,
        .target = (is_relative ? address + form->length : 0) + (uint64_t)(int64_t)form->distance,
    };

    assert_int_equal(instruction_encode(&instruction, address, bytes), PATCH_OK);
}

struct test_site site_make(size_t offset, const struct site_form *from, const struct site_form *to)
{
    struct test_site site = {
        .address = (uint64_t)recorder_arena + offset,
        .length = from->length,
    };

    assert_int_equal(from->length, to->length);
    encode(from, site.address, site.old_bytes);
    encode(to, site.address, site.new_bytes);
    memcpy(recorder_arena + offset, site.old_bytes, site.length);
    recorder_watch(site.address, site.old_bytes, site.new_bytes, site.length);
    return site;
}

void site_add(struct patch_batch *batch, const struct test_site *site)
{
    assert_int_equal(
        patch_batch_add(batch, site->address, site->old_bytes, site->new_bytes, site->length),
        PATCH_OK);
}

void site_expect(const struct test_site *site, const uint8_t *bytes)
{
    assert_memory_equal((const void *)site->address, bytes, site->length);
}

void sites_add_nop_to_jump(struct patch_batch *batch, unsigned count, unsigned stride)
{
    const struct site_form nop = {INSTRUCTION_NOP, 5, 0, 0};
    const struct site_form jump = {INSTRUCTION_JUMP, 5, 0, 0x7fff0000};

    made_count = 0;
    for (unsigned i = count; i-- > 0;) {
        made[made_count] = site_make((size_t)i * stride, &nop, &jump);
        site_add(batch, &made[made_count++]);
    }
}

/* A near target becomes the next instruction, so that none lies inside another site by accident. */
static struct site_form random_form(uint64_t *random)
{
    struct site_form form = site_forms[next_random(random) % site_form_count()];

    if (form.kind != INSTRUCTION_COMPARE && form.kind != INSTRUCTION_COMPARE_MEMORY &&
        form.kind != INSTRUCTION_CALL_MEMORY && form.distance > -RECORDER_ARENA_SIZE &&
        form.distance < RECORDER_ARENA_SIZE) {
        form.distance = 0;
    }
    return form;
}

void sites_add_random(struct patch_batch *batch, unsigned count, uint64_t seed)
{
    uint64_t random = seed * 0x9e3779b97f4a7c15;
    size_t step = PATCH_SITE_LENGTH_MAX + next_random(&random) % 200;

    patch_batch_initialize(batch, "random");
    made_count = 0;
    for (unsigned i = 0; i < count; i++) {
        struct site_form from = random_form(&random);
        struct site_form to = random_form(&random);

        while (to.length != from.length) {
            to = random_form(&random);
        }
        made[made_count++] = site_make(i * step, &from, &to);
    }
    for (unsigned i = made_count; i > 0; i--) { /* shuffle */
        unsigned other = (unsigned)(next_random(&random) % i);
        struct test_site swapped = made[other];

        made[other] = made[i - 1];
        made[i - 1] = swapped;
        site_add(batch, &made[i - 1]);
    }
}

void sites_add_again(struct patch_batch *batch)
{
    for (unsigned i = 0; i < made_count; i++) {
        site_add(batch, &made[i]);
    }
}

void sites_expect_old(void)
{
    for (unsigned i = 0; i < made_count; i++) {
        site_expect(&made[i], made[i].old_bytes);
    }
}

void sites_expect_new(void)
{
    for (unsigned i = 0; i < made_count; i++) {
        site_expect(&made[i], made[i].new_bytes);
    }
}

void sites_expect_whole_or_int3(void)
{
    for (unsigned i = 0; i < made_count; i++) {
        const uint8_t *text = (const uint8_t *)made[i].address;

        assert_true(*text == INSN_INT3 || memcmp(text, made[i].old_bytes, made[i].length) == 0 ||
                    memcmp(text, made[i].new_bytes, made[i].length) == 0);
    }
}

unsigned sites_apply(struct patch_batch *batch)
{
    jmp_buf fatal;
    volatile unsigned status = SITES_STOPPED;

    recorder.on_fatal = &fatal;
    if (setjmp(fatal) == 0) {
        status = patch_batch_apply(batch);
    }
    recorder.on_fatal = NULL;
    return status;
}
