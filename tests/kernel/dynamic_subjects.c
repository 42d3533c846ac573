// SPDX-License-Identifier: MIT
/* See dynamic_subjects.h. */
#include "tests/kernel/dynamic_subjects.h"

#include "arch/clock.h"
#include "patching/platform.h"

typedef uint64_t answering(uint64_t first, uint64_t second);
typedef void writing(uint64_t first, uint64_t second, uint64_t *answer);

#define TARGET(n)                                                                                  \
    static uint64_t dynamic_answer_##n(uint64_t first, uint64_t second)                            \
    {                                                                                              \
        return DYNAMIC_ANSWER(n##u, first, second);                                                \
    }                                                                                              \
    static void dynamic_write_##n(uint64_t first, uint64_t second, uint64_t *answer)               \
    {                                                                                              \
        *answer = DYNAMIC_ANSWER(n##u, first, second);                                             \
    }
#define ALL(use)                                                                                   \
    use(0) use(1) use(2) use(3) use(4) use(5) use(6) use(7) use(8) use(9) use(10) use(11) use(12)  \
        use(13) use(14) use(15) use(16) use(17) use(18) use(19) use(20) use(21) use(22) use(23)    \
            use(24) use(25) use(26) use(27) use(28) use(29) use(30) use(31)
ALL(TARGET)

#define ANSWERING(n) &dynamic_answer_##n,
#define WRITING(n)   &dynamic_write_##n,
static answering *const answering_targets[DYNAMIC_TARGETS] = {ALL(ANSWERING)};
static writing *const writing_targets[DYNAMIC_TARGETS] = {ALL(WRITING)};

DEFINE_DYNAMIC_CALL_BY_HAND(test_dynamic_1, uint64_t(uint64_t, uint64_t), 1);
DEFINE_DYNAMIC_CALL_BY_HAND(test_dynamic_2, uint64_t(uint64_t, uint64_t), 2);
DEFINE_DYNAMIC_CALL_BY_HAND(test_dynamic_3, uint64_t(uint64_t, uint64_t), 3);
DEFINE_DYNAMIC_CALL_BY_HAND(test_dynamic_4, uint64_t(uint64_t, uint64_t), 4);
DEFINE_DYNAMIC_CALL_BY_HAND(test_dynamic_tail, void(uint64_t, uint64_t, uint64_t *), 2);
DEFINE_DYNAMIC_CALL_BY_HAND(test_dynamic_uncalled, void(void), 4);

struct dynamic_call *const dynamic_uncalled = &dynamic_call_test_dynamic_uncalled;

#define NOINLINE __attribute__((noinline))

/* Keeps the compiler from making a tail call of the call before it. */
#define NO_TAIL_CALL() __asm__ volatile("")

#define REACH(slots)                                                                               \
    static NOINLINE uint64_t reach_##slots(unsigned target, uint64_t first, uint64_t second)       \
    {                                                                                              \
        uint64_t answer =                                                                          \
            dynamic_call(test_dynamic_##slots, answering_targets[target], first, second);          \
        NO_TAIL_CALL();                                                                            \
        return answer;                                                                             \
    }                                                                                              \
    static NOINLINE uint64_t reach_paused_##slots(unsigned target, uint64_t first,                 \
                                                  uint64_t second, dynamic_pause *pause)           \
    {                                                                                              \
        return dynamic_call(test_dynamic_##slots, answering_targets[target], pause(first),         \
                            second);                                                               \
    }                                                                                              \
    static NOINLINE uint64_t reach_null_##slots(void)                                              \
    {                                                                                              \
        answering *nobody = NULL;                                                                  \
        __asm__("" : "+r"(nobody));                                                                \
        return dynamic_call(test_dynamic_##slots, nobody, 1, 2);                                   \
    }
REACH(1)
REACH(2)
REACH(3)
REACH(4)

/* Tail calls. */
static NOINLINE void write_by(writing *target, uint64_t first, uint64_t second, uint64_t *answer)
{
    dynamic_call(test_dynamic_tail, target, first, second, answer);
}

static NOINLINE void write_paused_by(writing *target, uint64_t first, uint64_t second,
                                     uint64_t *answer, dynamic_pause *pause)
{
    dynamic_call(test_dynamic_tail, target, pause(first), second, answer);
}

static uint64_t reach_tail(unsigned target, uint64_t first, uint64_t second)
{
    uint64_t answer = 0;

    write_by(writing_targets[target], first, second, &answer);
    return answer;
}

static uint64_t reach_paused_tail(unsigned target, uint64_t first, uint64_t second,
                                  dynamic_pause *pause)
{
    uint64_t answer = 0;

    write_paused_by(writing_targets[target], first, second, &answer, pause);
    return answer;
}

static uint64_t reach_null_tail(void)
{
    uint64_t answer = 0;

    write_by(NULL, 1, 2, &answer);
    return answer;
}

#define SUBJECT(slots)                                                                             \
    {                                                                                              \
        &dynamic_call_test_dynamic_##slots, reach_##slots, reach_paused_##slots,                   \
            reach_null_##slots                                                                     \
    }
const struct dynamic_subject dynamic_subjects[DYNAMIC_SUBJECTS] = {
    SUBJECT(1), SUBJECT(2), SUBJECT(3), SUBJECT(4), SUBJECT(tail)};

uint64_t dynamic_subject_target(const struct dynamic_subject *subject, unsigned target)
{
    return subject->call == &dynamic_call_test_dynamic_tail ? (uint64_t)writing_targets[target]
                                                            : (uint64_t)answering_targets[target];
}

struct dynamic_call_view dynamic_subject_view(const struct dynamic_subject *subject)
{
    struct dynamic_call_view view;

    dynamic_call_look(subject->call, &view);
    return view;
}

struct dynamic_auto_view dynamic_subject_choice(const struct dynamic_subject *subject)
{
    struct dynamic_auto_view view;

    dynamic_auto_look(subject->call, &view);
    return view;
}

struct dynamic_call_form dynamic_subject_form(const struct dynamic_subject *subject, unsigned first,
                                              unsigned count, enum dynamic_compare compare)
{
    struct dynamic_call_form form = {.compare = compare, .is_open = true};

    for (unsigned i = 0; i < count; i++) {
        form.targets.slot[i] = dynamic_subject_target(subject, first + i);
    }
    return form;
}

static uint64_t pause_none(uint64_t argument)
{
    return argument;
}

bool dynamic_subject_set(struct test *test, const struct dynamic_subject *subject,
                         const struct dynamic_call_form *form)
{
    struct patch_error error = {0};

    return EXPECT_EQUAL(test, dynamic_call_set_form(subject->call, form, &error), PATCH_OK);
}

bool dynamic_subject_go_through(const struct dynamic_subject *subject)
{
    platform_change_lock();
    bool is_done = dynamic_call_set_through(subject->call, true);

    platform_change_unlock();
    return is_done;
}

void dynamic_subject_expect(struct test *test, const struct dynamic_subject *subject)
{
    for (unsigned i = 0; i < DYNAMIC_TARGETS; i++) {
        EXPECT_EQUAL(test, subject->reach(i, 7 * i, i), DYNAMIC_ANSWER(i, 7ull * i, i));
        EXPECT_EQUAL(test, subject->reach_paused(i, i, 9 * i, pause_none),
                     DYNAMIC_ANSWER(i, (uint64_t)i, 9ull * i));
    }
}

void dynamic_subject_put_back(struct test *test, const struct dynamic_subject *subject)
{
    const struct dynamic_call_form boot = {.compare = DYNAMIC_COMPARE_MEMORY};
    struct patch_error error = {0};

    EXPECT_EQUAL(test, dynamic_auto_set(subject->call, false, clock_now_ns(), &error), PATCH_OK);
    dynamic_subject_set(test, subject, &boot);
}
