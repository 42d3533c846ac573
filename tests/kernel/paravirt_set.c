// SPDX-License-Identifier: MIT
/* Switches of the paravirt suites; see paravirt_set.h. */
#include "tests/kernel/paravirt_set.h"

#include "kernel/console.h"
#include "tests/kernel/paravirt_double.h"

static bool is_switched(struct test *test, bool switched, const struct paravirt_refusal *refusal)
{
    if (!EXPECT(test, switched)) {
        console_print("    # %s\n", refusal->text);
    }
    return switched;
}

bool paravirt_set_form(struct test *test, enum paravirt_form form)
{
    struct paravirt_refusal refusal;

    return is_switched(test, paravirt_switch_form(form, &refusal), &refusal);
}

bool paravirt_set_all(struct test *test, const struct paravirt_backend *backend)
{
    struct paravirt_refusal refusal;

    return is_switched(test, paravirt_switch_all(backend, &refusal), &refusal);
}

bool paravirt_set_op(struct test *test, const char *name, const struct paravirt_backend *backend)
{
    struct paravirt_refusal refusal;

    return is_switched(test, paravirt_switch_op(name, backend, &refusal), &refusal);
}

bool paravirt_set_double(struct test *test)
{
    paravirt_double_initialize();
    if (!EXPECT(test, paravirt_backend_add(&paravirt_double_backend))) {
        return false;
    }
    if (!paravirt_set_all(test, &paravirt_double_backend)) {
        paravirt_set_native(test);
        return false;
    }
    return true;
}

/* Unless somebody may still be inside a way, it can be taken away at once: its text stays. */
bool paravirt_set_native(struct test *test)
{
    const struct paravirt_backend *native = paravirt_backend_find("native");
    bool is_done = EXPECT(test, native != NULL) && paravirt_set_all(test, native) &&
                   paravirt_set_form(test, PARAVIRT_INLINE);

    if (paravirt_backend_find(paravirt_double_backend.name) != NULL) {
        is_done &= EXPECT(test, paravirt_backend_remove(&paravirt_double_backend));
    }
    return is_done;
}

const enum paravirt_form paravirt_form_order[PARAVIRT_FORM_CHANGES] = {
    PARAVIRT_DIRECT,   PARAVIRT_INDIRECT, PARAVIRT_INLINE,
    PARAVIRT_INDIRECT, PARAVIRT_DIRECT,   PARAVIRT_INLINE,
};

#define DOUBLE_WAY(name, ...) [PARAVIRT_##name] = &paravirt_double_ways[PARAVIRT_##name],
const struct paravirt_way *const paravirt_double_list[PARAVIRT_OP_COUNT] = {
    PARAVIRT_TABLE(DOUBLE_WAY)};

bool paravirt_set_ways(struct test *test, const struct paravirt_way *const *ways)
{
    struct patch_change changes[PARAVIRT_OP_COUNT];

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        changes[op] = paravirt_change_to(&paravirt_ops[op], ways[op]);
    }
    return EXPECT_EQUAL(test, patch_transaction("test ways", changes, PARAVIRT_OP_COUNT, NULL),
                        PATCH_OK);
}
