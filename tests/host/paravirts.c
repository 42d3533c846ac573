// SPDX-License-Identifier: MIT
/* See paravirts.h. */
#include "tests/host/paravirts.h"

#include "patching/paravirt_thunk.h"
#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>
#include <sys/mman.h>

struct paravirt_sight paravirt_seen;

uint64_t paravirt_result(enum paravirt_op_id op, bool is_native)
{
    return 0x0123456789000000 + 16 * (uint64_t)op + is_native;
}

/* ---- ways ---- */

/* Leaves nothing in any register that a function need not keep, nor in the flags. */
static uint64_t note(enum paravirt_op_id op, bool is_native, uint64_t first, uint64_t second)
{
    uint64_t result = paravirt_result(op, is_native);

    paravirt_seen.calls++;
    paravirt_seen.op = op;
    paravirt_seen.is_native = is_native;
    paravirt_seen.first = first;
    paravirt_seen.second = second;
    __asm__ volatile("mov $-1, %%rcx\n\tmov %%rcx, %%rdx\n\tmov %%rcx, %%rsi\n\t"
                     "mov %%rcx, %%rdi\n\tmov %%rcx, %%r8\n\tmov %%rcx, %%r9\n\t"
                     "mov %%rcx, %%r10\n\tmov %%rcx, %%r11\n\tadd %%rcx, %%rcx\n\t"
                     : "+a"(result)::"rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc");
    return result;
}

#define OTHER_KEEPS_NOTHING(name)  PARAVIRT_THUNK(other_##name)
#define OTHER_KEEPS_TAKES(name)    PARAVIRT_THUNK(other_##name)
#define OTHER_KEEPS_STACKED(name)  PARAVIRT_THUNK_STACKED(other_##name)
#define OTHER_CALLS(name)          struct paravirt_subject /* no thunk */
#define OTHER_CALLS_NOTHING(name)  OTHER_CALLS(name)
#define OTHER_CALLS_TAKES(name)    OTHER_CALLS(name)
#define OTHER_CALLS_TAKES2(name)   OTHER_CALLS(name)
#define OTHER_CALLS_RETURNS(name)  OTHER_CALLS(name)
#define OTHER_FUNCTION_KEEPS(name) paravirt_thunk_other_##name
#define OTHER_FUNCTION_CALLS(name) (paravirt_function *)other_##name
#define OTHER_WAY(name, group, keeping, shape, types, kind, native, summary)                       \
    uint64_t other_##name(uint64_t first, uint64_t second);                                        \
    uint64_t other_##name(uint64_t first, uint64_t second)                                         \
    {                                                                                              \
        return note(PARAVIRT_##name, false, first, second);                                        \
    }                                                                                              \
    OTHER_##keeping##_##shape(name);                                                               \
    static const struct paravirt_way way_other_##name = {                                          \
        "other_" #name, OTHER_FUNCTION_##keeping(name), NULL, NULL, NULL};
PARAVIRT_TABLE(OTHER_WAY)

void native_lock_slow(struct spinlock *lock, uint32_t ticket)
{
    note(PARAVIRT_lock_slow, true, (uint64_t)lock, ticket);
}

void native_tlb_flush_local(void)
{
    note(PARAVIRT_tlb_flush_local, true, 0, 0);
}

void native_tlb_flush_all(void)
{
    note(PARAVIRT_tlb_flush_all, true, 0, 0);
}

void native_send_ipi(uint32_t cpu, uint32_t vector)
{
    note(PARAVIRT_send_ipi, true, cpu, vector);
}

void native_broadcast_ipi(uint32_t vector)
{
    note(PARAVIRT_broadcast_ipi, true, vector, 0);
}

uint64_t native_clock_read(void)
{
    return note(PARAVIRT_clock_read, true, 0, 0);
}

_Noreturn void panic(const char *format, ...);
_Noreturn void panic(const char *format, ...)
{
    fail_msg("panic: %s", format);
    abort();
}

/* ---- sites ---- */

#define RUNNER_NOTHING PARAVIRT_RUNNER
#define RUNNER_TAKES   PARAVIRT_RUNNER
#define RUNNER_TAKES2  PARAVIRT_RUNNER
#define RUNNER_RETURNS PARAVIRT_RUNNER
#define RUNNER_STACKED PARAVIRT_RUNNER_STACKED
#define RUNNER(name, group, keeping, shape, types, kind, native, summary)                          \
    RUNNER_##shape(run_##name, pv_ops, PARAVIRT_##name)
PARAVIRT_TABLE(RUNNER)

#define CALL_NOTHING(name, types) pv_##name()
#define CALL_TAKES(name, types)   pv_##name((PARAVIRT_FIRST(types))first)
#define CALL_TAKES2(name, types)                                                                   \
    pv_##name((PARAVIRT_FIRST(types))first, (PARAVIRT_SECOND(types))second)
#define CALL_RETURNS(name, types) result = pv_##name()
#define CALL_STACKED(name, types) result = pv_##name()

#define EACH_VALUE(DO, separator)                                                                  \
    DO(0)                                                                                          \
    separator DO(1) separator DO(2) separator DO(3) separator DO(4) separator DO(5)                \
        separator DO(6) separator DO(7) separator DO(8) separator DO(9)
#define VALUE_LOAD(i)  uint64_t value_##i = values[i]
#define VALUE_STORE(i) values[i] = value_##i + 1
#define VALUE_IN(i)    "+r"(value_##i)
#define COMMA          ,
_Static_assert(PARAVIRT_LIVE_VALUES == 10, "EACH_VALUE");

/* All values, and the arguments, are in registers in front of the call, or were put away by who
 * knows that it takes the registers. */
#define VALUES_IN_REGISTERS __asm__ volatile("" : EACH_VALUE(VALUE_IN, COMMA))
#define CALLER(name, group, keeping, shape, types, kind, native, summary)                          \
    __attribute__((noinline)) static uint64_t call_##name(uint64_t first, uint64_t second,         \
                                                          volatile uint64_t *values)               \
    {                                                                                              \
        uint64_t result = 0;                                                                       \
        EACH_VALUE(VALUE_LOAD, ;);                                                                 \
                                                                                                   \
        VALUES_IN_REGISTERS;                                                                       \
        CALL_##shape(name, types);                                                                 \
        VALUES_IN_REGISTERS;                                                                       \
        EACH_VALUE(VALUE_STORE, ;);                                                                \
        values[0] += first ^ second;                                                               \
        return result;                                                                             \
    }
