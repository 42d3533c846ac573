// SPDX-License-Identifier: MIT
/* Static calls: function pointers that cost a direct call, because changing one patches its calls.
 *
 *     DEFINE_STATIC_CALL(clock_read, clock_read_tsc);      at file scope, in a .c file
 *     DECLARE_STATIC_CALL(clock_read, clock_read_tsc);     in a header, if others call it
 *
 *     now = static_call(clock_read)();                     type-checked like any call
 *     status = static_call_update(clock_read, clock_read_hpet, &error);
 *
 * API: DEFINE_STATIC_CALL(_FORM, _OR_NULL, _NULL, _RETURN_ZERO), DECLARE_STATIC_CALL, static_call,
 * static_call_update, STATIC_CALL_CHOICE,
 * static_call_update_return_zero, static_call_change_to, static_call_set_form, static_call_plan,
 * static_call_find/first/next, static_call_target.
 *
 * How: static_call_NAME is a function of one instruction, the trampoline: `jmp target`. The
 * compiler sees an ordinary external function, and calls it, or jumps to it at the end of another
 * function. Out of line, that is all: an update patches the trampoline. Inline, the link-time pass
 * has listed every such call (call_site.h), and an update patches the calls themselves as well.
 *
 *                         call site        tail call      conditional one   trampoline
 *     target f            call f           jmp f          jcc f             jmp f
 *     NULL                nop5             ret            jcc to a ret      ret
 *     return 0            xor eax, eax     jmp to a       jcc to a          jmp to a function
 *                                          function that returns 0          that returns 0
 *     out of line         call trampoline  jmp trampoline jcc trampoline    as above
 *
 * Invariant: all sites and the trampoline of a call change in one batch: when an update has
 * returned, every CPU that calls reaches the new target, and until then each call reaches either.
 *
 * Traps for the reader: a thread may still be INSIDE the old target when the update returns; a
 * callee that goes away needs a grace period. A call may not be made from .text.nopatch, nor its
 * address taken: the pass refuses both. Names are unique, and global to the kernel. A target must
 * not call its own static call at its end: a loop. A NULL or return-0 inline call still evaluates
 * its arguments. */
#pragma once

#include "patching/call_site.h"
#include "patching/status.h"
#include "patching/transaction.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void static_call_function(void);

/* What a call does that has no target. */
enum static_call_empty {
    STATIC_CALL_NEEDS_TARGET, /* there is always one */
    STATIC_CALL_MAY_BE_NULL,  /* nothing: for functions that return void */
    STATIC_CALL_MAY_BE_ZERO,  /* returns 0: for int, bool, pointers and 64-bit integers */
};

enum static_call_form {
    STATIC_CALL_INLINE,      /* the calls go to the target */
    STATIC_CALL_OUT_OF_LINE, /* the calls go to the trampoline */
    STATIC_CALL_FORM_COUNT
};

/* The form of calls that do not name one: `make STATIC_CALLS=out-of-line` changes it. */
#ifndef STATIC_CALL_FORM_DEFAULT
#define STATIC_CALL_FORM_DEFAULT STATIC_CALL_INLINE
#endif

struct static_call {
    /* constant: */
    const char *name;
    enum static_call_empty empty;
    /* written once, by static_call_initialize(): */
    uint64_t trampoline;
    const struct call_site *sites; /* by address */
    uint32_t site_count;
    struct static_call *next; /* by name */
    /* under the patch lock; atomic, for readers without it: */
    static_call_function *target; /* NULL: without one */
    enum static_call_form form;
    bool is_changing; /* a transaction lists it */
};

/* Bytes of a trampoline, shared with the assembler text below: `jmp rel32`, or `ret` and int3. */
#define STATIC_CALL_TRAMPOLINE(call_name, instruction)                                             \
    __asm__(".pushsection .text.static_call, \"ax\", @progbits\n\t"                                \
            ".balign 8, 0xcc\n\t"                                                                  \
            ".globl static_call_" #call_name "\n\t"                                                \
            ".type static_call_" #call_name ", @function\n"                                        \
            "static_call_" #call_name ":\n\t" instruction ".size static_call_" #call_name          \
            ", . - static_call_" #call_name "\n\t"                                                 \
            ".popsection\n\t"                                                                      \
            ".pushsection static_calls, \"a\", @progbits\n\t"                                      \
            ".balign 8\n\t"                                                                        \
            ".quad static_call_data_" #call_name ", static_call_" #call_name "\n\t"                \
            ".popsection")

#define STATIC_CALL_JUMP(function) ".byte 0xe9\n\t.long " #function " - (. + 4)\n\t"

/* Whether function @like returns @type. Only of parameters that need no promotion (int or wider,
 * pointers) can a compiler tell; of others the answer is no. */
#define STATIC_CALL_RETURNS(like, type) __builtin_types_compatible_p(__typeof__(like), type())

