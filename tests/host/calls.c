// SPDX-License-Identifier: MIT
/* Calls, their targets and callers; see calls.h. */
#include "tests/host/calls.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>
#include <sys/mman.h>

#define POISON      UINT64_MAX            /* rax before a call from assembler */
#define NOT_TAKEN   0x0123456789abcdefull /* rax where a conditional tail call was none */
#define RESULT_A    0xaaaaaaaabbbbbb01ull
#define RESULT_B    0x5555555566666602ull
#define ARGUMENT(n) (0x1000000000000000ull * (n) + (n))

/* What ran last, and with what. */
static struct {
    unsigned state; /* STATE_COUNT: nothing */
    unsigned calls;
    uint64_t x, y;
} seen;

__attribute__((noinline)) static uint64_t note(unsigned state, uint64_t x, uint64_t y)
{
    seen.state = state;
    seen.calls++;
    seen.x = x;
    seen.y = y;
    return state == STATE_A ? RESULT_A : RESULT_B;
}

#define TARGETS(name, linkage, type)                                                               \
    linkage type name##_a(uint64_t x, uint64_t y)                                                  \
    {                                                                                              \
        return (type)note(STATE_A, x, y);                                                          \
    }                                                                                              \
    linkage type name##_b(uint64_t x, uint64_t y)                                                  \
    {                                                                                              \
        return (type)note(STATE_B, x, y);                                                          \
    }

TARGETS(wide, static, uint64_t)
TARGETS(narrow, static, int)
TARGETS(truth, static, bool)
TARGETS(pointer, static, void *)
TARGETS(nothing, , void)

DEFINE_STATIC_CALL_FORM(plain, wide_a, STATIC_CALL_INLINE);
DEFINE_STATIC_CALL_FORM(outer, wide_a, STATIC_CALL_OUT_OF_LINE);
DEFINE_STATIC_CALL_OR_NULL(nullable, nothing_a);
DEFINE_STATIC_CALL_NULL(null_first, nothing_a);
DEFINE_STATIC_CALL_RETURN_ZERO(zero_wide, uint64_t, wide_a);
DEFINE_STATIC_CALL_RETURN_ZERO(zero_narrow, int, narrow_a);
DEFINE_STATIC_CALL_RETURN_ZERO(zero_truth, bool, truth_a);
DEFINE_STATIC_CALL_RETURN_ZERO(zero_pointer, void *, pointer_a);
DEFINE_STATIC_CALL_OR_NULL(lonely, nothing_a);

STATIC_CALL_CHOICE(plain, wide_a);
STATIC_CALL_CHOICE(plain, wide_b);

/* The branch is taken unless x is 0. */
#define ASSEMBLED_CALLERS(name)                                                                    \
    __asm__(".pushsection .text\n"                                                                 \
            ".type " #name "_by_call, @function\n" #name "_by_call:\n\t"                           \
            "subq $8, %rsp\n\tmovq $-1, %rax\n\tcall static_call_" #name "\n\t"                    \
            "addq $8, %rsp\n\tret\n"                                                               \
            ".type " #name "_by_jump, @function\n" #name "_by_jump:\n\t"                           \
            "movq $-1, %rax\n\tjmp static_call_" #name "\n"                                        \
            ".type " #name "_by_jump_if, @function\n" #name "_by_jump_if:\n\t"                     \
            "movq $-1, %rax\n\ttestq %rdi, %rdi\n\tjnz static_call_" #name "\n\t"                  \
            "movabsq $0x0123456789abcdef, %rax\n\tret\n\t.popsection");                            \
    extern static_call_function name##_by_call, name##_by_jump, name##_by_jump_if

/* The first keeps its frame for what follows the call; the second is left by a jump. */
#define COMPILED_CALLERS(name, type, type_of_result, result)                                       \
    __attribute__((noinline)) static type name##_compiled_call(uint64_t x, uint64_t y)             \
    {                                                                                              \
        type_of_result static_call(name)(x, y);                                                    \
        __asm__ volatile("");                                                                      \
        return result;                                                                             \
    }                                                                                              \
    __attribute__((noinline)) static type name##_compiled_tail(uint64_t x, uint64_t y)             \
    {                                                                                              \
        return static_call(name)(x, y);                                                            \
    }

