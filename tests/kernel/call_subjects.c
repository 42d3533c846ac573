// SPDX-License-Identifier: MIT
/* See call_subjects.h. */
#include "tests/kernel/call_subjects.h"

/* Of the calls that return, and of those that write, what they reached. */
#define TARGET(n)                                                                                  \
    static uint64_t return_##n(uint64_t *reached)                                                  \
    {                                                                                              \
        (void)reached;                                                                             \
        return n;                                                                                  \
    }                                                                                              \
    static void write_##n(uint64_t *reached)                                                       \
    {                                                                                              \
        *reached = n;                                                                              \
    }
TARGET(1)
TARGET(2)
TARGET(3)
TARGET(4)
TARGET(5)
TARGET(6)
TARGET(7)

DEFINE_STATIC_CALL_RETURN_ZERO(test_returning, uint64_t, return_1);
DEFINE_STATIC_CALL_NULL(test_writing, write_1);
DEFINE_STATIC_CALL_NULL(test_uncalled, write_1);
DEFINE_STATIC_CALL_FORM(test_outer, return_1, STATIC_CALL_OUT_OF_LINE);

#define FUNCTION(name) (static_call_function *)(name)
#define ALL(kind)                                                                                  \
    {                                                                                              \
        NULL, FUNCTION(kind##_1), FUNCTION(kind##_2), FUNCTION(kind##_3), FUNCTION(kind##_4),      \
            FUNCTION(kind##_5), FUNCTION(kind##_6), FUNCTION(kind##_7)                             \
    }
static static_call_function *const returning_targets[CALL_TARGETS] = ALL(return );
static static_call_function *const writing_targets[CALL_TARGETS] = ALL(write);

/* One caller for each kind of site. They set rax before, so that it shows what a call without a
 * target makes of it. */
#define ASSEMBLED_CALLERS(name)                                                                    \
    __asm__(".pushsection .text\n\t"                                                               \
            ".type " #name "_by_call, @function\n" #name "_by_call:\n\t"                           \
            "movq $-1, %rax\n\tcall static_call_" #name "\n\tret\n"                                \
            ".type " #name "_by_jump, @function\n" #name "_by_jump:\n\t"                           \
            "movq $-1, %rax\n\tjmp static_call_" #name "\n\tud2\n"                                 \
            ".type " #name "_by_jump_if, @function\n" #name "_by_jump_if:\n\t"                     \
            "movq $-1, %rax\n\ttestq %rdi, %rdi\n\tjnz static_call_" #name "\n\t"                  \
            "movl $99, %eax\n\tret\n\t"                                                            \
            ".popsection");                                                                        \
    extern __typeof__(static_call_##name) name##_by_call, name##_by_jump, name##_by_jump_if

ASSEMBLED_CALLERS(test_returning);
ASSEMBLED_CALLERS(test_writing);
ASSEMBLED_CALLERS(test_outer);

/* The number of the target reached, by one way after the other; the last is the compiler's. */
static uint64_t reach_returning(unsigned way)
{
    uint64_t unused;
    switch (way) {
    case 0:
        return test_returning_by_call(&unused);
    case 1:
        return test_returning_by_jump(&unused);
    case 2:
        return test_returning_by_jump_if(&unused);
    default:
        return static_call(test_returning)(&unused);
    }
}

static uint64_t reach_writing(unsigned way)
{
    uint64_t reached = 0;
    switch (way) {
    case 0:
        test_writing_by_call(&reached);
        break;
    case 1:
        test_writing_by_jump(&reached);
        break;
    case 2:
        test_writing_by_jump_if(&reached);
        break;
    default:
        static_call(test_writing)(&reached);
    }
    return reached;
}

static uint64_t reach_outer(unsigned way)
{
    uint64_t unused;
    switch (way) {
    case 0:
        return test_outer_by_call(&unused);
    case 1:
        return test_outer_by_jump(&unused);
    case 2:
        return test_outer_by_jump_if(&unused);
    default:
        return static_call(test_outer)(&unused);
    }
}

uint64_t call_returning_not_taken(void)
{
    return test_returning_by_jump_if(NULL);
}

const struct call_subject call_returning = {&static_call_data_test_returning, returning_targets,
                                            reach_returning, 0, STATIC_CALL_FORM_DEFAULT};
const struct call_subject call_writing = {&static_call_data_test_writing, writing_targets,
                                          reach_writing, 0, STATIC_CALL_FORM_DEFAULT};
const struct call_subject call_outer = {&static_call_data_test_outer, returning_targets,
                                        reach_outer, 1, STATIC_CALL_OUT_OF_LINE};
const struct call_subject call_uncalled = {&static_call_data_test_uncalled, writing_targets, NULL,
                                           0, STATIC_CALL_FORM_DEFAULT};
