// SPDX-License-Identifier: MIT
/* See trace_functions.h. */
#include "tests/kernel/trace_functions.h"

#define FUNCTION(number)                                                                           \
    __attribute__((noinline)) static void trace_field_##number(void)                               \
    {                                                                                              \
        __asm__ volatile("");                                                                      \
    }

/* It finds another form in each pass: */
/* clang-format off */
#define TEN(list, n)                                                                               \
    list(n##0) list(n##1) list(n##2) list(n##3) list(n##4) list(n##5) list(n##6) list(n##7)        \
        list(n##8) list(n##9)
#define HUNDRED(list, n)                                                                           \
    TEN(list, n##0)                                                                                \
    TEN(list, n##1) TEN(list, n##2) TEN(list, n##3) TEN(list, n##4) TEN(list, n##5)                \
        TEN(list, n##6) TEN(list, n##7) TEN(list, n##8) TEN(list, n##9)
/* clang-format on */

#define FIELD(list) HUNDRED(list, 1) HUNDRED(list, 2) HUNDRED(list, 3) HUNDRED(list, 4)

FIELD(FUNCTION)

#define POINTER(number) trace_field_##number,

trace_function *const trace_field[TRACE_FIELD_COUNT] = {FIELD(POINTER)};

__attribute__((noinline)) void trace_field_call(unsigned first, unsigned step, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        trace_field[(first + i * step) % TRACE_FIELD_COUNT]();
    }
}

__attribute__((noinline)) void trace_field_call_first(void)
{
    trace_field_100();
    __asm__ volatile(""); /* not a jump: it returns here */
}

__attribute__((noinline)) uint64_t trace_add(uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                                             uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    __asm__ volatile("");
    return TRACE_ADD_RESULT(a, b, c, d, e, f, g, h);
}
