// SPDX-License-Identifier: MIT
/* Dynamic calls that are really compiled into the test programs, and what each of them must look
 * like and do in every form. Invariant: before and after each test all are as at boot: closed, not
 * watched, slots empty, immediate; what is expected is worked out here from the picture in
 * patching/dynamic_call.h, without asking the code under test. Used by: test_dynamic_call*.c,
 * tests/fuzz/fuzz_dynamic_call.c. */
#pragma once

#include "patching/dynamic_call.h"

#include <stdbool.h>
#include <stdint.h>

/* How a function calls: keeps its frame for what follows; leaves it by a jump; some turns. */
enum dynamic_caller { BY_CALL, BY_TAIL, BY_LOOP, DYNAMIC_CALLERS };
enum { LOOP_TURNS = 3, SUBJECT_TARGETS = 6 };

/* Of the targets' real types, which differ. */
typedef static_call_function dynamic_function;
typedef uint64_t dynamic_calling(dynamic_function *function, uint64_t x, uint64_t y);

struct dynamic_subject {
    struct dynamic_call *call;
    dynamic_function *targets[SUBJECT_TARGETS];
    dynamic_calling *callers[DYNAMIC_CALLERS]; /* NULL: has none */
    uint32_t places;                           /* in the source that call it */
    uint64_t result_bits;                      /* of rax, that are defined behind a call */
};

/* With 1 to 4 slots in this order, then an instance: returning void, 64 bits, bool, a pointer, and
 * 32 bits. The fourth has arguments on the stack. */
enum { SUBJECTS = 5 };
extern const struct dynamic_subject dynamic_subjects[SUBJECTS];
extern const struct dynamic_subject *const subject_one, *const subject_two, *const subject_four;

/* For what needs the types. */
DECLARE_DYNAMIC_CALL(two, uint64_t(uint64_t, uint64_t), 2);
DECLARE_DYNAMIC_CALL_INSTANCES(each, unsigned(uint64_t, uint64_t), 1);
unsigned call_instance(unsigned instance, dynamic_function *function, uint64_t x, uint64_t y);

/* Counts of all CPUs of one call; dynamics_begin() clears and takes them away. */
enum { DYNAMIC_CPUS = 4 };
extern struct dynamic_count dynamic_counts[DYNAMIC_CPUS + 1]; /* one more, that is nobody's */

/* Calls target number @target (SUBJECT_TARGETS: NULL); fails unless just that one ran, with its
 * arguments, and what it returns came back. */
void dynamics_run(const struct dynamic_subject *subject, enum dynamic_caller caller,
                  unsigned target);
/* The same in pieces, around the call of a caller with X and Y. */
#define DYNAMIC_X 0x1000000000000123ull
#define DYNAMIC_Y 0x2000000000000456ull
void dynamics_run_begin(void);
/* Returns whether it was as it must be; who ran is in dynamics_reached(). */
bool dynamics_run_judge(const struct dynamic_subject *subject, enum dynamic_caller caller,
                        unsigned target, uint64_t result);
unsigned dynamics_reached(void);

/* By every caller of @subject every target, and NULL. */
void dynamics_expect_all_calls(const struct dynamic_subject *subject);

/* ---- Text (dynamics_text.c) ------------------------------------------------------------------ */

/* A form by target numbers, '.' for an empty slot: "ab..". */
struct dynamic_call_form dynamics_form(const struct dynamic_subject *subject, const char *slots,
                                       enum dynamic_compare compare, bool is_open, bool is_watched);

/* Fails unless bytes of all sites, trampolines and values are those of @form, and so says
 * look(). */
void dynamics_expect_text(const struct dynamic_subject *subject,
                          const struct dynamic_call_form *form);

/* Brings @subject there; must succeed. */
void dynamics_bring(const struct dynamic_subject *subject, const struct dynamic_call_form *form);

struct dynamic_call_view dynamics_look(const struct dynamic_subject *subject);

/* Resets the recorder; then the program's own text is patchable, and nothing is watched. */
void dynamics_begin(void);

/* Makes text writable and initializes the tables. Returns 0 or -1. */
int dynamics_initialize(void);

/* For cmocka. */
int dynamics_group_setup(void **state);
int dynamics_setup(void **state);
int dynamics_teardown(void **state);
#define DYNAMIC_TEST(function)                                                                     \
    cmocka_unit_test_setup_teardown(function, dynamics_setup, dynamics_teardown)
