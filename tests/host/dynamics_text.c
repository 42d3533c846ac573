// SPDX-License-Identifier: MIT
/* What the text of the subjects is in every form; see dynamics.h. Invariant: no byte is asked of
 * the code under test. */
#include "tests/host/dynamics.h"

#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>

struct dynamic_call_form dynamics_form(const struct dynamic_subject *subject, const char *slots,
                                       enum dynamic_compare compare, bool is_open, bool is_watched)
{
    struct dynamic_call_form form = {
        .compare = compare, .is_open = is_open, .is_watched = is_watched};

    for (unsigned i = 0; i < DYNAMIC_SLOTS_MAX && slots[i] != '\0'; i++) {
        form.targets.slot[i] = slots[i] == '.' ? 0 : (uint64_t)subject->targets[slots[i] - 'a'];
    }
    return form;
}

static void expect_bytes(const char *what, const char *name, uint64_t address, const void *bytes,
                         size_t length)
{
    if (memcmp((const void *)address, bytes, length) != 0) {
        fail_msg("%s of %s at %#lx is not what it must be", what, name, (unsigned long)address);
    }
}

static void put_distance(uint8_t *bytes, size_t length, uint64_t address, uint64_t target)
{
    int32_t distance = (int32_t)(target - (address + length));

    memcpy(bytes + length - sizeof(distance), &distance, sizeof(distance));
}

/* cmp rax, imm32, or cmp rax, [rip + disp32]. */
static void expect_comparisons(const struct dynamic_call_slot *slot, uint64_t target,
                               enum dynamic_compare compare)
{
    uint64_t value = target != 0 ? target : 1;

    assert_int_equal(slot->value, value);
    for (uint32_t i = 0; i < slot->site_count; i++) {
        uint64_t address = slot->sites[i].address;
        uint8_t bytes[7] = {0x48, 0x81, 0xf8};

        memcpy(bytes + 3, &value, 4);
        if (compare == DYNAMIC_COMPARE_MEMORY) {
            bytes[1] = 0x3b;
            bytes[2] = 0x05;
            put_distance(bytes, 7, address, (uint64_t)slot);
        }
        expect_bytes("comparison", slot->call->name, address, bytes, 7);
    }
}

/* All jumps and calls of @call, and its trampoline, lead to @target. */
static void expect_calls(const struct static_call *call, uint64_t target)
{
    uint8_t bytes[6] = {0xe9};

    assert_ptr_equal(static_call_target(call), target);
    assert_true(call->site_count > 0);
    for (uint32_t i = 0; i < call->site_count; i++) {
        const struct call_site *site = &call->sites[i];

        bytes[0] = site->kind == CALL_SITE_CALL ? 0xe8 : site->kind == CALL_SITE_JUMP ? 0xe9 : 0x0f;
        bytes[1] = ((const uint8_t *)site->address)[1]; /* of a conditional one: never changes */
        put_distance(bytes, site->length, site->address, target);
        expect_bytes("call", call->name, site->address, bytes, site->length);
    }
    bytes[0] = 0xe9;
    put_distance(bytes, 5, call->trampoline, target);
    expect_bytes("trampoline", call->name, call->trampoline, bytes, 5);
}

static void expect_branches(const struct static_key *key, bool is_enabled)
{
    static const uint8_t nops[2][5] = {{0x66, 0x90}, {0x0f, 0x1f, 0x44, 0x00, 0x00}};

    assert_int_equal(static_key_count(key), is_enabled);
    assert_true(key->site_count > 0);
    for (uint32_t i = 0; i < key->site_count; i++) {
        const struct static_key_site *site = &key->sites[i];
        bool jumps = is_enabled != ((site->key & STATIC_KEY_LIKELY) != 0);
        uint8_t bytes[5];

        memcpy(bytes, nops[site->length == 5], 5);
        if (jumps && site->length == 2) {
            bytes[0] = 0xeb;
            bytes[1] = (uint8_t)(site->target - (site->address + 2));
        } else if (jumps) {
            bytes[0] = 0xe9;
            put_distance(bytes, 5, site->address, site->target);
        }
        expect_bytes("branch", key->name, site->address, bytes, site->length);
    }
}

struct dynamic_call_view dynamics_look(const struct dynamic_subject *subject)
{
    struct dynamic_call_view view;

    dynamic_call_look(subject->call, &view);
    return view;
}

void dynamics_expect_text(const struct dynamic_subject *subject,
                          const struct dynamic_call_form *form)
{
    struct dynamic_call *call = subject->call;
    const struct dynamic_call_view view = dynamics_look(subject);

    assert_memory_equal(&view.form.targets, &form->targets, sizeof(form->targets));
    assert_int_equal(view.form.compare, form->compare);
    assert_int_equal(view.form.is_open, form->is_open);
    assert_int_equal(view.form.is_watched, form->is_watched);
    for (uint32_t i = 0; i < call->slot_count; i++) {
        uint64_t target = form->targets.slot[i];

        expect_comparisons(&call->slots[i], target, form->compare);
        expect_calls(call->slots[i].call, target != 0 ? target : (uint64_t)call->nothing);
        assert_false(call->slots[i].is_changing);
    }
    expect_branches(call->gate, form->is_open);
    expect_branches(call->watch, form->is_watched);
}

void dynamics_bring(const struct dynamic_subject *subject, const struct dynamic_call_form *form)
{
    struct patch_error error = {0};
    enum patch_status status = dynamic_call_set_form(subject->call, form, &error);

    if (status != PATCH_OK) {
        fail_msg("%s: %s: %s at %#lx", subject->call->name, patch_status_text(status), error.name,
                 (unsigned long)error.address);
    }
}

void dynamics_begin(void)
{
    recorder_reset();
    recorder.text_start = own_text_start();
    recorder.text_end = own_text_end();
    recorder.ignores_unwatched = true;
}

int dynamics_initialize(void)
{
    struct patch_error error = {0};

    dynamics_begin();
    recorder.early_boot = true;
    if (own_text_unprotect() != 0 || static_call_initialize(&error) != PATCH_OK ||
        static_key_initialize(&error) != PATCH_OK || dynamic_call_initialize(&error) != PATCH_OK) {
        return -1;
    }
    dynamics_begin();
    return 0;
}

int dynamics_group_setup(void **state)
{
    (void)state;
    return dynamics_initialize();
}

int dynamics_setup(void **state)
{
    (void)state;
    dynamics_begin();
    for (unsigned i = 0; i < SUBJECTS; i++) {
        dynamic_subjects[i].call->nulls = 0;
    }
    return 0;
}

int dynamics_teardown(void **state)
{
    const struct dynamic_call_form form = {.compare = DYNAMIC_COMPARE_IMMEDIATE};

    (void)state;
    dynamics_begin();
    for (unsigned i = 0; i < SUBJECTS; i++) {
        const struct dynamic_subject *subject = &dynamic_subjects[i];
        struct dynamic_call *call = subject->call;

        call->counts = NULL;
        call->count_cpus = 0;
        if (!dynamic_call_set_through(call, false)) {
            return -1;
        }
        dynamics_bring(subject, &form);
        memset(&call->statistics, 0, sizeof(call->statistics));
    }
    dynamics_begin();
    return 0;
}
