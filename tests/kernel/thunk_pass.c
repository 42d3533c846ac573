// SPDX-License-Identifier: MIT
/* See thunk_pass.h. */
#include "tests/kernel/thunk_pass.h"

#define TARGET_COUNT 8

/* thunk_calls.asm */
extern uint64_t (*const thunk_calls[THUNK_COUNT])(uint64_t (*function)(void));

#define TARGET(number)                                                                             \
    static uint64_t target_##number(void)                                                          \
    {                                                                                              \
        return 0x1001ull * ((number) + 1);                                                         \
    }
TARGET(0)
TARGET(1)
TARGET(2)
TARGET(3)
TARGET(4)
TARGET(5)
TARGET(6)
TARGET(7)

/* Volatile: the compiler must not know where a call goes. */
static uint64_t (*volatile const targets[TARGET_COUNT])(void) = {
    target_0, target_1, target_2, target_3, target_4, target_5, target_6, target_7,
};

static uint64_t target_result(unsigned number)
{
    return 0x1001ull * (number + 1);
}

/* A call in tail position, which the compiler makes a jump through the thunk. */
static __attribute__((noinline)) uint64_t jump_to_target(unsigned number)
{
    return targets[number]();
}

uint64_t thunk_pass(unsigned first)
{
    uint64_t strayed = 0;
    for (unsigned i = 0; i < THUNK_COUNT; i++) {
        unsigned number = (first + i) % TARGET_COUNT;
        strayed += thunk_calls[i](targets[number]) != target_result(number);
        strayed += jump_to_target(number) != target_result(number);
    }
    return strayed;
}

const enum mitigation thunk_switches[THUNK_SWITCHES] = {
    MITIGATION_LFENCE, MITIGATION_NONE,   MITIGATION_RETPOLINE,
    MITIGATION_NONE,   MITIGATION_LFENCE, MITIGATION_RETPOLINE,
};
