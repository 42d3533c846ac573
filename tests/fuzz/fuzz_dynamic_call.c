// SPDX-License-Identifier: MIT
/* Fuzzes dynamic calls: an input is a program of changes, good and bad, of the compiled calls of
 * tests/host/dynamics.c, over the recorder of tests/host: forms, targets to forget, trials of the
 * chain, protocols; writes, CPUs and grace periods that fail. At every moment of every change a CPU
 * makes a call, running into whatever stands there.
 *
 * Detects: a call that does not reach the function it was given, through whichever place, during a
 * change or behind it; a change that is refused without reason, or for another one; text that is
 * not that of the form, byte for byte; batches and grace periods other than those of a model. Could
 * miss: a CPU that is preempted inside a call (tests/host/test_dynamic_call_steps); failures that
 * stop the machine, which are not made here. What goes wrong in the recorder or in what is expected
 * of text ends the process by itself. */
#include "patching/record.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/input.h"
#include "tests/host/dynamics.h"
#include "tests/host/recorder.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>

enum { STEPS_MAX = 48 };

/* Steps; seeds.py knows their numbers. */
enum { STEP_FORM, STEP_FORGET, STEP_THROUGH, STEP_PROTOCOL, STEP_FAULT, STEP_CALLER, STEP_COUNT };

/* Of the byte that says what a form is, beside its four slots. */
enum { FORM_MEMORY = 1, FORM_OPEN = 2, FORM_WATCHED = 4, FORM_UNKNOWN = 0xf8 };

/* Slots beyond the targets: empty, then what cannot be. */
static const uint64_t strange_slots[] = {0, 0, 0, DYNAMIC_CALL_NEVER, 0x80000000, 1ull << 32};

/* What is known of a call besides its form, which must be what the model says, too. */
struct model {
    struct dynamic_call_form form;
    bool is_inside;    /* somebody may be in the chain although the gate is closed */
    bool is_unsettled; /* a change of slots was put back */
};
static struct model models[SUBJECTS];

/* What the next change meets. */
static struct {
    unsigned write; /* that fails; 0: none */
    enum recorder_fault kind;
    bool cpu_is_silent; /* in the first round */
    bool thread_stays;
} fault;

/* The call that a CPU makes at every moment. */
static struct {
    const struct dynamic_subject *subject;
    enum dynamic_caller caller;
    unsigned target;
} other;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void trap(int number, siginfo_t *information, void *context)
{
    (void)number;
    (void)information;
    FUZZ_CHECK(recorder_trap_signal(1, context), "int3 of nobody");
}

static bool cpus_are_stopped(void)
{
    const char *stop = strrchr(recorder_log(), '[');

    return stop != NULL && strchr(stop, ']') == NULL;
}

static void call_meanwhile(void)
{
    if (!cpus_are_stopped() && other.subject->callers[other.caller] != NULL) {
        dynamics_run(other.subject, other.caller, other.target);
    }
}

/* Failures go no further than the tails, so that the text can be put back. */
static void call_at_step(enum patch_step step, enum patch_moment moment)
{
    call_meanwhile();
    if (moment == PATCH_MOMENT_SYNCED) {
        recorder.silent_round = 0;
        recorder.fail_write = step == PATCH_STEP_INT3 ? recorder.fail_write : 0;
    }
}

static void begin(void)
{
    dynamics_begin();
    recorder.on_step = call_at_step;
    recorder.on_synchronize = call_meanwhile;
    recorder.fail_write = fault.write;
    recorder.fault = fault.kind;
    recorder.silent_round = fault.cpu_is_silent;
    recorder.synchronize_fails = fault.thread_stays;
}

/* Everything arrives, and is what it should be. */
static void finish(void)
{
    recorder.on_step = NULL;
    recorder.on_synchronize = NULL;
    recorder.fail_write = 0;
    recorder.silent_round = 0;
    recorder.synchronize_fails = false;
    memset(&fault, 0, sizeof(fault));
    for (unsigned i = 0; i < SUBJECTS; i++) {
        dynamics_expect_text(&dynamic_subjects[i], &models[i].form);
        dynamics_expect_all_calls(&dynamic_subjects[i]);
    }
}

static bool slots_are_same(const struct dynamic_call_form *a, const struct dynamic_call_form *b)
{
    return a->compare == b->compare && memcmp(&a->targets, &b->targets, sizeof(a->targets)) == 0;
}

static bool is_strange(uint64_t target)
{
    return target == DYNAMIC_CALL_NEVER || target == 0x80000000 || target == 1ull << 32;
}

/* True if @form deserves that status before anything is patched; PATCH_OK: nothing is wrong. */
static bool is_deserved(const struct dynamic_subject *subject, const struct dynamic_call_form *form,
                        enum patch_status status)
{
    bool is_range = false, is_targets = false;

