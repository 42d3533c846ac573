// SPDX-License-Identifier: MIT
/* dynamic_call_set_form(): from every form to every other, byte for byte, with exactly the batches
 * and the grace periods that dynamic_call.h says. What it costs is worked out here by a model of
 * three bits: is the gate open, may somebody be in the chain, do slots differ. Detects a change
 * that does nothing, too much or too often; a form that does not tell what the text is; slots that
 * change without a grace period, and grace periods for nothing. Could miss: what a CPU meets on the
 * way (test_dynamic_call_steps). */
#include "tests/host/dynamics.h"

#include "patching/record.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

enum { CPUS = 4 };

/* Up to four slots, by target: none, one, another, the same elsewhere, two, the same two turned. */
static const char *const slots_of[] = {"", "a", "b", ".a", "ab", "ba", "abcd", ".f.e"};

/* All forms of a subject: slots that fit, kinds of comparison, gate, watch. */
static struct dynamic_call_form forms[ARRAY_COUNT(slots_of) * 8];
static unsigned form_count;

static void forms_list(const struct dynamic_subject *subject, unsigned first, unsigned end)
{
    form_count = 0;
    for (unsigned i = first; i < end; i++) {
        if (strlen(slots_of[i]) > subject->call->slot_count) {
            continue;
        }
        for (unsigned bits = 0; bits < 8; bits++) {
            forms[form_count++] =
                dynamics_form(subject, slots_of[i], (enum dynamic_compare)(bits & 1),
                              (bits & 2) != 0, (bits & 4) != 0);
        }
    }
}

static bool slots_are_same(const struct dynamic_call_form *a, const struct dynamic_call_form *b)
{
    return a->compare == b->compare && memcmp(&a->targets, &b->targets, sizeof(a->targets)) == 0;
}

/* What a change costs. */
struct cost {
    unsigned batches, grace_periods;
};

/* @is_inside: somebody may be in the chain although the gate is closed. */
static struct cost cost_of(const struct dynamic_call_form *from, const struct dynamic_call_form *to,
                           bool is_inside)
{
    if (!slots_are_same(from, to)) {
        return (struct cost){from->is_open ? 2 : 1, from->is_open || is_inside};
    }
    return (struct cost){from->is_open != to->is_open || from->is_watched != to->is_watched, 0};
}

/* Whether somebody may be in the chain behind the change; if the gate is open that goes without
 * saying. */
static bool inside_behind(const struct dynamic_call_form *from, const struct dynamic_call_form *to,
                          bool was_inside)
{
    return to->is_open || (slots_are_same(from, to) && (from->is_open || was_inside));
}

static unsigned count_in_log(char what)
{
    unsigned count = 0;

    for (const char *log = recorder_log(); *log != '\0'; log++) {
        count += *log == what;
    }
    return count;
}

/* Batches since the record numbered @before, each of them in the name of @subject. */
static unsigned count_records(const struct dynamic_subject *subject, uint64_t before)
{
    uint64_t newest = patch_record_newest();
    struct patch_record record;
    char who[64] = "dyncall ";

    strcat(who, subject->call->name);
    for (uint64_t number = before + 1; number <= newest; number++) {
        assert_true(patch_record_get(number, &record));
        assert_string_equal(record.who, who);
    }
    return (unsigned)(newest - before);
}

static void change(const struct dynamic_subject *subject, const struct dynamic_call_form *from,
                   const struct dynamic_call_form *to, bool is_inside)
{
    const struct cost cost = cost_of(from, to, is_inside);
    const struct dynamic_call_statistics before = dynamics_look(subject).statistics;
    uint64_t record = patch_record_newest();

    dynamics_begin();
    dynamics_bring(subject, to);
    dynamics_expect_text(subject, to);
    assert_int_equal(count_records(subject, record), cost.batches);
    assert_int_equal(recorder.synchronizes, cost.grace_periods);
    assert_int_equal(count_in_log('S'), recorder.rounds);
    assert_true(cost.batches == 0 ? recorder.writes == 0 : recorder.rounds >= cost.batches);
    assert_true(recorder.rounds <= 4 * cost.batches);

    const struct dynamic_call_statistics now = dynamics_look(subject).statistics;

    assert_int_equal(now.batches - before.batches, cost.batches);
    assert_int_equal(now.rounds - before.rounds, recorder.rounds);
    assert_int_equal(now.ipis - before.ipis, recorder.rounds * (CPUS - 1));
    assert_int_equal(now.grace_periods - before.grace_periods, cost.grace_periods);
    assert_int_equal(now.changes - before.changes, !slots_are_same(from, to));
    assert_int_equal(now.failed, before.failed);
    assert_true((now.cost_ns > before.cost_ns) == (cost.batches > 0));
}

