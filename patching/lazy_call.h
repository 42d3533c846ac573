// SPDX-License-Identifier: MIT
/* Lazy calls: function pointers whose calls become direct ones without anybody listing them: each
 * call site is found when it is executed for the first time.
 *
 *     DEFINE_LAZY_CALL(checksum, checksum_portable);       at file scope, in a .c file
 *     DECLARE_LAZY_CALL(checksum, checksum_portable);      in a header, if others call it
 *
 *     sum = lazy_call(checksum)(data, length);             type-checked like any call
 *     status = lazy_call_update(checksum, checksum_fast, &error);
 *
 * API: DEFINE_LAZY_CALL, DECLARE_LAZY_CALL, lazy_call, lazy_call_update, lazy_call_set,
 * lazy_call_change_to, lazy_call_forget, lazy_calls_patch_reported, lazy_call_initialize,
 * lazy_call_first/next/find, lazy_call_target, lazy_call_statistics, lazy_call_site_next.
 *
 * How: lazy_call_NAME is a stub: to the compiler an ordinary external function. As linked, every
 * call goes there. The stub reports its return address and jumps to the target, which it reads from
 * memory: an indirect call, right at any time and in any context. A worker of the host collects the
 * reports, looks whether `call lazy_call_NAME` stands before the return address, and makes all
 * such calls direct ones in one batch. From then on the site costs what a direct call costs.
 *
 *     call site                     stub                            host's worker
 *     call stub  ---------------->  reports the site, asks  ----->  collects, checks,
 *                target  <--------  jumps to the target             patches in one batch
 *     call target                   (not reached from here any more)
 *
 * Against a list made by the linker (static_call.h): no table, no pass over the object files; calls
 * that are never executed cost nothing. In return the first calls are slow, a batch is paid for
 * each bunch of sites found, and a tail call (jmp stub) stays slow for ever: its return address is
 * that of another call.
 *
 * Invariant: a site found is, as the patch lock is free, either a call of the stub or a call of the
 * target. So after an update has returned, a call that begins goes to the new target: directly, if
 * its site was changed by the batch, or through the stub, which reads the new target. See "Lazy
 * calls" in README.md for the races.
 *
 * Traps for the reader: a thread may still be INSIDE the old target when the update returns, or in
 * the stub, about to jump there: what it does then is what it would do, had it been preempted at
 * the first instruction of the target. A callee that goes away needs a grace period. The stub is
 * not called from .text.nopatch, nor is its address taken: the link-time pass refuses both.
 * Integers and pointers are passed through, vector registers are not. A target must not call its
 * own lazy call at its end: a loop. platform_request_work() makes no lazy call. */
#pragma once

#include "patching/status.h"
#include "patching/transaction.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void lazy_call_function(void);

enum {
    LAZY_SITES_MAX = 3072, /* of all calls together; calls through others stay indirect */
    LAZY_ATTEMPTS_MAX = 3, /* to patch one site, before it stays as it is */
    LAZY_CALL_SHARDS = 8,  /* CPU c counts in shard c % 8 */
};

/* Counted by the stub, in any context. */
struct lazy_call_shard {
    _Alignas(64) uint64_t slow_calls;
    uint64_t reported, overflowed, unpatchable, unlisted;
};

struct lazy_call {
    /* lazy_call_enter.asm reads it. Written under the patch lock, atomically: */
    lazy_call_function *target;
    /* constant: */
    const char *name;
    /* written once, by lazy_call_initialize(): */
    uint64_t stub;
    struct lazy_call *next; /* by name */
    /* under the patch lock: */
    bool is_changing;      /* a transaction lists it */
    uint64_t merged;       /* reports of sites that were known */
    uint64_t patched_last; /* ticks; 0: nothing yet */
    /* atomic: */
    uint64_t reported_first; /* ticks; 0: nothing yet */
    struct lazy_call_shard shards[LAZY_CALL_SHARDS];
};
_Static_assert(offsetof(struct lazy_call, target) == 0, "lazy_call_enter.asm");

/* In: as a call of the target. r11 and rax excepted, which no argument needs, all registers reach
 * it as they were. */
