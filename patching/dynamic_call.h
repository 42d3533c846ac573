// SPDX-License-Identifier: MIT
/* Dynamic calls: indirect calls that learn who they call (seeds 1 and 2). In front of the indirect
 * call stand 1 to 4 comparisons, each with a direct call behind it; which functions they name is
 * patched while the kernel runs.
 *
 *     DEFINE_DYNAMIC_CALL(deliver, void(struct packet *), 2);       at file scope, in a .c file
 *     DECLARE_DYNAMIC_CALL(deliver, void(struct packet *), 2);      in a header, if others call it
 *
 *     dynamic_call(deliver, protocol->receive, packet);             as protocol->receive(packet)
 *
 * What a call becomes, with two slots; everything in [] is patched:
 *
 *             [nop]                 gate; closed: jmp closed
 *     chain:  [cmp rax, A]          slot 0: a value in the text, or one in memory
 *             jne 1f
 *             [call A]              a static call; at the end of a function [jmp A]
 *     1:      [cmp rax, B]          slot 1
 *             jne missed
 *             [call B]
 *     missed: [nop]                 watch; on: counts the target
 *     slow:   call *rax             the thunk that the compiler would have used
 *     closed: [nop]                 watch; on: counts the target, or times the call, and may send
 *             jmp slow              it to the chain
 *
 * Invariant: a call always calls the function that it was given. A slot that is empty compares with
 * DYNAMIC_CALL_NEVER, where no function is.
 *
 * The race: comparison and call are two instructions, and a thread may stand between them.
 *
 *     updater                                 a thread
 *     slot 0 is A                             rax is A: equal; preempted in front of the call
 *     slot 0 becomes B
 *                                             calls B, with what was meant for A
 *
 * So slots change behind a closed gate, when nobody is between any comparison and its call:
 *
 *     updater                                 a thread
 *     gate closed: one batch                  in the chain, or on the slow way
 *     grace period ------------------------>  left the chain at its next voluntary switch
 *     calls, comparisons, gate: one batch,
 *     the gate last (poke.h)                  through the gate: new comparisons, new calls
 *
 * The grace period is that of platform_synchronize(): a thread counts as outside when it has
 * blocked, slept or yielded of its own will. Between a comparison and its call there is no such
 * place, and inside the target it does no harm: the return address stays good, whatever is called
 * from there next time. So readers need no lock, a target may sleep, and it may itself wait for a
 * grace period or change any dynamic call, its own included: what it waits for has seen it outside
 * when it blocks (seed 2 asks for that).
 *
 * Who decides what the slots name: dynamic_auto.h, or a person.
 *
 * Traps for the reader: not from .text.nopatch and not from an NMI. The arguments are evaluated
 * between comparison and call: nothing in them may block, yield or make a dynamic call. A target
 * whose memory goes away: first nobody passes it any more, then dynamic_calls_forget(). A target
 * that is called through a slot is called without a thunk, and is no less guarded: its address is
 * in the text. */
#pragma once

#include "patching/dynamic_choice.h"
#include "patching/dynamic_count.h"
#include "patching/static_call.h"
#include "patching/static_key.h"
#include "patching/trial.h"

#include <stdbool.h>
#include <stdint.h>

/* No function is there; a quadword that a comparison in the text can hold. */
#define DYNAMIC_CALL_NEVER 1ull

/* A comparison. Layout shared with the assembler text below. */
struct dynamic_call_site {
    uint64_t address; /* of an INSTRUCTION_COMPARE or INSTRUCTION_COMPARE_MEMORY */
    struct dynamic_call_slot *slot;
};
_Static_assert(sizeof(struct dynamic_call_site) == 16, "entries of section dynamic_call_sites");

struct dynamic_call_slot {
    uint64_t value; /* atomic; what comparisons in memory form read: the target, or NEVER */
    /* constant: */
    struct static_call *call;
    /* written once, by dynamic_call_initialize(): */
    struct dynamic_call_site *sites; /* by address */
    uint32_t site_count;
    /* under the patch lock: */
    uint64_t compared; /* what the comparisons in the text hold; 0: they read `value` */
    bool is_changing;  /* a transaction lists it */
};

