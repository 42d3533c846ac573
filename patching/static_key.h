// SPDX-License-Identifier: MIT
/* Static keys: branches that cost one nop while off, and are flipped by patching them.
 *
 *     DEFINE_STATIC_KEY_FALSE(packet_trace);           at file scope, in a .c file
 *     DECLARE_STATIC_KEY(packet_trace);                in a header, if others use it
 *
 *     if (static_branch_unlikely(&packet_trace)) {     body out of line; a nop while the key is off
 *         trace(packet);
 *     }
 *     status = static_key_enable(&packet_trace);       one batch, whatever the number of branches
 *
 * API: static_branch_likely/unlikely(+_long), static_key_enable/disable/increment/decrement,
 * static_key_change_to, static_key_plan, static_key_find/first/next, static_key_is_enabled.
 *
 * How: every branch is a `jmp` in the program, 2 or 5 bytes as the assembler sizes it, and an entry
 * in section static_key_sites. static_key_initialize() turns those that must fall through into
 * nops.
 *
 * Invariant: count > 0 only while every CPU executes the enabled form of every branch. A count of
 * -1 says "first enable in progress": whoever increments meanwhile waits for the patch lock, so
 * nobody returns from an increment before the text has really changed.
 *
 * Traps for the reader: the key must be a constant expression (&name). A body guarded by a key may
 * still run on another CPU until disable returns. Keys are global to the kernel: names
 * are unique. */
#pragma once

#include "patching/site_placement.h"
#include "patching/status.h"
#include "patching/transaction.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One branch. Layout shared with the assembler text below. */
struct static_key_site {
    uint64_t address;
    uint64_t target; /* where the branch goes when it jumps */
    uint64_t key; /* address of the key; bit 0: "likely", the branch jumps while the key is OFF */
    uint64_t length; /* 2 or 5; 0 until static_key_initialize() */
};
_Static_assert(sizeof(struct static_key_site) == 32, "entries of section static_key_sites");

/* What the change that is being carried out does to a key. */
enum static_key_transition {
    STATIC_KEY_SETTLED = 0, /* no change lists it */
    STATIC_KEY_UNCHANGED,   /* listed, but its state is the one wanted already */
    STATIC_KEY_ENABLING,
    STATIC_KEY_DISABLING,
};

struct static_key {
    /* constant: */
    const char *name;
    const char *owner; /* NULL: anybody may flip it; else who alone does, in words */
    bool initial;
    /* atomic; 0 to -1 to 1 and 1 to 0 under the patch lock, else by compare-and-swap: */
    int32_t count;
    /* written once, by static_key_initialize(): */
    struct static_key_site *sites; /* sorted by address */
    uint32_t site_count;
    struct static_key *next; /* by name */
    /* under the patch lock: */
    enum static_key_transition transition;
};