#define LAZY_CALL_STUB(call_name)                                                                  \
    __asm__(".pushsection .text.lazy_call, \"ax\", @progbits\n\t"                                  \
            ".balign 16, 0xcc\n\t"                                                                 \
            ".globl lazy_call_" #call_name "\n\t"                                                  \
            ".type lazy_call_" #call_name ", @function\n"                                          \
            "lazy_call_" #call_name ":\n\t"                                                        \
            "leaq lazy_call_data_" #call_name "(%rip), %r11\n\t"                                   \
            "jmp lazy_call_enter\n\t"                                                              \
            ".size lazy_call_" #call_name ", . - lazy_call_" #call_name "\n\t"                     \
            ".popsection\n\t"                                                                      \
            ".pushsection lazy_calls, \"a\", @progbits\n\t"                                        \
            ".balign 8\n\t"                                                                        \
            ".quad lazy_call_data_" #call_name ", lazy_call_" #call_name "\n\t"                    \
            ".popsection")

/* Calls @function until the first update; @function is the name of one, visible here, and has the
 * type of all targets. */
#define DEFINE_LAZY_CALL(call_name, function)                                                      \
    DECLARE_LAZY_CALL(call_name, function);                                                        \
    struct lazy_call lazy_call_data_##call_name                                                    \
        __attribute__((used)) = {.target = (lazy_call_function *)&(function), .name = #call_name}; \
    LAZY_CALL_STUB(call_name)

/* For a header; @like is a function of the type of all targets, declared there. */
#define DECLARE_LAZY_CALL(call_name, like)                                                         \
    extern struct lazy_call lazy_call_data_##call_name;                                            \
    extern __typeof__(like) lazy_call_##call_name

/* What stands before the arguments. Context: that of the targets, but not in .text.nopatch. */
#define lazy_call(call_name) (lazy_call_##call_name)

/* Lets @call_name go to @function (of the type of its targets, checked): changes all sites found so
 * far in one batch, and the target of the stub. @error (struct patch_error *, may be NULL) names
 * the culprit.
 * Context: platform_may_patch(); patch lock not held; after lazy_call_initialize().
 * Ordering: on PATCH_OK a call that begins on any CPU reaches @function; what the caller did before
 * is visible in it.
 * Returns PATCH_ERR_NO_TARGET for NULL, PATCH_ERR_RANGE for a target beyond +-2 GiB of the stub or
 * a site, PATCH_ERR_TARGET_IN_SITE for the stub, and what the batch returns; then nothing has
 * changed. Leaves a record: who = the call's name. Costs 0 rounds and no record if @function is the
 * target already, or if no site was found yet. */
#define lazy_call_update(call_name, function, error)                                               \
    __extension__({                                                                                \
        __typeof__(lazy_call_##call_name) *lazy_call_wanted = (function);                          \
        lazy_call_set(&lazy_call_data_##call_name, (lazy_call_function *)lazy_call_wanted,         \
                      (error));                                                                    \
    })

/* Registers @function by name as a possible target of @call_name, for whoever chooses at run time.
 * At file scope; the type is checked. */
#define LAZY_CALL_CHOICE(call_name, function)                                                      \
    _Static_assert(                                                                                \
        __builtin_types_compatible_p(__typeof__(function), __typeof__(lazy_call_##call_name)),     \
        #function ": not of the type of the targets of " #call_name);                              \
    static const struct lazy_call_choice lazy_call_choice_##call_name##_##function                 \
        __attribute__((used, aligned(8), section("lazy_call_choices"))) = {                        \
            .call = &lazy_call_data_##call_name,                                                   \
            .name = #function,                                                                     \
            .target = (lazy_call_function *)&(function)}

struct lazy_call_choice {
    struct lazy_call *call;
    const char *name;
    lazy_call_function *target;
};
_Static_assert(sizeof(struct lazy_call_choice) == 24, "entries of section lazy_call_choices");
extern const struct lazy_call_choice lazy_call_choices_start[], lazy_call_choices_end[];

/* lazy_call_update() without the check of types. */
PATCH_MUST_CHECK enum patch_status lazy_call_set(struct lazy_call *call, lazy_call_function *target,
                                                 struct patch_error *error);

/* An update as part of a transaction (transaction.h), with the same rules and without the check of
 * types. Context: any. */
struct patch_change lazy_call_change_to(struct lazy_call *call, lazy_call_function *target);

/* What an update would do, byte for byte, without doing it; see patch_plan_locked(). Context as
 * lazy_call_update(). */
PATCH_MUST_CHECK enum patch_status lazy_call_plan(struct lazy_call *call,
                                                  lazy_call_function *target,
                                                  patch_plan_visitor *visit, void *context,
                                                  struct patch_plan *plan,
                                                  struct patch_error *error);

/* Makes all sites of @call calls of the stub again, in one batch, and sets its counters to 0: the
 * next call through each is a first one. Context, ordering and returns as lazy_call_update(). */
PATCH_MUST_CHECK enum patch_status lazy_call_forget(struct lazy_call *call,
                                                    struct patch_error *error);

/* What one pass of the worker did. */
struct lazy_pass {
    uint32_t reports; /* collected */
    uint32_t found;   /* sites that were new */
    uint32_t patched;
    uint32_t pending; /* sites that the batch left as they were: worth another pass, later */
};

/* Collects all reports and patches what they are about, and what an earlier pass left pending, in
 * one batch. A site whose write fails LAZY_ATTEMPTS_MAX times is given up. The record: who = the
 * name of the call, or "lazy" for several.
 * Context: platform_may_patch(); patch lock not held; after lazy_call_initialize(). Called by the
 * host when platform_request_work() asked for it; costs nothing if there is nothing to do.
 * Returns what the batch returns; @error (may be NULL) names the culprit. */
PATCH_MUST_CHECK enum patch_status lazy_calls_patch_reported(struct lazy_pass *pass,
                                                             struct patch_error *error);

/* Links all calls by name. Before, every call works, through its stub, and is reported.
 * Context: once, early boot. Returns PATCH_ERR_DUPLICATE (a name); @error (may be NULL) tells. */
PATCH_MUST_CHECK enum patch_status lazy_call_initialize(struct patch_error *error);

/* Where calls of @call go. May be outdated on return. Context: any. */
lazy_call_function *lazy_call_target(const struct lazy_call *call);

/* All calls in the order of their names; NULL at the end, or if there is none of that name.
 * Context: any, after lazy_call_initialize(). */
struct lazy_call *lazy_call_first(void);
struct lazy_call *lazy_call_next(const struct lazy_call *call);
struct lazy_call *lazy_call_find(const char *name);

/* Of one call, since boot or lazy_call_forget(). */
struct lazy_call_statistics {
    uint32_t sites; /* found: the three below */
    uint32_t patched;
    uint32_t pending;     /* the batch failed, or is in flight */
    uint32_t given_up;    /* the batch failed too often, or the target is out of reach: indirect */
    uint64_t slow_calls;  /* through the stub */
    uint64_t reported;    /* of them: reported */
    uint64_t overflowed;  /* not reported: no slot was free; the next call through the site is */
    uint64_t unpatchable; /* not reported: known to be no call of 5 bytes, a tail call most often */
    uint64_t unlisted; /* not reported: LAZY_SITES_MAX sites are known, and this is another one */
    uint64_t merged;   /* reports of sites that were known already */
    uint64_t converged_ns; /* from the first report to the last site patched; 0: none yet */
};

/* Context: any. Each figure is exact once nobody calls; together they may be of different moments.
 */
void lazy_call_statistics(const struct lazy_call *call, struct lazy_call_statistics *statistics);

enum lazy_site_state {
    LAZY_SITE_UNKNOWN,
    LAZY_SITE_PENDING,     /* found; calls the stub */
    LAZY_SITE_PATCHED,     /* calls the target */
    LAZY_SITE_GIVEN_UP,    /* calls the stub for ever */
    LAZY_SITE_FORGOTTEN,   /* not listed: calls the stub, and will be found again */
    LAZY_SITE_UNPATCHABLE, /* not listed: no call of a stub stands there */
};

struct lazy_call_site {
    uint64_t address; /* of the call instruction, 5 bytes */
    enum lazy_site_state state;
};

/* The site of @call with the lowest address above @address: starting with 0, all of them in order.
 * Context: any. Returns false at the end. */
bool lazy_call_site_next(const struct lazy_call *call, uint64_t address,
                         struct lazy_call_site *site);

/* Names for people: "patched"; "?" if unknown. */
const char *lazy_site_state_name(enum lazy_site_state state);

/* An entry of section lazy_calls, and its bounds. */
struct lazy_call_entry {
    struct lazy_call *call;
    uint64_t stub;
};
_Static_assert(sizeof(struct lazy_call_entry) == 16, "entries of section lazy_calls");
extern const struct lazy_call_entry lazy_calls_start[], lazy_calls_end[];
