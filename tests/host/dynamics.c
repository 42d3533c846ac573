// SPDX-License-Identifier: MIT
/* Dynamic calls, their targets and callers; see dynamics.h. Invariant: each caller is one place
 * that calls. */
#include "tests/host/dynamics.h"

#include "tests/host/host_test.h"

DEFINE_DYNAMIC_CALL_BY_HAND(one, void(uint64_t, uint64_t), 1);
DEFINE_DYNAMIC_CALL_BY_HAND(two, uint64_t(uint64_t, uint64_t), 2);
DEFINE_DYNAMIC_CALL_BY_HAND(three, bool(uint64_t, uint64_t), 3);
typedef void *seven_arguments(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
DEFINE_DYNAMIC_CALL_BY_HAND(four, seven_arguments, 4);
DEFINE_DYNAMIC_CALL_INSTANCES_BY_HAND(each, unsigned(uint64_t, uint64_t), 1);

/* What ran last, and with what. */
static struct {
    unsigned target; /* SUBJECT_TARGETS: nothing */
    unsigned calls;
    bool is_odd; /* not as it was the first time */
    uint64_t x, y;
} seen;

static uint64_t result_of(unsigned target)
{
    return 0xaaaaaaaabbbbbb00ull * (target + 1) + target % 2;
}

__attribute__((noinline)) static uint64_t note(unsigned target, uint64_t x, uint64_t y)
{
    seen.is_odd |= seen.calls > 0 && (seen.target != target || seen.x != x || seen.y != y);
    seen.target = target;
    seen.calls++;
    seen.x = x;
    seen.y = y;
    return result_of(target);
}

#define TARGET(name, number, type)                                                                 \
    static type name##_##number(uint64_t x, uint64_t y)                                            \
    {                                                                                              \
        return (type)note(number, x, y);                                                           \
    }
#define TARGETS(name, type)                                                                        \
    TARGET(name, 0, type)                                                                          \
    TARGET(name, 1, type)                                                                          \
    TARGET(name, 2, type)                                                                          \
    TARGET(name, 3, type) TARGET(name, 4, type) TARGET(name, 5, type)

TARGETS(one, void)
TARGETS(two, uint64_t)
TARGETS(each, unsigned)

#define TRUTH(number)                                                                              \
    static bool three_##number(uint64_t x, uint64_t y)                                             \
    {                                                                                              \
        return note(number, x, y) & 1;                                                             \
    }
TRUTH(0)
TRUTH(1)
TRUTH(2)
TRUTH(3)
TRUTH(4)
TRUTH(5)

#define FOUR(number)                                                                               \
    static void *four_##number(uint64_t x, uint64_t a, uint64_t b, uint64_t c, uint64_t d,         \
                               uint64_t e, uint64_t y)                                             \
    {                                                                                              \
        bool is_right = a == 1 && b == 2 && c == 3 && d == 4 && e == 5;                            \
                                                                                                   \
        return (void *)note(number, x, is_right ? y : 0);                                          \
    }
FOUR(0)
FOUR(1)
FOUR(2)
FOUR(3)
FOUR(4)
FOUR(5)

#define BY_CALL_OF(name, type, call)                                                               \
    __attribute__((noinline)) static type name##_by_call(dynamic_type_##name *function,            \
                                                         uint64_t x, uint64_t y)                   \
    {                                                                                              \
        type result = call;                                                                        \
        __asm__ volatile("");                                                                      \
        return result;                                                                             \
    }
#define BY_TAIL_OF(name, type, call)                                                               \
    __attribute__((noinline)) static type name##_by_tail(dynamic_type_##name *function,            \
                                                         uint64_t x, uint64_t y)                   \
    {                                                                                              \
        return call;                                                                               \
    }
#define BY_LOOP_OF(name, type, call)                                                               \
    __attribute__((noinline)) static type name##_by_loop(dynamic_type_##name *function,            \
                                                         uint64_t x, uint64_t y)                   \
    {                                                                                              \
        type result = 0;                                                                           \
                                                                                                   \
        for (int turn = 0; turn < LOOP_TURNS; turn++) {                                            \
            result = call;                                                                         \
        }                                                                                          \
        return result;                                                                             \
    }

/* Without a result. */
__attribute__((noinline)) static void one_by_call(dynamic_type_one *function, uint64_t x,
                                                  uint64_t y)
{
    dynamic_call(one, function, x, y);
    __asm__ volatile("");
}

__attribute__((noinline)) static void one_by_tail(dynamic_type_one *function, uint64_t x,
                                                  uint64_t y)
{
    dynamic_call(one, function, x, y);
}