    for (unsigned i = 0; i < DYNAMIC_SLOTS_MAX; i++) {
        uint64_t target = form->targets.slot[i];

        is_range |= is_strange(target);
        is_targets |= target != 0 && i >= subject->call->slot_count;
        for (unsigned j = 0; target != 0 && j < i; j++) {
            is_targets |= form->targets.slot[j] == target;
        }
    }
    bool is_unknown = (unsigned)form->compare >= DYNAMIC_COMPARE_COUNT;

    return (status == PATCH_ERR_RANGE && is_range) || (status == PATCH_ERR_TARGETS && is_targets) ||
           (status == PATCH_ERR_INSTRUCTION && is_unknown) ||
           (status == PATCH_OK && !is_range && !is_targets && !is_unknown);
}

/* What a change that nothing stops costs, and what the model is behind it. */
static void expect_cost(struct model *model, const struct dynamic_call_form *form,
                        uint64_t batches_before)
{
    bool is_same = slots_are_same(&model->form, form);
    bool keys_differ =
        model->form.is_open != form->is_open || model->form.is_watched != form->is_watched;
    unsigned batches = !is_same ? 1 + model->form.is_open : keys_differ;
    unsigned waits = !is_same ? model->form.is_open || model->is_inside
                              : keys_differ && form->is_open && model->is_unsettled;

    FUZZ_CHECK(patch_record_newest() - batches_before == batches, "not %u batches", batches);
    FUZZ_CHECK(recorder.synchronizes == waits, "%u grace periods, not %u", recorder.synchronizes,
               waits);
    model->is_inside = form->is_open || (is_same && (model->form.is_open || model->is_inside));
    model->is_unsettled &= is_same && waits == 0;
    model->form = *form;
}

/* It was stopped: slots as before, the gate perhaps closed, which look() tells. */
static void note_failure(const struct dynamic_subject *subject, struct model *model,
                         enum patch_status status, bool is_same, bool is_opening)
{
    bool was_open = model->form.is_open;

    FUZZ_CHECK(status == PATCH_ERR_WRITE || status == PATCH_ERR_SILENT_CPU ||
                   status == PATCH_ERR_NOT_LEFT,
               "refused without reason: %s", patch_status_text(status));
    model->form.is_open = dynamics_look(subject).form.is_open;
    FUZZ_CHECK(was_open || !model->form.is_open, "a failure opened the gate");
    /* Somebody may have come through before an opening alone was put back. */
    model->is_inside |= was_open || (is_same && is_opening && status != PATCH_ERR_NOT_LEFT);
    if (status == PATCH_ERR_NOT_LEFT) {
        FUZZ_CHECK(!model->form.is_open, "gate open while a thread is waited for");
    } else if (!is_same && !model->form.is_open) {
        model->is_inside &= recorder.synchronizes == 0;
        model->is_unsettled = true;
    }
}

static void change_form(const struct dynamic_subject *subject, struct model *model,
                        const struct dynamic_call_form *form)
{
    bool is_faultless = fault.write == 0 && !fault.cpu_is_silent && !fault.thread_stays;
    struct patch_error error = {0};
    uint64_t batches = patch_record_newest();

    begin();
    enum patch_status status = dynamic_call_set_form(subject->call, form, &error);

    FUZZ_CHECK(status == PATCH_OK || error.status == status, "status and error differ");
    if (!is_deserved(subject, form, PATCH_OK)) {
        FUZZ_CHECK(is_deserved(subject, form, status), "%s", patch_status_text(status));
        FUZZ_CHECK(recorder_log()[0] == '\0', "refused, but not without a write");
    } else if (status == PATCH_OK) {
        expect_cost(model, form, batches);
    } else {
        FUZZ_CHECK(!is_faultless, "refused without a fault: %s", patch_status_text(status));
        note_failure(subject, model, status, slots_are_same(&model->form, form), form->is_open);
    }
    finish();
}

static void step_form(struct input *input)
{
    unsigned number = (unsigned)input_take(input, 1) % SUBJECTS;
    unsigned bits = (unsigned)input_take(input, 1);
    struct dynamic_call_form form = {
        .compare = (bits & FORM_UNKNOWN) == FORM_UNKNOWN ? DYNAMIC_COMPARE_COUNT
                                                         : (enum dynamic_compare)(bits & 1),
        .is_open = (bits & FORM_OPEN) != 0,
        .is_watched = (bits & FORM_WATCHED) != 0,
    };
    const struct dynamic_subject *subject = &dynamic_subjects[number];

    for (unsigned i = 0; i < DYNAMIC_SLOTS_MAX; i++) {
        unsigned slot = (unsigned)input_take(input, 1) % 16;

        /* Most are such as there can be. */
        form.targets.slot[i] = slot < SUBJECT_TARGETS ? (uint64_t)subject->targets[slot]
                               : slot < SUBJECT_TARGETS + sizeof(strange_slots) / 8
                                   ? strange_slots[slot - SUBJECT_TARGETS]
                                   : 0;
        if (bits & 0x80 && i >= subject->call->slot_count) {
            form.targets.slot[i] = 0;
        }
    }
    change_form(subject, &models[number], &form);
}

