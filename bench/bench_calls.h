// SPDX-License-Identifier: MIT
/* What the forms of a call cost. Invariant: what the loop costs without a call is measured beside
 * each form, and subtracted. Callers: bench_calls.c, bench_seed_calls.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/bench_blocks.h"
#include "bench/bench_call_loops.h"
#include "kernel/shell.h"

/* In the order of the table; those before CALL_FORM_PLAIN_END need no preparation. */
enum call_form_id {
    CALL_FORM_NOTHING,     /* the loop alone */
    CALL_FORM_DIRECT,      /* call target */
    CALL_FORM_INLINE,      /* static call, its site patched */
    CALL_FORM_OUT_OF_LINE, /* static call, its trampoline patched */
    CALL_FORM_WRAPPER,     /* of a function that calls the target and returns */
    CALL_FORM_INDIRECT,    /* call *register, no thunk */
    CALL_FORM_UNTRACED,    /* direct, of a target that has the tracer's nop at its entry */
    CALL_FORM_PLAIN_END,
    CALL_FORM_THUNK_RETPOLINE = CALL_FORM_PLAIN_END, /* what compilers make of an indirect call */
    CALL_FORM_THUNK_LFENCE,
    CALL_FORM_THUNK_NONE,
    CALL_FORM_LAZY,       /* lazy call, its site found and patched */
    CALL_FORM_LAZY_FIRST, /* lazy call, its site not known yet: stub, report, thunk */
    CALL_FORM_TRACED,     /* as UNTRACED, and every call is recorded */
    CALL_FORM_COUNT
};

/* bench_call_state.c: the static and lazy calls of the loops. */

/* False, having said which, if the shell has changed a static call of the loops. @command begins
 * the line. */
bool call_loops_are_intact(const char *command);

/* The lazy call of call_loop_lazy; its one site is made unknown, or patched. The worker is held
 * (kernel/patch_worker.h). False, having said why, if that failed. Context: thread. */
bool call_lazy_forget(void);
bool call_lazy_converge(void);

/* Calls that went through the stub since call_lazy_forget(). */
uint64_t call_lazy_slow_calls(void);

/* What one call executes, counted by single steps. */
struct call_counts {
    bool is_known; /* false: an instruction was met that instruction_shape() refuses */
    uint64_t instructions, bytes;
    uint64_t branches; /* taken or not: call, ret, jmp, jcc */
};

/* One form. */
struct call_result {
    const char *mitigation; /* of the thunk that is passed; NULL: none is */
    struct bench_times times;
    struct call_counts counts;
};

#define CALL_BLOCK      1000u /* calls between two looks at the clock, interrupts off */
#define CALL_BLOCKS_MAX 1000u

/* In the order of enum call_form_id. */
struct call_form {
    const char *name;
    const char *mitigation; /* to be set; NULL: as it is */
    call_loop *loop;
};
extern const struct call_form call_forms[CALL_FORM_COUNT];

struct call_request {
    const char *command;   /* begins what it says; only "bench calls" asks for prepared forms */
    enum call_form_id end; /* the forms before this one */
    uint32_t blocks;       /* this many of CALL_BLOCK calls each; of one of CALL_FORM_LAZY_FIRST */
    uint64_t budget_ns; /* but after this time in one setting no more, 1 at least; 0: no budget */
};

/* Measures forms, in turn those that need the same setting, and counts what a call executes.
 * Mitigation and tracer are afterwards as before, the lazy call as at boot. Context: thread.
 * Returns COMMAND_FAILED after a message: Ctrl-C, a batch that failed. */
enum command_result call_forms_measure(struct shell_session *session,
                                       const struct call_request *request,
                                       struct call_result *results);

/* bench_call_steps.c: what @loop executes that is told to make @calls calls, and the difference of
 * two runs. Context: thread, patch lock held. */
struct call_counts call_steps_run(call_loop *loop, uint64_t calls);
struct call_counts call_counts_difference(const struct call_counts *more,
                                          const struct call_counts *less);

/* Counts what a call of @loop executes, the loop's share subtracted; less: a pass of @loop, less
 * one of @empty. Context: thread, patch lock not held. */
struct call_counts call_steps_count(call_loop *loop);
struct call_counts call_steps_count_less(call_loop *loop, call_loop *empty);

/* The same for the first call of @loop, which differs from all others. Nothing of it has happened
 * since whatever makes it a first one again. */
struct call_counts call_steps_count_first(call_loop *loop);

/* bench_seed_calls.c: the rows of seed 2 in the table of `bench seeds`, and behind that table the
 * bytes they are about. */
struct table;
bool bench_seed_calls_measure(struct shell_session *session);
void bench_seed_calls_print_rows(struct table *table);
void bench_seed_calls_print_text(bool json);