/* Open, and closed again by a batch of its own: somebody may still be in the chain. */
static void leave_somebody_inside(const struct dynamic_subject *subject,
                                  const struct dynamic_call_form *form)
{
    struct dynamic_call_form open = *form;

    open.is_open = true;
    dynamics_begin();
    dynamics_bring(subject, &open);
    dynamics_bring(subject, form);
}

/* Closed for so long that nobody is in the chain: a change of slots has waited for that. */
static void leave_nobody_inside(const struct dynamic_subject *subject,
                                const struct dynamic_call_form *form)
{
    struct dynamic_call_form other = *form;

    other.is_open = false;
    other.compare = form->compare == DYNAMIC_COMPARE_MEMORY ? DYNAMIC_COMPARE_IMMEDIATE
                                                            : DYNAMIC_COMPARE_MEMORY;
    dynamics_begin();
    dynamics_bring(subject, &other);
    dynamics_bring(subject, form);
}

static void change_from_all_to_all(const struct dynamic_subject *subject)
{
    for (unsigned i = 0; i < form_count; i++) {
        for (unsigned j = 0; j < form_count; j++) {
            leave_nobody_inside(subject, &forms[i]);
            change(subject, &forms[i], &forms[j], false);
        }
    }
}

static void every_change_of_one_slot_is_exact(void **state)
{
    (void)state;
    forms_list(subject_one, 0, ARRAY_COUNT(slots_of));
    change_from_all_to_all(subject_one);
}

static void every_change_of_two_slots_is_exact(void **state)
{
    (void)state;
    forms_list(subject_two, 3, 6);
    change_from_all_to_all(subject_two);
}

static void every_change_of_four_slots_is_exact(void **state)
{
    (void)state;
    forms_list(subject_four, 5, 8);
    change_from_all_to_all(subject_four);
}

static void changes_behind_a_gate_that_has_just_closed_wait(void **state)
{
    (void)state;
    forms_list(subject_two, 4, 6);
    for (unsigned i = 0; i < form_count; i++) {
        for (unsigned j = 0; !forms[i].is_open && j < form_count; j++) {
            leave_somebody_inside(subject_two, &forms[i]);
            change(subject_two, &forms[i], &forms[j], true);
        }
    }
}

/* One after the other, whatever the one before has left behind. */
static void random_changes_in_a_row_are_exact(void **state)
{
    uint64_t random = 88172645463325252ull;
    bool is_inside = false;

    (void)state;
    forms_list(subject_four, 0, ARRAY_COUNT(slots_of));
    struct dynamic_call_form form = forms[0];

    leave_nobody_inside(subject_four, &form);
    for (unsigned i = 0; i < 1000; i++) {
        const struct dynamic_call_form next = forms[next_random(&random) % form_count];

        change(subject_four, &form, &next, is_inside);
        is_inside = inside_behind(&form, &next, is_inside);
        form = next;
    }
}

/* Behind a closed gate, too, whoever was sent through the chain is waited for. */
static void a_trial_of_the_chain_is_waited_for(void **state)
{
    struct dynamic_call_form form =
        dynamics_form(subject_two, "ab", DYNAMIC_COMPARE_IMMEDIATE, false, true);
    const struct dynamic_call_form next =
        dynamics_form(subject_two, "cb", DYNAMIC_COMPARE_IMMEDIATE, false, true);

    (void)state;
    leave_nobody_inside(subject_two, &form);
    assert_true(dynamic_call_set_through(subject_two->call, true));
    assert_true(dynamic_call_set_through(subject_two->call, false));
    change(subject_two, &form, &next, true);
    assert_true(dynamic_call_set_through(subject_two->call, true));
    change(subject_two, &next, &form, true);
    assert_false(subject_two->call->goes_through);
    change(subject_two, &form, &next, false);
}

static struct dynamic_call *watched_call;
static bool was_counting;

static void note_counting(void)
{
    was_counting |= watched_call->is_counting;
}

/* Everybody goes the slow way now, through the watch key. */
static void call_in_grace_period(void)
{
    note_counting();
    dynamics_run(subject_two, BY_CALL, 4);
    was_counting |= dynamic_counts[0].rows[1].target != 0;
}

static void note_counting_at_step(enum patch_step step, enum patch_moment moment)
{
    (void)step;
    (void)moment;
    note_counting();
}

static void nothing_is_counted_during_a_change(void **state)
{
    struct dynamic_call_form form =
        dynamics_form(subject_two, "ab", DYNAMIC_COMPARE_IMMEDIATE, true, true);
    const struct dynamic_call_form next =
        dynamics_form(subject_two, "ca", DYNAMIC_COMPARE_IMMEDIATE, true, true);

    (void)state;
    watched_call = subject_two->call;
    was_counting = false;
    dynamic_call_give_memory(watched_call, dynamic_counts, DYNAMIC_CPUS);
    dynamics_bring(subject_two, &form);
    assert_true(watched_call->is_counting);
    dynamics_run(subject_two, BY_CALL, 3);
    assert_int_equal(dynamic_counts[0].rows[0].calls, 1);
    recorder.on_synchronize = call_in_grace_period;
    recorder.on_step = note_counting_at_step;
    dynamics_bring(subject_two, &next);
    assert_false(was_counting);
    assert_true(watched_call->is_counting);
    assert_int_equal(dynamic_counts[0].rows[0].target, 0);
    form.is_watched = false;
    dynamics_bring(subject_two, &form);
    assert_false(watched_call->is_counting);
}

