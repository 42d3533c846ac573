// SPDX-License-Identifier: MIT
/* To the state at boot and back; see boot_state.h. */
#include "tests/kernel/boot_state.h"

#include "arch/clock.h"
#include "kernel/console.h"
#include "kernel/paravirt_counted.h"
#include "kernel/paravirt_switch.h"
#include "kernel/text_snapshot.h"
#include "kernel/trace_rings.h"
#include "net/program.h"
#include "patching/dynamic_auto.h"
#include "patching/function_trace.h"
#include "patching/indirect_thunk.h"
#include "patching/lazy_call.h"
#include "patching/poke.h"
#include "patching/static_call.h"
#include "patching/static_key.h"

#define CHANGES_MAX       512
#define DYNAMIC_CALLS_MAX 128

static struct boot_state {
    enum patch_protocol_id protocol;
    unsigned protocol_flags;
    enum mitigation mitigation;
    enum static_call_form forms[CHANGES_MAX]; /* of the calls, in the order of their names */
    size_t count;
    struct patch_change undo[CHANGES_MAX], redo[CHANGES_MAX];
    struct dynamic_before {
        enum dynamic_state state;
        struct dynamic_targets targets;
        enum dynamic_compare compare;
    } dynamic[DYNAMIC_CALLS_MAX];
    struct paravirt_before {
        const struct paravirt_backend *base, *layer;
    } paravirt[PARAVIRT_OP_COUNT];
    enum paravirt_form paravirt_form;
} user;

static bool is_done(const char *what, enum patch_status status)
{
    if (status != PATCH_OK) {
        console_print("test: %s cannot be changed for the tests or back: %s\n", what,
                      patch_status_text(status));
    }
    return status == PATCH_OK;
}

static bool changes_make(const char *who, struct patch_change *changes, size_t count)
{
    struct patch_error error = {0};
    if (count == 0) {
        return true;
    }
    enum patch_status status = patch_transaction(who, changes, count, &error);
    return is_done(error.name != NULL ? error.name : who, status);
}

static bool change_note(struct patch_change undo, struct patch_change redo)
{
    if (user.count == CHANGES_MAX) {
        console_print("test: more than %u keys and calls are not as at boot\n", CHANGES_MAX);
        return false;
    }
    user.undo[user.count] = undo;
    user.redo[user.count++] = redo;
    return true;
}

static bool keys_note(void)
{
    bool fits = true;
    for (struct static_key *key = static_key_first(); key != NULL; key = static_key_next(key)) {
        bool enabled = static_key_is_enabled(key);
        if (enabled != key->initial) {
            fits &= change_note(static_key_change_to(key, key->initial),
                                static_key_change_to(key, enabled));
        }
    }
    return fits;
}

static bool calls_note(void)
{
    bool fits = true;
    for (struct static_call *call = static_call_first(); call != NULL;
         call = static_call_next(call)) {
        const struct call_snapshot *boot = text_snapshot_call(call);
        static_call_function *target = static_call_target(call);
        if (boot != NULL && boot->target != target) {
            fits &= change_note(static_call_change_to(call, boot->target),
                                static_call_change_to(call, target));
        }
    }
    return fits;
}

/* Forms as at boot, or as the user had them. */
static bool forms_set(bool as_at_boot)
{
    bool all_done = true;
    size_t i = 0;
    for (struct static_call *call = static_call_first(); call != NULL && i < CHANGES_MAX;
         call = static_call_next(call), i++) {
        const struct call_snapshot *boot = text_snapshot_call(call);
        if (as_at_boot) {
            user.forms[i] = static_call_form(call);
        }
        if (boot != NULL) {
            enum static_call_form form = as_at_boot ? boot->form : user.forms[i];
            all_done &= is_done(call->name, static_call_set_form(call, form, NULL));
        }
    }
    return all_done;
}

/* As it is defined: nobody learns, slots are empty, and comparisons read memory. */
static bool dynamic_call_enter(struct dynamic_call *call, struct dynamic_before *before)
{
    const struct dynamic_call_form boot = {.compare = DYNAMIC_COMPARE_MEMORY,
                                           .is_watched = !call->is_by_hand};
    struct dynamic_call_view view;
    struct dynamic_auto_view choice;

    dynamic_auto_look(call, &choice);
    dynamic_call_look(call, &view);
    *before = (struct dynamic_before){choice.state, view.form.targets, view.form.compare};
    return is_done(call->name, dynamic_auto_set(call, false, clock_now_ns(), NULL)) &&
           is_done(call->name, dynamic_call_set_form(call, &boot, NULL));
}

static bool dynamic_calls_enter(void)
{
    bool all_done = true;
    struct dynamic_call *call;

    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        if (i == DYNAMIC_CALLS_MAX) {
            console_print("test: more than %u dynamic calls\n", DYNAMIC_CALLS_MAX);
            return false;
        }
        all_done &= dynamic_call_enter(call, &user.dynamic[i]);
    }
    return all_done;
}

/* Pinned again, or learning anew. */
static void dynamic_call_leave(struct dynamic_call *call, const struct dynamic_before *before)
{
    is_done(call->name, dynamic_auto_set_compare(call, before->compare, NULL));
    if (before->state == DYNAMIC_PINNED) {
        is_done(call->name, dynamic_auto_pin(call, &before->targets, clock_now_ns(), NULL));
    } else if (before->state != DYNAMIC_OFF) {
        is_done(call->name, dynamic_auto_set(call, true, clock_now_ns(), NULL));
    }
}

