// SPDX-License-Identifier: MIT
/* The second ways; see paravirt_double.h. Nothing here may call an op but through below_NAME(): it
 * would come back here. */
#include "tests/kernel/paravirt_double.h"

#include "patching/paravirt_thunk.h"

static uint64_t counts[PARAVIRT_OP_COUNT]; /* atomic */

/* The native functions, by enum paravirt_op_id; named by assembler text. */
extern paravirt_function *paravirt_double_below[PARAVIRT_OP_COUNT];
paravirt_function *paravirt_double_below[PARAVIRT_OP_COUNT];

void paravirt_double_initialize(void)
{
    for (unsigned op = 0; op < PARAVIRT_OP_COUNT; op++) {
        paravirt_double_below[op] = paravirt_native_ways[op]->function;
    }
}

uint64_t paravirt_double_count(enum paravirt_op_id op)
{
    return __atomic_load_n(&counts[op], __ATOMIC_RELAXED);
}

/* What a C function may do to its caller's registers: Intel 64 psABI, "Registers". */
static inline void registers_spoil(void)
{
    __asm__ volatile("movq $-1, %%rax\n\tmovq $-2, %%rcx\n\tmovq $-3, %%rdx\n\t"
                     "movq $-4, %%rsi\n\tmovq $-5, %%rdi\n\tmovq $-6, %%r8\n\t"
                     "movq $-7, %%r9\n\tmovq $-8, %%r10\n\tmovq $-9, %%r11" ::
                         : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
}

static inline void count(enum paravirt_op_id op)
{
    __atomic_fetch_add(&counts[op], 1, __ATOMIC_RELAXED);
}

#define BELOW(name, group, keeping, shape, types, ...)                                             \
    PARAVIRT_CALL_##keeping##_##shape(below_##name, name,                                          \
                                      "call *paravirt_double_below+%c[offset](%%rip)\n\t", types)
// cppcheck-suppress uninitvar ; written by the asm
PARAVIRT_TABLE(BELOW)

/* The functions, by shape. */
#define DOUBLE_NOTHING(name, types)                                                                \
    void paravirt_double_##name(void);                                                             \
    __attribute__((used)) void paravirt_double_##name(void)                                        \
    {                                                                                              \
        count(PARAVIRT_##name);                                                                    \
        below_##name();                                                                            \
        registers_spoil();                                                                         \
    }
#define DOUBLE_RETURNS(name, types)                                                                \
    PARAVIRT_FIRST(types) paravirt_double_##name(void);                                            \
    __attribute__((used)) PARAVIRT_FIRST(types) paravirt_double_##name(void)                       \
    {                                                                                              \
        PARAVIRT_FIRST(types) result = below_##name();                                             \
                                                                                                   \
        count(PARAVIRT_##name);                                                                    \
        registers_spoil();                                                                         \
        return result;                                                                             \
    }
#define DOUBLE_STACKED(name, types) DOUBLE_RETURNS(name, types)
#define DOUBLE_TAKES(name, types)                                                                  \
    void paravirt_double_##name(PARAVIRT_FIRST(types) first);                                      \
    __attribute__((used)) void paravirt_double_##name(PARAVIRT_FIRST(types) first)                 \
    {                                                                                              \
        count(PARAVIRT_##name);                                                                    \
        below_##name(first);                                                                       \
        registers_spoil();                                                                         \
    }
#define DOUBLE_TAKES2(name, types)                                                                 \
    void paravirt_double_##name(PARAVIRT_FIRST(types) first, PARAVIRT_SECOND(types) second);       \
    __attribute__((used)) void paravirt_double_##name(PARAVIRT_FIRST(types) first,                 \
                                                      PARAVIRT_SECOND(types) second)               \
    {                                                                                              \
        count(PARAVIRT_##name);                                                                    \
        below_##name(first, second);                                                               \
        registers_spoil();                                                                         \
    }
#define DOUBLE(name, group, keeping, shape, types, ...) DOUBLE_##shape(name, types)
PARAVIRT_TABLE(DOUBLE)

/* How a site gets there: where registers are kept, through a thunk. */
#define ENTRY_KEEPS_NOTHING(name) PARAVIRT_THUNK(paravirt_double_##name);
#define ENTRY_KEEPS_TAKES(name)   PARAVIRT_THUNK(paravirt_double_##name);
#define ENTRY_KEEPS_STACKED(name) PARAVIRT_THUNK_STACKED(paravirt_double_##name);
#define ENTRY_CALLS_NOTHING(name)
#define ENTRY_CALLS_TAKES(name)
#define ENTRY_CALLS_TAKES2(name)
#define ENTRY_CALLS_RETURNS(name)
#define ENTRY(name, group, keeping, shape, ...) ENTRY_##keeping##_##shape(name)
PARAVIRT_TABLE(ENTRY)

#define FUNCTION_KEEPS(name) paravirt_thunk_paravirt_double_##name
#define FUNCTION_CALLS(name) (paravirt_function *)paravirt_double_##name
#define WAY(op_name, group, keeping, ...)                                                          \
    [PARAVIRT_##op_name] = {.name = "double_" #op_name, .function = FUNCTION_##keeping(op_name)},
const struct paravirt_way paravirt_double_ways[PARAVIRT_OP_COUNT] = {PARAVIRT_TABLE(WAY)};

#define OWN(name, ...) [PARAVIRT_##name] = &paravirt_double_ways[PARAVIRT_##name],
const struct paravirt_backend paravirt_double_backend = {
    .name = "test double",
    .summary = "counts, spoils registers, and forwards to native",
    .ways = {PARAVIRT_TABLE(OWN)},
};