/* The protocols that keep their promises. */
static void every_protocol_makes_the_same_change(void **state)
{
    const struct dynamic_call_form form =
        dynamics_form(subject_two, "ab", DYNAMIC_COMPARE_IMMEDIATE, true, true);
    const struct dynamic_call_form next =
        dynamics_form(subject_two, ".a", DYNAMIC_COMPARE_MEMORY, true, false);

    (void)state;
    for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_NAIVE; id++) {
        assert_int_equal(patch_protocol_set_default(id, 0), PATCH_OK);
        dynamics_bring(subject_two, &form);
        dynamics_begin();
        dynamics_bring(subject_two, &next);
        dynamics_expect_text(subject_two, &next);
        dynamics_expect_all_calls(subject_two);
        assert_int_equal(recorder.synchronizes, 1);
    }
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
}

/* All that is patched of a call: where, and the bytes that stand there. */
struct seen_site {
    uint64_t address;
    size_t length;
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];
};
static struct seen_site seen_sites[128];
static unsigned seen_count;

static void see(uint64_t address, size_t length)
{
    struct seen_site *site = &seen_sites[seen_count++];

    assert_true(seen_count < ARRAY_COUNT(seen_sites));
    site->address = address;
    site->length = length;
    memcpy(site->bytes, (const void *)address, length);
}

static void see_branches(const struct static_key *key)
{
    for (uint32_t i = 0; i < key->site_count; i++) {
        see(key->sites[i].address, key->sites[i].length);
    }
}

static void see_text(const struct dynamic_call *call)
{
    seen_count = 0;
    see_branches(call->gate);
    see_branches(call->watch);
    for (uint32_t i = 0; i < call->slot_count; i++) {
        const struct dynamic_call_slot *slot = &call->slots[i];

        see(slot->call->trampoline, 5);
        for (uint32_t j = 0; j < slot->site_count; j++) {
            see(slot->sites[j].address, 7);
        }
        for (uint32_t j = 0; j < slot->call->site_count; j++) {
            see(slot->call->sites[j].address, slot->call->sites[j].length);
        }
    }
}

/* From what stands there to what was seen; the branches of the gate, seen first, are last. */
static void watch_text(const struct dynamic_call *call)
{
    recorder.ignores_unwatched = false;
    for (unsigned i = 0; i < seen_count; i++) {
        const struct seen_site *site = &seen_sites[i];

        recorder_watch(site->address, (const uint8_t *)site->address, site->bytes, site->length);
        if (i < call->gate->site_count) {
            recorder_watch_as_last(site->address);
        }
    }
}

/* Under the eyes of the watcher, to whom a CPU may fetch what it fetched before its last sync: who
 * passes the new gate meets nothing old behind it. */
static void nothing_old_is_behind_a_gate_that_opens(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SUBJECTS * PATCH_PROTOCOL_NAIVE; i++) {
        const struct dynamic_subject *subject = &dynamic_subjects[i % SUBJECTS];
        const struct dynamic_call_form from = dynamics_form(subject, "a", i & 1, false, true);
        const struct dynamic_call_form to = dynamics_form(subject, "b", i & 1, true, false);

        dynamics_begin();
        dynamics_bring(subject, &to);
        see_text(subject->call);
        leave_nobody_inside(subject, &from);
        assert_int_equal(patch_protocol_set_default(i / SUBJECTS, 0), PATCH_OK);
        dynamics_begin();
        watch_text(subject->call);
        dynamics_bring(subject, &to);
        recorder_expect_synced();
        assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
        dynamics_begin();
        dynamics_expect_text(subject, &to);
    }
}

static const struct CMUnitTest tests[] = {
    DYNAMIC_TEST(every_change_of_one_slot_is_exact),
    DYNAMIC_TEST(every_change_of_two_slots_is_exact),
    DYNAMIC_TEST(every_change_of_four_slots_is_exact),
    DYNAMIC_TEST(changes_behind_a_gate_that_has_just_closed_wait),
    DYNAMIC_TEST(random_changes_in_a_row_are_exact),
    DYNAMIC_TEST(a_trial_of_the_chain_is_waited_for),
    DYNAMIC_TEST(nothing_is_counted_during_a_change),
    DYNAMIC_TEST(every_protocol_makes_the_same_change),
    DYNAMIC_TEST(nothing_old_is_behind_a_gate_that_opens),
};

HOST_TEST_MAIN(tests, dynamics_group_setup)