/* What the text of a call is. */
struct dynamic_call_form {
    struct dynamic_targets targets; /* by slot; 0: empty */
    enum dynamic_compare compare;
    bool is_open;    /* the gate */
    bool is_watched; /* the watch key */
};

/* What happened to it; changes under the change lock. */
struct dynamic_call_statistics {
    uint64_t changes;       /* of slots or of the kind of comparison */
    uint64_t batches;       /* all, gate and watch included */
    uint64_t rounds, ipis;  /* that they took, grace periods not included */
    uint64_t cost_ns;       /* that they took, grace periods not included: nobody works in them */
    uint64_t grace_periods; /* waited for */
    uint64_t cheapest_ns;   /* of all batches; 0: none yet */
    uint64_t grace_ns;      /* ... for so long */
    uint64_t failed;        /* changes that were not made */
    uint64_t forgotten;     /* targets taken out by dynamic_calls_forget() */
};

struct dynamic_call {
    /* constant: */
    const char *name;
    uint32_t slot_count;
    struct dynamic_call_slot *slots;
    struct static_key *gate, *watch;
    static_call_function *nothing; /* where empty slots go: counts a NULL, returns 0 */
    bool is_by_hand;               /* no learning until somebody switches it on */
    /* atomic, relaxed where not said otherwise: */
    struct dynamic_count
        *counts; /* one a CPU, as dynamic_call_give_memory() said; NULL: none yet */
    uint32_t count_cpus;
    bool is_counting;  /* false from before a change until behind it */
    bool goes_through; /* a watched call behind a closed gate takes the chain */
    bool is_timed;     /* dynamic_trial is of this call */
    bool is_attended;  /* any of the three: a watched call behind a closed gate stops by */
    uint64_t nulls;    /* calls of NULL */
    /* under the change lock: */
    struct dynamic_call_form form;
    bool needs_grace; /* somebody may be between a comparison and its call */
    /* A change of slots was put back: until it serialises a CPU may keep a comparison or a call
     * that is there no more (tests/model/README.md, "Limits"). Then nobody may get into the chain.
     */
    bool is_unsettled;
    struct dynamic_call_statistics statistics;
    struct dynamic_choice choice; /* the policy's, by dynamic_auto.c */
};

/* ---- Definitions ------------------------------------------------------------------------------
 */

/* @signature: a function type that returns void, an integer, bool or a pointer, as
 * `unsigned(const void *, int)`. @slots_wanted: 1 to 4. */