#define CALLERS_WITH_RESULT(name, type)                                                            \
    ASSEMBLED_CALLERS(name);                                                                       \
    COMPILED_CALLERS(name, type, type returned =, returned)
#define CALLERS_WITHOUT_RESULT(name)                                                               \
    ASSEMBLED_CALLERS(name);                                                                       \
    COMPILED_CALLERS(name, void, , )

CALLERS_WITH_RESULT(plain, uint64_t)
CALLERS_WITH_RESULT(outer, uint64_t)
CALLERS_WITHOUT_RESULT(nullable)
CALLERS_WITHOUT_RESULT(null_first)
CALLERS_WITH_RESULT(zero_wide, uint64_t)
CALLERS_WITH_RESULT(zero_narrow, int)
CALLERS_WITH_RESULT(zero_truth, bool)
CALLERS_WITH_RESULT(zero_pointer, void *)

#define FUNCTION(name) (static_call_function *)(name)
#define TESTED(name, target, bits, first, form)                                                    \
    {                                                                                              \
        .call = &static_call_data_##name,                                                          \
        .targets = {FUNCTION(target##_a), FUNCTION(target##_b), NULL},                             \
        .callers = {FUNCTION(name##_by_call), FUNCTION(name##_by_jump),                            \
                    FUNCTION(name##_by_jump_if), FUNCTION(name##_compiled_call),                   \
                    FUNCTION(name##_compiled_tail)},                                               \
        .result_bits = (bits), .initial = (first), .initial_form = (form),                         \
    }

const struct tested_call tested_calls[TESTED_CALLS] = {
    TESTED(plain, wide, UINT64_MAX, STATE_A, STATIC_CALL_INLINE),
    TESTED(outer, wide, UINT64_MAX, STATE_A, STATIC_CALL_OUT_OF_LINE),
    TESTED(nullable, nothing, 0, STATE_A, STATIC_CALL_FORM_DEFAULT),
    TESTED(null_first, nothing, 0, STATE_EMPTY, STATIC_CALL_FORM_DEFAULT),
    TESTED(zero_wide, wide, UINT64_MAX, STATE_EMPTY, STATIC_CALL_FORM_DEFAULT),
    TESTED(zero_narrow, narrow, UINT32_MAX, STATE_EMPTY, STATIC_CALL_FORM_DEFAULT),
    TESTED(zero_truth, truth, UINT8_MAX, STATE_EMPTY, STATIC_CALL_FORM_DEFAULT),
    TESTED(zero_pointer, pointer, UINT64_MAX, STATE_EMPTY, STATIC_CALL_FORM_DEFAULT),
};
const struct tested_call *const call_plain = &tested_calls[0];
const struct tested_call *const call_outer = &tested_calls[1];
const struct tested_call *const call_nullable = &tested_calls[2];
const struct tested_call *const call_zero = &tested_calls[4];

static const struct tested_call lonely = {
    .call = &static_call_data_lonely,
    .targets = {FUNCTION(nothing_a), FUNCTION(nothing_b), NULL},
};
const struct tested_call *const call_lonely = &lonely;

bool tested_call_has(const struct tested_call *tested, enum call_state state)
{
    return state != STATE_EMPTY || tested->call->empty != STATIC_CALL_NEEDS_TARGET;
}

static void put_relative(uint8_t *bytes, size_t length, uint64_t address, uint64_t target)
{
    int32_t distance = (int32_t)(target - (address + length));

    memcpy(bytes + length - sizeof(distance), &distance, sizeof(distance));
}

/* The column of the picture in static_call.h that @kind stands for; row: the target, or which kind
 * of none. */
static void expected_bytes(const struct call_site *site, enum static_call_empty empty,
                           static_call_function *target, uint8_t *bytes)
{
    static const uint8_t nop5[] = {0x0f, 0x1f, 0x44, 0x00, 0x00};
    static const uint8_t xor5[] = {0x2e, 0x2e, 0x2e, 0x31, 0xc0};
    static const uint8_t ret5[] = {0xc3, 0xcc, 0xcc, 0xcc, 0xcc};
    bool is_zero = empty == STATIC_CALL_MAY_BE_ZERO;
    static_call_function *none =
        is_zero ? FUNCTION(static_call_return_zero) : static_call_return_nothing;

    if (site->kind == CALL_SITE_CALL && target == NULL) {
        memcpy(bytes, is_zero ? xor5 : nop5, 5);
    } else if (site->kind == CALL_SITE_JUMP && target == NULL && !is_zero) {
        memcpy(bytes, ret5, 5);
    } else {
        bytes[0] = site->kind == CALL_SITE_CALL ? 0xe8 : 0xe9;
        if (site->kind == CALL_SITE_JUMP_IF) {
            bytes[0] = 0x0f;
            bytes[1] = ((const uint8_t *)site->address)[1]; /* never changes; see below */
        }
        put_relative(bytes, site->length, site->address,
                     (uint64_t)(target != NULL ? target : none));
    }
}

static void expected_site_bytes(const struct tested_call *tested, const struct call_site *site,
                                enum static_call_form form, enum call_state state, uint8_t *bytes)
{
    expected_bytes(site, tested->call->empty,
                   form == STATIC_CALL_OUT_OF_LINE
                       ? (static_call_function *)tested->call->trampoline
                       : tested->targets[state],
                   bytes);
}

/* The trampoline is a jump. */
static void expected_trampoline(const struct tested_call *tested, enum call_state state,
                                uint8_t *bytes)
{
    const struct call_site site = {tested->call->trampoline, 0, CALL_SITE_JUMP, 5};

    expected_bytes(&site, tested->call->empty, tested->targets[state], bytes);
}

void calls_watch(const struct tested_call *tested, enum static_call_form form,
                 enum call_state state)
{
    const struct static_call *call = tested->call;
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];

    for (uint32_t i = 0; i < call->site_count; i++) {
        const struct call_site *site = &call->sites[i];

        expected_site_bytes(tested, site, form, state, bytes);
        recorder_watch(site->address, (const uint8_t *)site->address, bytes, site->length);
    }
    expected_trampoline(tested, state, bytes);
    recorder_watch(call->trampoline, (const uint8_t *)call->trampoline, bytes, 5);
}

void calls_expect_text(const struct tested_call *tested, enum static_call_form form,
                       enum call_state state)
{
    const struct static_call *call = tested->call;
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];

    assert_ptr_equal(static_call_target(call), tested->targets[state]);
    assert_int_equal(static_call_form(call), form);
    for (uint32_t i = 0; i < call->site_count; i++) {
        const struct call_site *site = &call->sites[i];

        expected_site_bytes(tested, site, form, state, bytes);
        assert_memory_equal((const void *)site->address, bytes, site->length);
    }
    expected_trampoline(tested, state, bytes);
    assert_memory_equal((const void *)call->trampoline, bytes, 5);
}

void calls_run_begin(void)
{
    seen.state = STATE_COUNT;
    seen.calls = 0;
}

/* A target ran once: with its arguments, and what it returned came back. */
static bool is_called_well(const struct tested_call *tested, uint64_t x, uint64_t y,
                           uint64_t result)
{
    uint64_t returned = seen.state == STATE_A ? RESULT_A : RESULT_B;

    if (tested->result_bits == UINT8_MAX) { /* bool */
        returned = 1;
    }
    return seen.x == x && seen.y == y && ((result ^ returned) & tested->result_bits) == 0;
}

/* No target ran: a call of type void leaves rax alone, any other clears all of it. */
static bool is_empty_well(const struct tested_call *tested, unsigned caller, uint64_t result)
{
    bool is_poisoned = caller <= BY_JUMP_IF;

    if (tested->result_bits == 0) {
        return !is_poisoned || result == POISON;
    }
    return (is_poisoned ? result : result & tested->result_bits) == 0;
}

unsigned calls_run_judge(const struct tested_call *tested, unsigned caller, uint64_t x, uint64_t y,
                         uint64_t result)
{
    if (seen.calls == 1) {
        return is_called_well(tested, x, y, result) ? seen.state : STATE_COUNT;
    }
    if (seen.calls == 0 && caller == BY_JUMP_IF && x == 0) {
        return result == NOT_TAKEN ? STATE_NOT_CALLED : STATE_COUNT;
    }
    return seen.calls == 0 && is_empty_well(tested, caller, result) ? STATE_EMPTY : STATE_COUNT;
}

unsigned calls_run(const struct tested_call *tested, unsigned caller, uint64_t x, uint64_t y)
{
    calls_run_begin();
    return calls_run_judge(tested, caller, x, y,
                           ((calling_function *)tested->callers[caller])(x, y));
}

void calls_expect_execution(const struct tested_call *tested, enum call_state state)
{
    for (unsigned caller = 0; caller < CALLERS; caller++) {
        unsigned reached = calls_run(tested, caller, ARGUMENT(caller + 1), ARGUMENT(9));

        if (reached != state) {
            fail_msg("%s: caller %u reached %u instead of %u", tested->call->name, caller, reached,
                     state);
        }
    }
    assert_int_equal(calls_run(tested, BY_JUMP_IF, 0, 1), STATE_NOT_CALLED);
}

void calls_begin(void)
{
    recorder_reset();
    recorder.text_start = own_text_start();
    recorder.text_end = own_text_end();
}

void calls_bring(const struct tested_call *tested, enum static_call_form form,
                 enum call_state state)
{
    enum call_state present = 0;

    while (tested->targets[present] != static_call_target(tested->call)) {
        present++;
    }
    calls_begin();
    calls_watch(tested, form, present);
    assert_int_equal(static_call_set_form(tested->call, form, NULL), PATCH_OK);
    calls_begin();
    calls_watch(tested, form, state);
    assert_int_equal(static_call_set(tested->call, tested->targets[state], NULL), PATCH_OK);
    recorder_expect_synced();
    calls_begin();
}

int calls_unprotect(const void *start, const void *end)
{
    uint64_t page = (uint64_t)start & ~(uint64_t)4095;

    return mprotect((void *)page, (uint64_t)end - page, PROT_READ | PROT_WRITE | PROT_EXEC);
}

int calls_setup(void **state)
{
    (void)state;
    calls_begin();
    return 0;
}

int calls_teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < TESTED_CALLS; i++) {
        calls_bring(&tested_calls[i], tested_calls[i].initial_form, tested_calls[i].initial);
    }
    calls_bring(call_lonely, STATIC_CALL_FORM_DEFAULT, STATE_A);
    return 0;
}

static const struct tested_call *find_by_trampoline(uint64_t trampoline)
{
    for (const struct static_call_entry *entry = static_calls_start; entry < static_calls_end;
         entry++) {
        for (size_t i = 0; i < TESTED_CALLS && entry->trampoline == trampoline; i++) {
            if (tested_calls[i].call == entry->call) {
                return &tested_calls[i];
            }
        }
    }
    return NULL;
}

/* All that initialize will write: the sites of inline calls. */
static void watch_linked_sites(void)
{
    for (const struct call_site *site = call_sites_start; site < call_sites_end; site++) {
        const struct tested_call *tested = find_by_trampoline(site->function);
        uint8_t bytes[PATCH_SITE_LENGTH_MAX];

        assert_non_null(tested);
        if (tested->initial_form == STATIC_CALL_INLINE) {
            expected_bytes(site, tested->call->empty, tested->targets[tested->initial], bytes);
            recorder_watch(site->address, (const uint8_t *)site->address, bytes, site->length);
        }
    }
}

int calls_group_setup(void **state)
{
    struct patch_error error;

    (void)state;
    if (own_text_unprotect() != 0) {
        return -1;
    }
    calls_begin();
    recorder.early_boot = true;
    watch_linked_sites();
    return static_call_initialize(&error) == PATCH_OK && recorder.rounds == 1 ? 0 : -1;
}