/* Only without a fault: with one, some calls know it no more and some still do. */
static void step_forget(struct input *input)
{
    const struct dynamic_subject *subject = &dynamic_subjects[input_take(input, 1) % SUBJECTS];
    uint64_t target = (uint64_t)subject->targets[input_take(input, 1) % SUBJECT_TARGETS];

    memset(&fault, 0, sizeof(fault));
    begin();
    FUZZ_CHECK(dynamic_calls_forget(target, NULL) == PATCH_OK, "not forgotten");
    FUZZ_CHECK(recorder.synchronizes > 0, "forgotten without a grace period");
    for (unsigned i = 0; i < SUBJECTS; i++) {
        struct dynamic_call_form *form = &models[i].form;
        bool is_named = false, is_empty = true;

        for (unsigned slot = 0; slot < DYNAMIC_SLOTS_MAX; slot++) {
            is_named |= form->targets.slot[slot] == target;
            form->targets.slot[slot] *= form->targets.slot[slot] != target;
            is_empty &= form->targets.slot[slot] == 0;
        }
        form->is_open &= !(is_named && is_empty);
        if (is_named) {
            models[i].is_inside = form->is_open;
            models[i].is_unsettled = false;
        }
    }
    finish();
}

static void step_through(struct input *input)
{
    unsigned number = (unsigned)input_take(input, 1) % SUBJECTS;
    bool goes_through = input_take(input, 1) & 1;
    bool must_wait = goes_through && models[number].is_unsettled;
    bool stays = fault.thread_stays;

    begin();
    bool is_set = dynamic_call_set_through(dynamic_subjects[number].call, goes_through);

    FUZZ_CHECK(is_set == !(must_wait && stays), "trial let through, or refused without reason");
    FUZZ_CHECK(recorder.synchronizes == must_wait, "grace periods of a trial");
    models[number].is_inside |= is_set && goes_through;
    models[number].is_unsettled &= !(must_wait && is_set);
    finish();
}

static void step_protocol(struct input *input)
{
    enum patch_protocol_id id =
        (enum patch_protocol_id)(input_take(input, 1) % PATCH_PROTOCOL_NAIVE);

    FUZZ_CHECK(patch_protocol_set_default(id, 0) == PATCH_OK, "protocol refused");
}

/* One at a time: with two the machine may stop. Of int3-batch alone it is known here where the text
 * can still be put back. */
static void step_fault(struct input *input)
{
    unsigned what = (unsigned)input_take(input, 1);
    unsigned write = (unsigned)input_take(input, 1);

    FUZZ_CHECK(patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0) == PATCH_OK, "protocol");
    memset(&fault, 0, sizeof(fault));
    fault.cpu_is_silent = what % 4 == 0;
    fault.thread_stays = what % 4 == 1;
    fault.write = what % 4 > 1 ? write : 0;
    fault.kind = (enum recorder_fault)(what / 4 % FAULT_COUNT);
}

static void step_caller(struct input *input)
{
    other.subject = &dynamic_subjects[input_take(input, 1) % SUBJECTS];
    other.caller = (enum dynamic_caller)(input_take(input, 1) % DYNAMIC_CALLERS);
    other.target = (unsigned)input_take(input, 1) % (SUBJECT_TARGETS + 1);
}

static void (*const steps[STEP_COUNT])(struct input *input) = {
    [STEP_FORM] = step_form,         [STEP_FORGET] = step_forget, [STEP_THROUGH] = step_through,
    [STEP_PROTOCOL] = step_protocol, [STEP_FAULT] = step_fault,   [STEP_CALLER] = step_caller,
};

/* All calls as at boot, whatever the input before has left. */
static void start(void)
{
    static bool is_initialized;
    const struct sigaction action = {.sa_sigaction = trap, .sa_flags = SA_SIGINFO};

    if (!is_initialized) {
        FUZZ_CHECK(dynamics_initialize() == 0, "tables refused");
        sigaction(SIGTRAP, &action, NULL);
        is_initialized = true;
    }
    FUZZ_CHECK(patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0) == PATCH_OK, "protocol");
    FUZZ_CHECK(dynamics_teardown(NULL) == 0, "cannot be as at boot");
    memset(models, 0, sizeof(models));
    memset(&fault, 0, sizeof(fault));
    other.subject = subject_two;
    other.caller = BY_CALL;
    other.target = 0;
    for (unsigned i = 0; i < SUBJECTS; i++) {
        /* Through memory form: then they are what they say, and nobody is inside. */
        struct dynamic_call_form form = {.compare = DYNAMIC_COMPARE_MEMORY};

        dynamics_bring(&dynamic_subjects[i], &form);
        form.compare = DYNAMIC_COMPARE_IMMEDIATE;
        dynamics_bring(&dynamic_subjects[i], &form);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.bytes = data, .size = size};

    start();
    for (unsigned count = 0; count < STEPS_MAX && !input_is_empty(&input); count++) {
        steps[input_take(&input, 1) % STEP_COUNT](&input);
    }
    return 0;
}