PARAVIRT_TABLE(CALLER)

/* The second call needs its arguments once more. */
#define CALLER_TWICE(name, group, keeping, shape, types, kind, native, summary)                    \
    __attribute__((noinline)) static uint64_t call_twice_##name(uint64_t first, uint64_t second)   \
    {                                                                                              \
        uint64_t result = first ^ second;                                                          \
                                                                                                   \
        CALL_##shape(name, types);                                                                 \
        CALL_##shape(name, types);                                                                 \
        return result;                                                                             \
    }
PARAVIRT_TABLE(CALLER_TWICE)

#define KEEPING_KEEPS true
#define KEEPING_CALLS false
#define SUBJECT(name, group, keeping, op_shape, types, kind, native, summary)                      \
    [PARAVIRT_##name] = {.shape = PARAVIRT_SHAPE_##op_shape,                                       \
                         .keeps_registers = KEEPING_##keeping,                                     \
                         .other = &way_other_##name,                                               \
                         .run = run_##name,                                                        \
                         .call = call_##name,                                                      \
                         .call_twice = call_twice_##name},
const struct paravirt_subject paravirt_subjects[PARAVIRT_OP_COUNT] = {PARAVIRT_TABLE(SUBJECT)};

/* ---- what is expected ---- */

void paravirts_begin(void)
{
    recorder_reset();
    recorder.text_start = own_text_start();
    recorder.text_end = own_text_end();
}

struct paravirt_site *paravirts_unprotect_table(void)
{
    uint64_t start = (uint64_t)paravirt_sites_start & ~(uint64_t)4095;
    uint64_t table = (uint64_t)paravirt_sites_start;

    if (mprotect((void *)start, (uint64_t)paravirt_sites_end - start, PROT_READ | PROT_WRITE) !=
        0) {
        return NULL;
    }
    __asm__("" : "+r"(table));
    return (struct paravirt_site *)table;
}

int paravirts_group_setup(void **state)
{
    (void)state;
    if (own_text_unprotect() != 0 || paravirts_unprotect_table() == NULL) {
        return -1;
    }
    paravirts_begin();
    recorder.early_boot = true;
    recorder.ignores_unwatched = true;
    return paravirt_ops_initialize(NULL) == PATCH_OK ? 0 : -1;
}

void paravirts_expected(const struct paravirt_op *op, uint64_t address, enum paravirt_form form,
                        const struct paravirt_way *way, uint8_t bytes[PARAVIRT_SITE_LENGTH])
{
    bool is_indirect = form == PARAVIRT_INDIRECT;
    uint64_t target = is_indirect ? (uint64_t)&pv_ops[op - paravirt_ops] : (uint64_t)way->function;
    uint32_t distance = (uint32_t)(target - (address + PARAVIRT_SITE_LENGTH));

    if (form == PARAVIRT_INLINE && way->instruction != NULL) {
        size_t length = (size_t)(way->instruction_end - way->instruction);

        memset(bytes, 0x2e, PARAVIRT_SITE_LENGTH);
        memcpy(bytes + PARAVIRT_SITE_LENGTH - length, way->instruction, length);
        return;
    }
    bytes[0] = is_indirect ? 0xff : 0x2e;
    bytes[1] = is_indirect ? 0x15 : 0xe8;
    memcpy(bytes + 2, &distance, sizeof(distance));
}

void paravirts_watch(const struct paravirt_op *op, enum paravirt_form form,
                     const struct paravirt_way *way)
{
    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++) {
        uint8_t bytes[PARAVIRT_SITE_LENGTH];

        if (site->op == (uint64_t)(op - paravirt_ops)) {
            paravirts_expected(op, site->address, form, way, bytes);
            recorder_watch(site->address, (const uint8_t *)site->address, bytes, sizeof(bytes));
            recorder_watch_stand_in(site->address, (uint64_t)way->function);
        }
    }
}