#define DEFINE_STATIC_KEY(key_name, state, ...)                                                    \
    struct static_key key_name = {                                                                 \
        .name = #key_name, .initial = (state), .count = (state), ##__VA_ARGS__};                   \
    static struct static_key *const key_name##_registered                                          \
        __attribute__((used, section("static_keys"))) = &key_name

#define DEFINE_STATIC_KEY_TRUE(key_name)  DEFINE_STATIC_KEY(key_name, true)
#define DEFINE_STATIC_KEY_FALSE(key_name) DEFINE_STATIC_KEY(key_name, false)

/* Flipped by transactions of its owner alone: the functions below refuse it (PATCH_ERR_OWNED). */
#define DEFINE_STATIC_KEY_OWNED(key_name, owner_text, state)                                       \
    DEFINE_STATIC_KEY(key_name, state, .owner = (owner_text))

#define DECLARE_STATIC_KEY(key_name) extern struct static_key key_name

#define STATIC_KEY_LIKELY 1u /* bit 0 of static_key_site.key */

/* The jump in both sizes; %l[elsewhere] is the path that is not taken inline. */
#define STATIC_KEY_JUMP      "jmp %l[elsewhere]\n\t"
#define STATIC_KEY_JUMP_LONG ".byte 0xe9\n\t.long %l[elsewhere] - (. + 4)\n\t"

/* Yields @inline_value unless the branch jumps. A macro, not a function: @key_pointer must reach
 * the "i" constraint as a constant without help from the optimiser. */
#define STATIC_KEY_BRANCH(jump, key_pointer, inline_value)                                         \
    ({                                                                                             \
        __label__ elsewhere;                                                                       \
        bool branch_value = (inline_value);                                                        \
        __asm__ goto(                                                                              \
            PATCH_SITE_PLACE "1:\t" jump ".pushsection static_key_sites, \"aw\"\n\t"               \
                             ".balign 8\n\t"                                                       \
                             ".quad 1b, %l[elsewhere], %c[key] + %c[likely], 0\n\t"                \
                             ".popsection"                                                         \
            :                                                                                      \
            : [key] "i"(key_pointer), [likely] "i"((inline_value) ? STATIC_KEY_LIKELY : 0u)        \
            :                                                                                      \
            : elsewhere);                                                                          \
        if (0) {                                                                                   \
        elsewhere:                                                                                 \
            branch_value = !(inline_value);                                                        \
        }                                                                                          \
        branch_value;                                                                              \
    })

/* True while the key is enabled. likely: the body stands inline, and the nop is there while the key
 * is on; unlikely: the body stands elsewhere, and the nop is there while it is off. Context: any,
 * but not in .text.nopatch. */
#define static_branch_likely(key_pointer)   STATIC_KEY_BRANCH(STATIC_KEY_JUMP, key_pointer, true)
#define static_branch_unlikely(key_pointer) STATIC_KEY_BRANCH(STATIC_KEY_JUMP, key_pointer, false)

/* The same with a 5-byte site whatever the distance. */
#define static_branch_likely_long(key_pointer)                                                     \
    STATIC_KEY_BRANCH(STATIC_KEY_JUMP_LONG, key_pointer, true)
#define static_branch_unlikely_long(key_pointer)                                                   \
    STATIC_KEY_BRANCH(STATIC_KEY_JUMP_LONG, key_pointer, false)

/* Sorts the site table, gives every key its sites, checks that names are unique, and rewrites the
 * branches that must fall through.
 * Context: once, early boot: one CPU, interrupts off from before the call until after it.
 * Returns PATCH_ERR_DUPLICATE (a name), PATCH_ERR_INSTRUCTION, PATCH_ERR_RANGE, PATCH_ERR_NOT_TEXT
 * or PATCH_ERR_WRITE, and then @error (may be NULL) names the key and the site. */
PATCH_MUST_CHECK enum patch_status static_key_initialize(struct patch_error *error);

/* The four ways to change one key.
 *   enable     on, if it is off; an enabled key keeps its count and costs 0 rounds
 *   disable    off, if it has exactly one user; PATCH_ERR_IN_USE with more, 0 rounds if it is off
 *   increment  one more user; the first one enables
 *   decrement  one user less; the last one disables; PATCH_ERR_NOT_ENABLED at 0
 * All refuse a key with an owner: PATCH_ERR_OWNED.
 * Context: platform_may_patch(); patch lock not held. Increments and decrements that change no text
 * neither lock nor wait.
 * Ordering: on PATCH_OK every CPU executes the branches as the new count demands.
 * Returns other than PATCH_OK: text and count unchanged. Leaves a record if there was text to
 * change: who = the key's name, caller = return address. */
PATCH_MUST_CHECK enum patch_status static_key_enable(struct static_key *key);
PATCH_MUST_CHECK enum patch_status static_key_disable(struct static_key *key);
PATCH_MUST_CHECK enum patch_status static_key_increment(struct static_key *key);
PATCH_MUST_CHECK enum patch_status static_key_decrement(struct static_key *key);

/* Enabling or disabling @key as part of a transaction (transaction.h), with the same rules.
 * Context: any. */
struct patch_change static_key_change_to(struct static_key *key, bool enable);

/* What enable (or disable) would do to @key, byte for byte, without doing it. @visit (may be NULL)
 * is called once per site that would change, by address, patch lock held (it may print, it may not
 * patch). Context as static_key_enable(). Returns what the change itself would return before its
 * first write;
 * @error may be NULL. */
PATCH_MUST_CHECK enum patch_status static_key_plan(struct static_key *key, bool enable,
                                                   patch_plan_visitor *visit, void *context,
                                                   struct patch_plan *plan,
                                                   struct patch_error *error);

/* True if the text of @key is enabled everywhere; may be outdated on return. Context: any. */
bool static_key_is_enabled(const struct static_key *key);

/* Users of @key (0 while the first enable is in progress). Context: any. */
uint32_t static_key_count(const struct static_key *key);

/* All keys in the order of their names; NULL at the end, or if there is none of that name.
 * Context: any, after static_key_initialize(). */
struct static_key *static_key_first(void);
struct static_key *static_key_next(const struct static_key *key);
struct static_key *static_key_find(const char *name);

/* Provided by the linker: section static_key_sites (writable data) and section static_keys. */
extern struct static_key_site static_key_sites_start[], static_key_sites_end[];
extern struct static_key *const static_keys_start[], *const static_keys_end[];
