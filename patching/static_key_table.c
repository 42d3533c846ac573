// SPDX-License-Identifier: MIT
/* The tables of keys and branches: read once at boot, constant from then on. Invariant: after
 * initialize every branch shows the form that its key's initial state demands. Called by: the
 * host's boot path, static_key.c, shell. */
#include "patching/static_key_table.h"

#include "patching/bytes.h"
#include "patching/heap_sort.h"
#include "patching/instruction.h"
#include "patching/platform.h"
#include "patching/write_window.h"

static struct static_key *first_key; /* by name */
static bool ready;

bool static_key_is_ready(void)
{
    return ready;
}

struct static_key *static_key_of_site(const struct static_key_site *site)
{
    return (struct static_key *)(site->key & ~(uint64_t)STATIC_KEY_LIKELY);
}

/* A branch falls through to its inline body: while on if likely, while off if unlikely. */
static bool site_jumps(const struct static_key_site *site, bool enabled)
{
    bool likely = (site->key & STATIC_KEY_LIKELY) != 0;

    return enabled != likely;
}

enum patch_status static_key_site_encode(const struct static_key_site *site, bool enabled,
                                         uint8_t *bytes)
{
    bool jumps = site_jumps(site, enabled);
    struct instruction instruction = {
        .kind = jumps ? INSTRUCTION_JUMP : INSTRUCTION_NOP,
        .length = (uint8_t)site->length,
        .target = jumps ? site->target : 0,
    };

    return instruction_encode(&instruction, site->address, bytes);
}

struct static_key *static_key_first(void)
{
    return first_key;
}

struct static_key *static_key_next(const struct static_key *key)
{
    return key->next;
}

struct static_key *static_key_find(const char *name)
{
    struct static_key *key = first_key;

    while (key != NULL && text_compare(key->name, name) != 0) {
        key = key->next;
    }
    return key;
}

static enum patch_status fail(struct patch_error *error, enum patch_status status,
                              const struct static_key *key, const struct static_key_site *site)
{
    if (error != NULL) {
        bytes_clear(error, sizeof(*error));
        error->status = status;
        error->name = key->name;
        error->address = site != NULL ? site->address : 0;
    }
    return status;
}

/* Links all registered keys by name; a name may occur once. */
static enum patch_status link_keys(struct patch_error *error)
{
    first_key = NULL;
    for (struct static_key *const *entry = static_keys_start; entry < static_keys_end; entry++) {
        struct static_key *key = *entry;
        struct static_key **link = &first_key;

        while (*link != NULL && text_compare((*link)->name, key->name) < 0) {
            link = &(*link)->next;
        }
        if (*link != NULL && text_compare((*link)->name, key->name) == 0) {
            return fail(error, PATCH_ERR_DUPLICATE, key, NULL);
        }
        key->next = *link;
        *link = key;
    }
    return PATCH_OK;
}

static bool site_before(const void *a, const void *b)
{
    const struct static_key_site *left = a;
    const struct static_key_site *right = b;
    struct static_key *left_key = static_key_of_site(left);
    struct static_key *right_key = static_key_of_site(right);

    return left_key < right_key || (left_key == right_key && left->address < right->address);
}

/* Finds out how long the jump at @site is, and that it is the one the entry speaks of. */
static enum patch_status check_site(struct static_key_site *site)
{
    const uint8_t *text = (const uint8_t *)site->address;
    struct instruction instruction;

    if (!platform_text_is_patchable(text, INSN_JMP8_LENGTH)) {
        return PATCH_ERR_NOT_TEXT;
    }
    site->length = text[0] == INSN_JMP8 ? INSN_JMP8_LENGTH : INSN_JMP32_LENGTH;
    if (!platform_text_is_patchable(text, site->length)) {
        return PATCH_ERR_NOT_TEXT;
    }

    enum patch_status status = instruction_decode(text, site->length, site->address, &instruction);

    if (status == PATCH_OK &&
        (instruction.kind != INSTRUCTION_JUMP || instruction.target != site->target)) {
        status = PATCH_ERR_INSTRUCTION;
    }
    return status;
}

/* Gives every key its run of the sorted table. */
static enum patch_status attach_sites(struct patch_error *error)
{
    struct static_key_site *start = static_key_sites_start;
    size_t count = (size_t)(static_key_sites_end - start);

    heap_sort(start, count, sizeof(*start), site_before);
    for (size_t i = 0; i < count; i++) {
        struct static_key *key = static_key_of_site(&start[i]);
        enum patch_status status = check_site(&start[i]);

        if (status != PATCH_OK) {
            return fail(error, status, key, &start[i]);
        }
        if (i == 0 || static_key_of_site(&start[i - 1]) != key) {
            key->sites = &start[i];
            key->site_count = 0;
        }
        key->site_count++;
    }
    return PATCH_OK;
}

/* The program was linked with every branch a jump; this writes the nops. */
static enum patch_status write_initial_state(struct patch_error *error)
{
    struct write_window window = {0};
    enum patch_status status = PATCH_OK;

    for (struct static_key_site *site = static_key_sites_start;
         site < static_key_sites_end && status == PATCH_OK; site++) {
        const struct static_key *key = static_key_of_site(site);
        uint8_t bytes[PATCH_SITE_LENGTH_MAX];

        if (site_jumps(site, key->initial)) {
            continue;
        }
        status = static_key_site_encode(site, key->initial, bytes);
        if (status == PATCH_OK &&
            !write_window_write(&window, site->address, bytes, site->length)) {
            status = PATCH_ERR_WRITE;
        }
        if (status != PATCH_OK) {
            status = fail(error, status, key, site);
        }
    }
    write_window_close(&window);
    return status;
}

enum patch_status static_key_initialize(struct patch_error *error)
{
    enum patch_status status = link_keys(error);

    if (status == PATCH_OK) {
        status = attach_sites(error);
    }
    if (status == PATCH_OK) {
        struct platform_round round = {0};

        status = write_initial_state(error);
        if (!platform_sync_cores(&round)) { /* before interrupts come back on (facts: bug 7) */
            platform_fatal_silent_cpu(round.silent_cpu);
        }
    }
    ready = status == PATCH_OK;
    return status;
}