static void dynamic_calls_leave(void)
{
    struct dynamic_call *call;

    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL && i < DYNAMIC_CALLS_MAX; i++) {
        dynamic_call_leave(call, &user.dynamic[i]);
    }
}

static bool is_switched(bool switched, const struct paravirt_refusal *refusal)
{
    if (!switched) {
        console_print("test: paravirt ops cannot be changed for the tests or back: %s\n",
                      refusal->text);
    }
    return switched;
}

/* Native and inline, as the snapshot has them. */
static bool paravirt_enter(void)
{
    struct paravirt_refusal refusal;

    user.paravirt_form = paravirt_form();
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        user.paravirt[op] =
            (struct paravirt_before){paravirt_backend_of(op), paravirt_layer_of(op)};
    }
    if (!is_switched(paravirt_switch_all(paravirt_backend_find("native"), &refusal), &refusal)) {
        return false;
    }
    paravirt_counted_clear(); /* gives memory back, which the suites would find less */
    return is_switched(paravirt_switch_form(PARAVIRT_INLINE, &refusal), &refusal);
}

static void paravirt_leave(void)
{
    struct paravirt_refusal refusal;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        const char *group = paravirt_ops[op].group;
        const char *name = group != NULL ? group : paravirt_ops[op].name;
        const struct paravirt_before *before = &user.paravirt[op];

        if (paravirt_backend_of(op) != before->base) {
            is_switched(paravirt_switch_op(name, before->base, &refusal), &refusal);
        }
        if (before->layer != NULL && paravirt_layer_of(op) != before->layer) {
            is_switched(paravirt_switch_op(name, before->layer, &refusal), &refusal);
        }
    }
    is_switched(paravirt_switch_form(user.paravirt_form, &refusal), &refusal);
}

/* Sites of lazy calls: found again behind the tests, when they are executed. */
static bool lazy_calls_forget(void)
{
    bool all_done = true;
    for (struct lazy_call *call = lazy_call_first(); call != NULL; call = lazy_call_next(call)) {
        all_done &= is_done(call->name, lazy_call_forget(call, NULL));
    }
    return all_done;
}

/* The suites have rings of their own, and what the user recorded is kept. */
static bool rings_put_aside(void)
{
    unsigned silent;
    bool done = trace_rings_put_aside(&silent);
    if (!done) {
        console_print("test: cpu %u does not answer: the rings of trace cannot be put aside\n",
                      silent);
    }
    return done;
}

static bool patching_enter(void)
{
    return dynamic_calls_enter() && keys_note() && calls_note() && lazy_calls_forget() &&
           is_done("the mitigation", mitigation_set(MITIGATION_RETPOLINE, NULL)) &&
           forms_set(true) && changes_make("test begins", user.undo, user.count) &&
           is_done("the protocol", patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0));
}

/* The user's programs are neither taken away nor left among those of the suites. */
static bool dispatchers_are_empty(void)
{
    static struct dispatcher_view view;
    struct dispatcher *dispatcher;

    for (unsigned i = 0; (dispatcher = dispatcher_at(i)) != NULL; i++) {
        dispatcher_look(dispatcher, &view);
        if (view.count != 0) {
            console_print("test: dispatcher %s has %u programs: first `prog detach NIC` for each "
                          "card with one, `prog leave all`, `prog unload all`\n",
                          view.name, view.count);
            return false;
        }
    }
    return true;
}

/* They are text that was not there at boot. */
static bool no_program_is_generated(void)
{
    struct net_program *program;

    for (unsigned i = 0; (program = net_program_at(i)) != NULL; i++) {
        if (program->is_generated) {
            console_print("test: %s is generated code, and text would not be as at boot: first "
                          "`prog unload all`\n",
                          program->xdp.name);
            return false;
        }
    }
    return true;
}

/* A full dispatcher leaves a program without an entry. */
static bool queues_have_no_program(void)
{
    const struct net_device *device;

    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        for (unsigned queue = 0; queue < device->queue_count; queue++) {
            if (net_program_of(device, queue) != NULL) {
                console_print("test: queue %u of %s has a program: first `prog detach %s`\n", queue,
                              device->name, device->name);
                return false;
            }
        }
    }
    return true;
}

bool boot_state_enter(void)
{
    user.protocol = patch_protocol_default();
    user.protocol_flags = patch_protocol_default_flags();
    user.mitigation = mitigation_current();
    user.count = 0;
    if (function_trace_count_on() != 0) {
        console_print("test: functions are traced, and text would not be as at boot: trace off\n");
        return false;
    }
    if (!queues_have_no_program() || !dispatchers_are_empty() || !no_program_is_generated() ||
        !rings_put_aside()) {
        return false;
    }
    if (!paravirt_enter() || !patching_enter()) {
        trace_rings_put_back();
        return false;
    }
    return true;
}

void boot_state_leave(void)
{
    trace_rings_put_back();
    changes_make("test ends", user.redo, user.count);
    forms_set(false);
    dynamic_calls_leave();
    paravirt_leave();
    is_done("the mitigation", mitigation_set(user.mitigation, NULL));
    is_done("the protocol", patch_protocol_set_default(user.protocol, user.protocol_flags));
}