#define STATIC_CALL_REQUIRE_VOID(call_name, like)                                                  \
    _Static_assert(STATIC_CALL_RETURNS(like, void),                                                \
                   #call_name ": a static call that may be NULL returns void")

/* What 0 in rax is a zero of: integers up to 64 bits, bool, pointers. Neither void (class 0),
 * floating point (8) nor complex (9); a structure cannot be made of 0 at all. */
#define STATIC_CALL_CLASS(type) __builtin_classify_type((type)0)
#define STATIC_CALL_REQUIRE_ZERO(call_name, type, like)                                            \
    _Static_assert(STATIC_CALL_RETURNS(like, type),                                                \
                   #call_name ": " #like " does not return " #type ", or takes what is promoted"); \
    _Static_assert(sizeof((type)0) <= sizeof(uint64_t) && STATIC_CALL_CLASS(type) != 0 &&          \
                       STATIC_CALL_CLASS(type) < 8,                                                \
                   #call_name                                                                      \
                   ": a static call that returns 0 returns an integer, bool or pointer")

#define STATIC_CALL_DATA(call_name, call_target, call_empty, call_form)                            \
    _Static_assert((unsigned)(call_form) < STATIC_CALL_FORM_COUNT, #call_name ": no such form");   \
    struct static_call static_call_data_##call_name                                                \
        __attribute__((used)) = {.name = #call_name,                                               \
                                 .empty = (call_empty),                                            \
                                 .target = (static_call_function *)(call_target),                  \
                                 .form = (call_form)}

/* Calls @function until the first update; @function is the name of one, visible here, and has the
 * type of all targets. */
#define DEFINE_STATIC_CALL(call_name, function)                                                    \
    DEFINE_STATIC_CALL_FORM(call_name, function, STATIC_CALL_FORM_DEFAULT)

/* The same in a form of its own: STATIC_CALL_INLINE or STATIC_CALL_OUT_OF_LINE. */
#define DEFINE_STATIC_CALL_FORM(call_name, function, call_form)                                    \
    DECLARE_STATIC_CALL(call_name, function);                                                      \
    STATIC_CALL_DATA(call_name, &(function), STATIC_CALL_NEEDS_TARGET, call_form);                 \
    STATIC_CALL_TRAMPOLINE(call_name, STATIC_CALL_JUMP(function))

/* The same, and an update to NULL makes it do nothing. @function returns void and takes what needs
 * no promotion (int or wider, pointers), which is checked. */
#define DEFINE_STATIC_CALL_OR_NULL(call_name, function)                                            \
    DECLARE_STATIC_CALL(call_name, function);                                                      \
    STATIC_CALL_REQUIRE_VOID(call_name, function);                                                 \
    STATIC_CALL_DATA(call_name, &(function), STATIC_CALL_MAY_BE_NULL, STATIC_CALL_FORM_DEFAULT);   \
    STATIC_CALL_TRAMPOLINE(call_name, STATIC_CALL_JUMP(function))

/* The same, and does nothing until the first update. @like is a function of the type of all
 * targets. */
#define DEFINE_STATIC_CALL_NULL(call_name, like)                                                   \
    DECLARE_STATIC_CALL(call_name, like);                                                          \
    STATIC_CALL_REQUIRE_VOID(call_name, like);                                                     \
    STATIC_CALL_DATA(call_name, NULL, STATIC_CALL_MAY_BE_NULL, STATIC_CALL_FORM_DEFAULT);          \
    STATIC_CALL_TRAMPOLINE(call_name, "ret\n\t.fill 4, 1, 0xcc\n\t")

/* Returns 0 (false, NULL) until the first update, and again after static_call_update_return_zero().
 * @like is a function of the type of all targets; it returns @type, an integer, bool or a pointer,
 * and takes what needs no promotion; both is checked. */
#define DEFINE_STATIC_CALL_RETURN_ZERO(call_name, type, like)                                      \
    DECLARE_STATIC_CALL(call_name, like);                                                          \
    STATIC_CALL_REQUIRE_ZERO(call_name, type, like);                                               \
    STATIC_CALL_DATA(call_name, NULL, STATIC_CALL_MAY_BE_ZERO, STATIC_CALL_FORM_DEFAULT);          \
    STATIC_CALL_TRAMPOLINE(call_name, STATIC_CALL_JUMP(static_call_return_zero))

/* For a header; @like is a function of the type of all targets, declared there. */
#define DECLARE_STATIC_CALL(call_name, like)                                                       \
    extern struct static_call static_call_data_##call_name;                                        \
    extern __typeof__(like) static_call_##call_name

/* What stands before the arguments. Context: that of the targets, but not in .text.nopatch. */
#define static_call(call_name) (static_call_##call_name)

/* Lets @call_name go to @function (of the type of its targets, checked; NULL if it may be NULL).
 * @error (struct patch_error *, may be NULL) names the culprit.
 * Context: platform_may_patch(): any thread, or early boot from static_call_initialize() on; patch
 * lock not held.
 * Ordering: on PATCH_OK every CPU calls @function; what the caller did before is visible in it.
 * Returns PATCH_ERR_NO_TARGET for a NULL that the call forbids, PATCH_ERR_RANGE for a target
 * beyond +-2 GiB of a site, PATCH_ERR_TARGET_IN_SITE for the call's own trampoline, and what the
 * batch returns; then nothing has changed. Leaves a record: who = the call's name. Costs 0 rounds
 * and no record if @function is the target already. */
#define static_call_update(call_name, function, error)                                             \
    __extension__({                                                                                \
        __typeof__(static_call_##call_name) *static_call_wanted = (function);                      \
        static_call_set(&static_call_data_##call_name, (static_call_function *)static_call_wanted, \
                        (error));                                                                  \
    })

/* The same, to a call that returns 0; the call was defined so. */
#define static_call_update_return_zero(call_name, error)                                           \
    static_call_set(&static_call_data_##call_name, NULL, (error))

/* Registers @function by name as a possible target of @call_name, for whoever chooses at run time
 * (shell, command line). At file scope; the type is checked. @obstacle: a function that says why it
 * is not possible here, or returns NULL; it may be missing. */
#define STATIC_CALL_CHOICE(call_name, function) STATIC_CALL_CHOICE_UNLESS(call_name, function, NULL)
#define STATIC_CALL_CHOICE_UNLESS(call_name, function, obstacle_function)                          \
    _Static_assert(                                                                                \
        __builtin_types_compatible_p(__typeof__(function), __typeof__(static_call_##call_name)),   \
        #function ": not of the type of the targets of " #call_name);                              \
    static const struct static_call_choice static_call_choice_##call_name##_##function             \
        __attribute__((used, aligned(8), section("static_call_choices"))) = {                      \
            .call = &static_call_data_##call_name,                                                 \
            .name = #function,                                                                     \
            .target = (static_call_function *)&(function),                                         \
            .obstacle = (obstacle_function)}

struct static_call_choice {
    struct static_call *call;
    const char *name;
    static_call_function *target;
    const char *(*obstacle)(void);
};
_Static_assert(sizeof(struct static_call_choice) == 32, "entries of section static_call_choices");
extern const struct static_call_choice static_call_choices_start[], static_call_choices_end[];

/* static_call_update() without the check of types. */
PATCH_MUST_CHECK enum patch_status static_call_set(struct static_call *call,
                                                   static_call_function *target,
                                                   struct patch_error *error);

/* Makes the calls inline or not, in one batch. Context, ordering and returns as
 * static_call_update(); PATCH_ERR_INSTRUCTION for an unknown form. */
PATCH_MUST_CHECK enum patch_status static_call_set_form(struct static_call *call,
                                                        enum static_call_form form,
                                                        struct patch_error *error);

/* An update as part of a transaction (transaction.h), with the same rules and without the check of
 * types. Context: any. */
struct patch_change static_call_change_to(struct static_call *call, static_call_function *target);

/* What an update would do, byte for byte, without doing it; see patch_plan_locked(). Context as
 * static_call_update(). */
PATCH_MUST_CHECK enum patch_status static_call_plan(struct static_call *call,
                                                    static_call_function *target,
                                                    patch_plan_visitor *visit, void *context,
                                                    struct patch_plan *plan,
                                                    struct patch_error *error);

/* Attaches the sites of the table to their calls and makes the calls inline whose form that is.
 * Before, every call works, through its trampoline.
 * Context: once, early boot: one CPU, interrupts off from before the call until after it.
 * Returns PATCH_ERR_DUPLICATE (a name), PATCH_ERR_INSTRUCTION (a site is not what the table says),
 * PATCH_ERR_RANGE, PATCH_ERR_NOT_TEXT or PATCH_ERR_WRITE; @error (may be NULL) names the culprit.
 */
PATCH_MUST_CHECK enum patch_status static_call_initialize(struct patch_error *error);

/* Where calls of @call go; NULL without a target. May be outdated on return. Context: any. */
static_call_function *static_call_target(const struct static_call *call);
enum static_call_form static_call_form(const struct static_call *call);

/* All calls in the order of their names; NULL at the end, or if there is none of that name.
 * Context: any, after static_call_initialize(). */
struct static_call *static_call_first(void);
struct static_call *static_call_next(const struct static_call *call);
struct static_call *static_call_find(const char *name);

/* Where tail calls go that have no target. */
void static_call_return_nothing(void);
long static_call_return_zero(void);

/* An entry of section static_calls, and its bounds. */
struct static_call_entry {
    struct static_call *call;
    uint64_t trampoline;
};
_Static_assert(sizeof(struct static_call_entry) == 16, "entries of section static_calls");
extern const struct static_call_entry static_calls_start[], static_calls_end[];