BY_CALL_OF(two, uint64_t, dynamic_call(two, function, x, y))
BY_TAIL_OF(two, uint64_t, dynamic_call(two, function, x, y))
BY_LOOP_OF(two, uint64_t, dynamic_call(two, function, x, y))
BY_CALL_OF(three, bool, dynamic_call(three, function, x, y))
BY_TAIL_OF(three, bool, dynamic_call(three, function, x, y))
BY_CALL_OF(four, void *, dynamic_call(four, function, x, 1, 2, 3, 4, 5, y))
BY_LOOP_OF(four, void *, dynamic_call(four, function, x, 1, 2, 3, 4, 5, y))

__attribute__((noinline)) static unsigned each_by_call(dynamic_type_each_0 *function, uint64_t x,
                                                       uint64_t y)
{
    unsigned result = dynamic_call_instance(each, 0, function, x, y);

    __asm__ volatile("");
    return result;
}

unsigned call_instance(unsigned instance, dynamic_function *function, uint64_t x, uint64_t y)
{
    return dynamic_call_instance(each, instance, (dynamic_type_each_0 *)function, x, y);
}

#define FUNCTION(name) (dynamic_function *)(name)
#define CALLING(name)  (dynamic_calling *)(dynamic_function *)(name)
#define SUBJECT(name, target, bits, count, ...)                                                    \
    {                                                                                              \
        .call = &dynamic_call_##name,                                                              \
        .targets = {FUNCTION(target##_0), FUNCTION(target##_1), FUNCTION(target##_2),              \
                    FUNCTION(target##_3), FUNCTION(target##_4), FUNCTION(target##_5)},             \
        .callers = {__VA_ARGS__}, .places = (count), .result_bits = (bits),                        \
    }

const struct dynamic_subject dynamic_subjects[SUBJECTS] = {
    SUBJECT(one, one, 0, 2, [BY_CALL] = CALLING(one_by_call), [BY_TAIL] = CALLING(one_by_tail)),
    SUBJECT(two, two, UINT64_MAX, 3, [BY_CALL] = CALLING(two_by_call),
            [BY_TAIL] = CALLING(two_by_tail), [BY_LOOP] = CALLING(two_by_loop)),
    SUBJECT(three, three, 1,
            2, [BY_CALL] = CALLING(three_by_call), [BY_TAIL] = CALLING(three_by_tail)),
    SUBJECT(four, four, UINT64_MAX,
            2, [BY_CALL] = CALLING(four_by_call), [BY_LOOP] = CALLING(four_by_loop)),
    SUBJECT(each_0, each, UINT32_MAX, 2, [BY_CALL] = CALLING(each_by_call)),
};
const struct dynamic_subject *const subject_one = &dynamic_subjects[0];
const struct dynamic_subject *const subject_two = &dynamic_subjects[1];
const struct dynamic_subject *const subject_four = &dynamic_subjects[3];

struct dynamic_count dynamic_counts[DYNAMIC_CPUS + 1];

void dynamics_run_begin(void)
{
    seen.target = SUBJECT_TARGETS;
    seen.calls = 0;
    seen.is_odd = false;
}

unsigned dynamics_reached(void)
{
    return seen.is_odd ? SUBJECT_TARGETS + 1 : seen.target;
}

bool dynamics_run_judge(const struct dynamic_subject *subject, enum dynamic_caller caller,
                        unsigned target, uint64_t result)
{
    unsigned calls = caller == BY_LOOP ? LOOP_TURNS : 1;

    if (target == SUBJECT_TARGETS) {
        return seen.calls == 0 && (result & subject->result_bits) == 0;
    }
    return seen.calls == calls && dynamics_reached() == target && seen.x == DYNAMIC_X &&
           seen.y == DYNAMIC_Y && ((result ^ result_of(target)) & subject->result_bits) == 0;
}

void dynamics_run(const struct dynamic_subject *subject, enum dynamic_caller caller,
                  unsigned target)
{
    uint64_t result;

    dynamics_run_begin();
    result = subject->callers[caller](target < SUBJECT_TARGETS ? subject->targets[target] : NULL,
                                      DYNAMIC_X, DYNAMIC_Y);
    if (!dynamics_run_judge(subject, caller, target, result)) {
        fail_msg("%s: caller %u reached %u, %u times, instead of %u; returned %#lx",
                 subject->call->name, caller, dynamics_reached(), seen.calls, target,
                 (unsigned long)result);
    }
}

void dynamics_expect_all_calls(const struct dynamic_subject *subject)
{
    for (enum dynamic_caller caller = 0; caller < DYNAMIC_CALLERS; caller++) {
        for (unsigned target = 0; subject->callers[caller] && target <= SUBJECT_TARGETS; target++) {
            dynamics_run(subject, caller, target);
        }
    }
}
