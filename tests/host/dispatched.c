// SPDX-License-Identifier: MIT
/* See dispatched.h. */
#include "tests/host/dispatched.h"

#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

struct dispatcher_view dispatched_view;

DEFINE_XDP_CALL(subject);

/* Program n returns n + 1; each a function of its own. */
extern uint8_t programs_start[];
__asm__(".text\n\t"
        ".balign 16\n"
        "programs_start:\n\t"
        ".set program, 1\n\t"
        ".rept 66\n\t"
        ".balign 16, 0xcc\n\t"
        "mov $program, %eax\n\t"
        "ret\n\t"
        ".set program, program + 1\n\t"
        ".endr\n\t");

dispatched_function *dispatched_program(unsigned number)
{
    return (dispatched_function *)(programs_start + 16 * (size_t)number);
}

/* Goes through the compiled call site. */
unsigned dispatched_call(unsigned number)
{
    const struct xdp_program called = {"program", dispatched_program(number), NULL};
    static int context;

    return xdp_call(subject, &called, &context);
}

void dispatched_look(void)
{
    dispatcher_look(&dispatcher_subject, &dispatched_view);
}

uint8_t *dispatched_half(unsigned number)
{
    return dispatcher_image_subject + number * (size_t)DISPATCHER_HALF_BYTES;
}

unsigned dispatched_half_in_use(void)
{
    dispatched_look();
    return dispatched_view.image == (uint64_t)dispatched_half(1);
}

bool dispatched_is_int3(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != 0xcc) {
            return false;
        }
    }
    return true;
}

void dispatched_add(unsigned number)
{
    assert_int_equal(dispatcher_update(&dispatcher_subject, NULL, dispatched_program(number), NULL),
                     PATCH_OK);
}

void dispatched_take_out(unsigned number)
{
    assert_int_equal(dispatcher_update(&dispatcher_subject, dispatched_program(number), NULL, NULL),
                     PATCH_OK);
}

void dispatched_add_first(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        dispatched_add(i);
    }
}

struct dispatcher_form dispatched_form_of(enum dispatcher_shape shape)
{
    return (struct dispatcher_form){.shape = shape, .generation = UINT64_MAX};
}

void dispatched_shape_set(enum dispatcher_shape shape)
{
    const struct dispatcher_form form = dispatched_form_of(shape);

    assert_int_equal(dispatcher_set_form(&dispatcher_subject, &form, NULL), PATCH_OK);
}

void dispatched_expect_all_calls(void)
{
    for (unsigned i = 0; i < DISPATCHED_PROGRAMS; i++) {
        assert_int_equal(dispatched_call(i), i + 1);
    }
}

void dispatched_begin(void)
{
    recorder_reset();
    recorder.text_start = own_text_start();
    recorder.text_end = own_text_end();
    recorder.ignores_unwatched = true;
}

int dispatched_group_setup(void **state)
{
    (void)state;
    dispatched_begin();
    recorder.early_boot = true;
    return own_text_unprotect() == 0 && static_call_initialize(NULL) == PATCH_OK ? 0 : -1;
}

int dispatched_setup(void **state)
{
    (void)state;
    dispatched_begin();
    return 0;
}

int dispatched_teardown(void **state)
{
    (void)state;
    dispatched_begin();
    dispatched_shape_set(DISPATCHER_TREE);
    for (dispatched_look(); dispatched_view.count > 0; dispatched_look()) {
        dispatched_function *target = (dispatched_function *)dispatched_view.entries[0].target;

        assert_int_equal(dispatcher_update(&dispatcher_subject, target, NULL, NULL), PATCH_OK);
    }
    return dispatched_is_int3(dispatched_half(0), 2 * DISPATCHER_HALF_BYTES) ? 0 : -1;
}