void paravirts_expect(const struct paravirt_op *op, enum paravirt_form form,
                      const struct paravirt_way *way)
{
    enum paravirt_form shown =
        form == PARAVIRT_INLINE && way->instruction == NULL ? PARAVIRT_DIRECT : form;
    uint32_t count = 0;

    assert_ptr_equal(op->way, way);
    assert_int_equal(op->form, form);
    assert_false(op->is_changing);
    assert_ptr_equal(op->slot, &pv_ops[op - paravirt_ops]);
    assert_ptr_equal(*op->slot, way->function);
    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++) {
        uint8_t bytes[PARAVIRT_SITE_LENGTH];

        if (site->op == (uint64_t)(op - paravirt_ops)) {
            paravirts_expected(op, site->address, form, way, bytes);
            assert_memory_equal((const void *)site->address, bytes, sizeof(bytes));
            assert_int_equal(paravirt_site_shows(op, site), shown);
            count++;
        }
    }
    assert_int_equal(op->site_count, count);
    assert_true(count > 0);
}

void paravirts_take(struct paravirt_op *op, enum paravirt_form form, const struct paravirt_way *way)
{
    struct patch_change changes[] = {
        paravirt_form_change_to(op, PARAVIRT_DIRECT), /* for ways that cannot be inlined */
        paravirt_change_to(op, way),
        paravirt_form_change_to(op, form),
    };

    paravirts_begin();
    recorder.ignores_unwatched = true;
    for (size_t i = 0; i < ARRAY_COUNT(changes); i++) {
        assert_int_equal(patch_transaction("taken there", &changes[i], 1, NULL), PATCH_OK);
    }
    paravirts_begin();
}

void paravirts_expect_all(enum paravirt_form form, bool is_native)
{
    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        paravirts_expect(op_at(i), form, is_native ? native_of(i) : other_of(i));
    }
}

void paravirts_take_all(enum paravirt_form form, bool is_native)
{
    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        paravirts_take(op_at(i), form, is_native ? native_of(i) : other_of(i));
    }
}