#define DECLARE_DYNAMIC_CALL(call_name, signature, slots_wanted)                                   \
    typedef __typeof__(signature) dynamic_type_##call_name;                                        \
    extern char dynamic_slots_of_##call_name[(slots_wanted)]; /* its size alone */                 \
    extern struct dynamic_call dynamic_call_##call_name;                                           \
    extern struct dynamic_call_slot dynamic_slots_##call_name[DYNAMIC_SLOTS_MAX];                  \
    extern dynamic_type_##call_name dynamic_nothing_##call_name;                                   \
    DECLARE_STATIC_KEY(dynamic_gate_##call_name);                                                  \
    DECLARE_STATIC_KEY(dynamic_watch_##call_name);                                                 \
    DECLARE_STATIC_CALL(dynamic_##call_name##_0, dynamic_nothing_##call_name);                     \
    DECLARE_STATIC_CALL(dynamic_##call_name##_1, dynamic_nothing_##call_name);                     \
    DECLARE_STATIC_CALL(dynamic_##call_name##_2, dynamic_nothing_##call_name);                     \
    DECLARE_STATIC_CALL(dynamic_##call_name##_3, dynamic_nothing_##call_name)

/* Watched from the start, so that to begin to learn takes no patch; nobody counts yet. */
#define DEFINE_DYNAMIC_CALL(call_name, signature, slots_wanted)                                    \
    DYNAMIC_CALL_DEFINE(call_name, signature, slots_wanted, false)

/* For benches and tests, which do not want learning unless they switch it on: not watched. */
#define DEFINE_DYNAMIC_CALL_BY_HAND(call_name, signature, slots_wanted)                            \
    DYNAMIC_CALL_DEFINE(call_name, signature, slots_wanted, true)

#define DYNAMIC_CALL_DEFINE(call_name, signature, slots_wanted, by_hand)                           \
    DECLARE_DYNAMIC_CALL(call_name, signature, slots_wanted);                                      \
    /* By another name, since it has the type of the targets, but takes nothing and returns 0. */  \
    extern uint64_t dynamic_call_nothing_##call_name(void) __asm__("dynamic_nothing_" #call_name); \
    uint64_t dynamic_call_nothing_##call_name(void)                                                \
    {                                                                                              \
        return dynamic_call_count_null(&dynamic_call_##call_name);                                 \
    }                                                                                              \
    DEFINE_STATIC_KEY_OWNED(dynamic_gate_##call_name, "dyncall " #call_name, false);               \
    DEFINE_STATIC_KEY_OWNED(dynamic_watch_##call_name, "dyncall " #call_name, !(by_hand));         \
    DYNAMIC_CALL_SLOTS_##slots_wanted(call_name);                                                  \
    struct dynamic_call_slot dynamic_slots_##call_name[DYNAMIC_SLOTS_MAX] = {                      \
        DYNAMIC_CALL_SLOT_DATA_##slots_wanted(call_name)};                                         \
    struct dynamic_call dynamic_call_##call_name = {                                               \
        .name = #call_name,                                                                        \
        .slot_count = (slots_wanted),                                                              \
        .slots = dynamic_slots_##call_name,                                                        \
        .gate = &dynamic_gate_##call_name,                                                         \
        .watch = &dynamic_watch_##call_name,                                                       \
        .nothing = (static_call_function *)&dynamic_nothing_##call_name,                           \
        .is_by_hand = (by_hand),                                                                   \
        .form = {.is_watched = !(by_hand)},                                                        \
    };                                                                                             \
    static struct dynamic_call *const dynamic_pointer_##call_name                                  \
        __attribute__((used, section("dynamic_calls"))) = &dynamic_call_##call_name

#define DYNAMIC_CALL_SLOT(call_name, number)                                                       \
    DEFINE_STATIC_CALL_FORM(dynamic_##call_name##_##number, dynamic_nothing_##call_name,           \
                            STATIC_CALL_INLINE)
#define DYNAMIC_CALL_SLOTS_1(call_name) DYNAMIC_CALL_SLOT(call_name, 0)
#define DYNAMIC_CALL_SLOTS_2(call_name)                                                            \
    DYNAMIC_CALL_SLOTS_1(call_name);                                                               \
    DYNAMIC_CALL_SLOT(call_name, 1)
#define DYNAMIC_CALL_SLOTS_3(call_name)                                                            \
    DYNAMIC_CALL_SLOTS_2(call_name);                                                               \
    DYNAMIC_CALL_SLOT(call_name, 2)
#define DYNAMIC_CALL_SLOTS_4(call_name)                                                            \
    DYNAMIC_CALL_SLOTS_3(call_name);                                                               \
    DYNAMIC_CALL_SLOT(call_name, 3)

#define DYNAMIC_CALL_DATUM(call_name, number)                                                      \
    {                                                                                              \
        .value = DYNAMIC_CALL_NEVER, .call = &static_call_data_dynamic_##call_name##_##number      \
    }
#define DYNAMIC_CALL_SLOT_DATA_1(call_name) DYNAMIC_CALL_DATUM(call_name, 0)
#define DYNAMIC_CALL_SLOT_DATA_2(call_name)                                                        \
    DYNAMIC_CALL_SLOT_DATA_1(call_name), DYNAMIC_CALL_DATUM(call_name, 1)
#define DYNAMIC_CALL_SLOT_DATA_3(call_name)                                                        \
    DYNAMIC_CALL_SLOT_DATA_2(call_name), DYNAMIC_CALL_DATUM(call_name, 2)
#define DYNAMIC_CALL_SLOT_DATA_4(call_name)                                                        \
    DYNAMIC_CALL_SLOT_DATA_3(call_name), DYNAMIC_CALL_DATUM(call_name, 3)

/* ---- Calls ------------------------------------------------------------------------------------
 */

/* Calls @function, a pointer to a function of the call's type (checked), with the arguments behind
 * it; evaluates each once, @function first. Context: that of the targets. Returns what it returns;
 * a NULL is not called, but counted, and 0 is returned. */
#define dynamic_call(call_name, function, ...)                                                     \
    __extension__({                                                                                \
        dynamic_type_##call_name *dynamic_called = (function);                                     \
        unsigned dynamic_slot = DYNAMIC_CALL_CHOOSE(call_name, dynamic_called);                    \
        dynamic_slot == 0 ? static_call(dynamic_##call_name##_0)(__VA_ARGS__)                      \
        : DYNAMIC_CALL_HAS(call_name, 1) && dynamic_slot == 1                                      \
            ? static_call(dynamic_##call_name##_1)(__VA_ARGS__)                                    \
        : DYNAMIC_CALL_HAS(call_name, 2) && dynamic_slot == 2                                      \
            ? static_call(dynamic_##call_name##_2)(__VA_ARGS__)                                    \
        : DYNAMIC_CALL_HAS(call_name, 3) && dynamic_slot == 3                                      \
            ? static_call(dynamic_##call_name##_3)(__VA_ARGS__)                                    \
        : __builtin_expect(dynamic_called != NULL, 1) ? dynamic_called(__VA_ARGS__)                \
                                                      : dynamic_nothing_##call_name(__VA_ARGS__);  \
    })

/* A constant: no code for slots that there are not. */
#define DYNAMIC_CALL_HAS(call_name, number) (sizeof(dynamic_slots_of_##call_name) > (number))

/* The number of the slot that names @called, or DYNAMIC_SLOTS_MAX: the slow way. */
#define DYNAMIC_CALL_CHOOSE(call_name, called)                                                     \
    ({                                                                                             \
        unsigned dynamic_choice = DYNAMIC_SLOTS_MAX;                                               \
        if (static_branch_likely(&dynamic_gate_##call_name) ||                                     \
            (static_branch_unlikely(&dynamic_watch_##call_name) &&                                 \
             DYNAMIC_CALL_LOOK(call_name, is_attended) &&                                          \
             DYNAMIC_CALL_WATCH("dynamic_watch_closed", call_name, called))) {                     \
            if (DYNAMIC_CALL_IS(call_name, 0, called)) {                                           \
                dynamic_choice = 0;                                                                \
            } else if (DYNAMIC_CALL_IS(call_name, 1, called)) {                                    \
                dynamic_choice = 1;                                                                \
            } else if (DYNAMIC_CALL_IS(call_name, 2, called)) {                                    \
                dynamic_choice = 2;                                                                \
            } else if (DYNAMIC_CALL_IS(call_name, 3, called)) {                                    \
                dynamic_choice = 3;                                                                \
            } else if (static_branch_unlikely(&dynamic_watch_##call_name) &&                       \
                       DYNAMIC_CALL_LOOK(call_name, is_counting)) {                                \
                DYNAMIC_CALL_WATCH("dynamic_watch_missed", call_name, called);                     \
            }                                                                                      \
        }                                                                                          \
        dynamic_choice;                                                                            \
    })

#define DYNAMIC_CALL_IS(call_name, number, called)                                                 \
    (DYNAMIC_CALL_HAS(call_name, number) &&                                                        \
     DYNAMIC_CALL_COMPARE(&dynamic_slots_##call_name[number], called))

/* Most of the time nobody counts (dynamic_auto.c): then a watched call costs a look, not a call. */
#define DYNAMIC_CALL_LOOK(call_name, flag)                                                         \
    __builtin_expect(__atomic_load_n(&dynamic_call_##call_name.flag, __ATOMIC_RELAXED), 0)

/* A call that changes no register but rax: what the caller has computed stays where it is, and a
 * function that ends in a dynamic call needs no frame for it. */
#define DYNAMIC_CALL_WATCH(entry, call_name, called)                                               \
    ({                                                                                             \
        uint64_t dynamic_answer = (uint64_t)(called);                                              \
        __asm__ volatile("pushq %[call]\n\t"                                                       \
                         "call " entry                                                             \
                         : "+a"(dynamic_answer)                                                    \
                         : [call] "i"(&dynamic_call_##call_name)                                   \
                         : "cc", "memory" DYNAMIC_CALL_VECTORS);                                   \
        dynamic_answer != 0;                                                                       \
    })

/* But for the vector registers, where there are any: in programs. */
#ifdef __SSE__
#define DYNAMIC_CALL_VECTORS                                                                       \
    , "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",     \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#else
#define DYNAMIC_CALL_VECTORS
#endif

/* Comparison and jump: seven bytes in either form, in rax, which no argument needs. The jump stands
 * behind the comparison, since nobody else promises to keep the flags. */
#define DYNAMIC_CALL_COMPARE(slot_pointer, called)                                                 \
    ({                                                                                             \
        __label__ differs;                                                                         \
        bool dynamic_is_equal = true;                                                              \
        __asm__ goto("1:\tcmpq %c[slot](%%rip), %%rax\n\t"                                         \
                     ".pushsection dynamic_call_sites, \"aw\"\n\t"                                 \
                     ".balign 8\n\t"                                                               \
                     ".quad 1b, %c[slot]\n\t"                                                      \
                     ".popsection\n\t"                                                             \
                     "jne %l[differs]"                                                             \
                     :                                                                             \
                     : "a"(called), [slot] "i"(slot_pointer)                                       \
                     : "cc"                                                                        \
                     : differs);                                                                   \
        if (0) {                                                                                   \
        differs:                                                                                   \
            dynamic_is_equal = false;                                                              \
        }                                                                                          \
        dynamic_is_equal;                                                                          \
    })
_Static_assert(offsetof(struct dynamic_call_slot, value) == 0, "the comparison reads it there");

/* From a caller that waits for what it calls with, between two waits: see trial_break(). */
#define dynamic_call_break(call_name) dynamic_call_waits(&dynamic_call_##call_name)
void dynamic_call_waits(struct dynamic_call *call);
/* From one that calls several, whichever is timed: a load and a comparison. */
#define dynamic_calls_break() trial_break(&dynamic_trial)

/* The one trial there is: one call is timed at a time. */
extern struct trial dynamic_trial;

/* What watched calls stop by for. Context: change lock held. */
void dynamic_watch_set_counting(struct dynamic_call *call, bool is_counting);
void dynamic_watch_set_timed(struct dynamic_call *call, bool is_timed); /* and nothing is counted */
void dynamic_watch_set_through(struct dynamic_call *call, bool goes_through);

/* The watched side of a call, by dynamic_watch_entry.asm. closed(): behind a closed gate; returns
 * whether to take the chain. missed(): no slot names @target. */
bool dynamic_call_closed(struct dynamic_call *call, uint64_t target);
void dynamic_call_missed(struct dynamic_call *call, uint64_t target);
/* Somebody called NULL. Returns 0. */
uint64_t dynamic_call_count_null(struct dynamic_call *call);

/* ---- Instances --------------------------------------------------------------------------------
 *
 * Where objects of one kind have targets of their own (each NIC its driver), one answer for all
 * would serve none. So a call site may have up to four dynamic calls, and each object takes one:
 *
 *     DEFINE_DYNAMIC_CALL_INSTANCES(poll, unsigned(struct nic *, unsigned), 1);
 *     nic->poll_instance = dynamic_call_instance_take(poll);         NONE if all are taken
 *     done = dynamic_call_instance(poll, nic->poll_instance, nic->poll, nic, budget);
 *     dynamic_call_instance_release(poll, nic->poll_instance);
 *
 * They are dynamic calls like others, by the names poll_0 to poll_3. Which one is taken costs up to
 * four comparisons with small constants, well predicted as long as objects are served in turns of
 * many calls. Without an instance: the slow way. */
enum { DYNAMIC_INSTANCES = 4, DYNAMIC_INSTANCE_NONE = DYNAMIC_INSTANCES };

#define DECLARE_DYNAMIC_CALL_INSTANCES(call_name, signature, slots_wanted)                         \
    extern uint32_t dynamic_instances_##call_name; /* atomic; bits: taken */                       \
    DECLARE_DYNAMIC_CALL(call_name##_0, signature, slots_wanted);                                  \
    DECLARE_DYNAMIC_CALL(call_name##_1, signature, slots_wanted);                                  \
    DECLARE_DYNAMIC_CALL(call_name##_2, signature, slots_wanted);                                  \
    DECLARE_DYNAMIC_CALL(call_name##_3, signature, slots_wanted)

#define DEFINE_DYNAMIC_CALL_INSTANCES(call_name, signature, slots_wanted)                          \
    DYNAMIC_CALL_DEFINE_INSTANCES(call_name, signature, slots_wanted, false)
#define DEFINE_DYNAMIC_CALL_INSTANCES_BY_HAND(call_name, signature, slots_wanted)                  \
    DYNAMIC_CALL_DEFINE_INSTANCES(call_name, signature, slots_wanted, true)

#define DYNAMIC_CALL_DEFINE_INSTANCES(call_name, signature, slots_wanted, by_hand)                 \
    extern uint32_t dynamic_instances_##call_name;                                                 \
    uint32_t dynamic_instances_##call_name;                                                        \
    DYNAMIC_CALL_DEFINE(call_name##_0, signature, slots_wanted, by_hand);                          \
    DYNAMIC_CALL_DEFINE(call_name##_1, signature, slots_wanted, by_hand);                          \
    DYNAMIC_CALL_DEFINE(call_name##_2, signature, slots_wanted, by_hand);                          \
    DYNAMIC_CALL_DEFINE(call_name##_3, signature, slots_wanted, by_hand)

#define dynamic_call_instance(call_name, instance, function, ...)                                  \
    __extension__({                                                                                \
        dynamic_type_##call_name##_0 *dynamic_wanted = (function);                                 \
        unsigned dynamic_instance = (instance);                                                    \
        dynamic_instance == 0   ? dynamic_call(call_name##_0, dynamic_wanted, __VA_ARGS__)         \
        : dynamic_instance == 1 ? dynamic_call(call_name##_1, dynamic_wanted, __VA_ARGS__)         \
        : dynamic_instance == 2 ? dynamic_call(call_name##_2, dynamic_wanted, __VA_ARGS__)         \
        : dynamic_instance == 3                                                                    \
            ? dynamic_call(call_name##_3, dynamic_wanted, __VA_ARGS__)                             \
            : (dynamic_wanted != NULL ? dynamic_wanted                                             \
                                      : &dynamic_nothing_##call_name##_0)(__VA_ARGS__);            \
    })

/* Context: any. */
#define dynamic_call_instance_take(call_name) dynamic_instance_take(&dynamic_instances_##call_name)
#define dynamic_call_instance_release(call_name, instance)                                         \
    dynamic_instance_release(&dynamic_instances_##call_name, (instance))
unsigned dynamic_instance_take(uint32_t *taken);
void dynamic_instance_release(uint32_t *taken, unsigned instance);

/* ---- Changes ----------------------------------------------------------------------------------
 */

/* Attaches the comparisons of the table to their slots. Before, every call works, the slow way.
 * Context: once, early boot, behind static_call_initialize() and static_key_initialize(): one CPU,
 * interrupts off. Returns PATCH_ERR_DUPLICATE (a name), PATCH_ERR_INSTRUCTION (no comparison with
 * its slot stands there); @error (may be NULL) names the culprit. */
PATCH_MUST_CHECK enum patch_status dynamic_call_initialize(struct patch_error *error);

/* Gives @call room to count in: @cpus tables, one a possible CPU. Context: thread, once a call. */
void dynamic_call_give_memory(struct dynamic_call *call, struct dynamic_count *counts,
                              uint32_t cpus);

/* Makes @call what @form says: no batch if it is so; one if no slot changes, or if the gate was
 * closed and nobody can be in the chain; else two, with a grace period between them. Nothing is
 * counted meanwhile, and all counts are 0 behind it.
 * Context: platform_may_patch(); neither patch lock nor change lock held.
 * Ordering: on PATCH_OK every CPU executes the new text.
 * Returns PATCH_ERR_TARGETS (a target stands there twice, or behind the last slot;
 * DYNAMIC_CALL_NEVER and addresses that are no sign-extended 32 bits are none: PATCH_ERR_RANGE),
 * PATCH_ERR_NOT_LEFT (a thread did not come out in time), or what a batch returns. Then the slots
 * are as before; the gate may be closed, which costs time but breaks nothing; @error (may be NULL)
 * names the culprit. */
PATCH_MUST_CHECK enum patch_status dynamic_call_set_form(struct dynamic_call *call,
                                                         const struct dynamic_call_form *form,
                                                         struct patch_error *error);
/* The same with the change lock held. */
PATCH_MUST_CHECK enum patch_status dynamic_call_set_form_locked(
    struct dynamic_call *call, const struct dynamic_call_form *form, struct patch_error *error);

/* Whether watched calls behind a closed gate take the chain: for trials, that compare both ways
 * without a patch. Context: change lock held; may wait for a grace period behind a change that
 * failed. Returns false, changing nothing, if that does not end in time. */
PATCH_MUST_CHECK bool dynamic_call_set_through(struct dynamic_call *call, bool goes_through);

/* Takes @target out of the slots, counts and scores of all dynamic calls, and out of what a person
 * has pinned. The caller has seen to it that nobody passes it to a dynamic call any more, and does
 * so before it frees it. Context: as dynamic_call_set_form(); waits for a grace period, also if no
 * slot names it.
 * Ordering: on PATCH_OK no thread is on its way to it, and none will go there by a slot: it has
 * been seen outside, or blocked inside. Returns PATCH_ERR_STILL_INSIDE (no slot names it any more,
 * but a thread may be on its way), or what dynamic_call_set_form() returns: some slot may still
 * name it, its memory must stay. */
PATCH_MUST_CHECK enum patch_status dynamic_calls_forget(uint64_t target, struct patch_error *error);

/* A consistent copy of what a call is. Context: thread, change lock not held. */
struct dynamic_call_view {
    const char *name;
    uint32_t slot_count,
        sites; /* sites: places in the text that call, i.e. comparisons of slot 0 */
    struct dynamic_call_form form;
    bool has_memory;
    uint64_t nulls;
    struct dynamic_call_statistics statistics;
};
void dynamic_call_look(struct dynamic_call *call, struct dynamic_call_view *view);

/* All dynamic calls; NULL: no more, or none of that name. Context: any, after
 * dynamic_call_initialize(). */
struct dynamic_call *dynamic_call_at(unsigned index);
struct dynamic_call *dynamic_call_find(const char *name);

/* Provided by the linker: sections dynamic_calls (pointers) and dynamic_call_sites (writable). */
extern struct dynamic_call *const dynamic_calls_start[], *const dynamic_calls_end[];
extern struct dynamic_call_site dynamic_call_sites_start[], dynamic_call_sites_end[];
