// SPDX-License-Identifier: MIT
/* The tables of static calls and their sites: read once at boot, constant from then on; and what a
 * call looks like in each state. Invariant: after initialize every site of an inline call goes to
 * its target. Called by: the host's boot path, static_call.c, shell. */
#include "patching/static_call_table.h"

#include "patching/bytes.h"
#include "patching/instruction.h"
#include "patching/platform.h"
#include "patching/write_window.h"

static struct static_call *first_call; /* by name */
static bool ready;

bool static_call_is_ready(void)
{
    return ready;
}

struct static_call *static_call_first(void)
{
    return first_call;
}

struct static_call *static_call_next(const struct static_call *call)
{
    return call->next;
}

struct static_call *static_call_find(const char *name)
{
    struct static_call *call = first_call;

    while (call != NULL && text_compare(call->name, name) != 0) {
        call = call->next;
    }
    return call;
}

/* Where a jump of @call goes that stands for a call of @target. */
static uint64_t jump_target(const struct static_call *call, static_call_function *target)
{
    if (target != NULL) {
        return (uint64_t)target;
    }
    return call->empty == STATIC_CALL_MAY_BE_ZERO ? (uint64_t)static_call_return_zero
                                                  : (uint64_t)static_call_return_nothing;
}

static bool is_nothing(const struct static_call *call, static_call_function *target)
{
    return target == NULL && call->empty == STATIC_CALL_MAY_BE_NULL;
}

enum patch_status static_call_trampoline_encode(const struct static_call *call,
                                                static_call_function *target, uint8_t *bytes)
{
    struct instruction instruction = {
        .kind = INSTRUCTION_JUMP,
        .length = INSN_JMP32_LENGTH,
        .target = jump_target(call, target),
    };

    if (is_nothing(call, target)) {
        instruction.kind = INSTRUCTION_RETURN;
        instruction.target = 0;
    }
    return instruction_encode(&instruction, call->trampoline, bytes);
}

/* What a call instruction becomes. */
static void encode_as_call(const struct static_call *call, static_call_function *target,
                           struct instruction *instruction)
{
    if (target != NULL) {
        instruction->kind = INSTRUCTION_CALL;
    } else {
        instruction->kind = is_nothing(call, target) ? INSTRUCTION_NOP : INSTRUCTION_RETURN_ZERO;
        instruction->target = 0;
    }
}

enum patch_status static_call_site_encode(const struct static_call *call,
                                          const struct call_site *site, enum static_call_form form,
                                          static_call_function *target, uint8_t *bytes)
{
    struct instruction instruction = {.length = (uint8_t)site->length};

    if (form == STATIC_CALL_OUT_OF_LINE) {
        target = (static_call_function *)call->trampoline;
    }
    instruction.target = jump_target(call, target);
    switch (site->kind) {
    case CALL_SITE_CALL:
        encode_as_call(call, target, &instruction);
        break;
    case CALL_SITE_JUMP:
        instruction.kind = is_nothing(call, target) ? INSTRUCTION_RETURN : INSTRUCTION_JUMP;
        instruction.target = is_nothing(call, target) ? 0 : instruction.target;
        break;
    case CALL_SITE_JUMP_IF:
        /* The condition is the low half of the second byte, which never changes. */
        instruction.kind = INSTRUCTION_JUMP_IF;
        instruction.condition = ((const uint8_t *)site->address)[1] & 0xf;
        break;
    default:
        return PATCH_ERR_INSTRUCTION;
    }
    return instruction_encode(&instruction, site->address, bytes);
}

/* Links all registered calls by name; a name may occur once. */
static enum patch_status link_calls(struct patch_error *error)
{
    first_call = NULL;
    for (const struct static_call_entry *entry = static_calls_start; entry < static_calls_end;
         entry++) {
        struct static_call *call = entry->call;
        struct static_call **link = &first_call;

        while (*link != NULL && text_compare((*link)->name, call->name) < 0) {
            link = &(*link)->next;
        }
        if (*link != NULL && text_compare((*link)->name, call->name) == 0) {
            return patch_error_set(error, PATCH_ERR_DUPLICATE, call->name, entry->trampoline);
        }
        call->trampoline = entry->trampoline;
        call->sites = NULL;
        call->site_count = 0;
        call->next = *link;
        *link = call;
    }
    return PATCH_OK;
}

static struct static_call *find_by_trampoline(uint64_t trampoline)
{
    struct static_call *call = first_call;

    while (call != NULL && call->trampoline != trampoline) {
        call = call->next;
    }
    return call;
}

/* Whether the linked instruction at @site is the call of its function that the table says, and can
 * go to its first target. */
static enum patch_status check_site(const struct static_call *call, const struct call_site *site)
{
    const uint8_t *text = (const uint8_t *)site->address;
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];

    if (site->length < INSN_CALL32_LENGTH || site->length > INSN_JCC32_LENGTH) {
        return PATCH_ERR_INSTRUCTION;
    }
    if (!platform_text_is_patchable(text, site->length)) {
        return PATCH_ERR_NOT_TEXT;
    }
    if (static_call_site_encode(call, site, STATIC_CALL_OUT_OF_LINE, NULL, bytes) != PATCH_OK ||
        !bytes_equal(text, bytes, site->length)) {
        return PATCH_ERR_INSTRUCTION;
    }
    return static_call_site_encode(call, site, call->form, call->target, bytes);
}

/* Adds @site to @call: it begins the call's run of the table or goes on with it, by address. */
static enum patch_status attach_site(struct static_call *call, const struct call_site *site)
{
    if (call->site_count == 0) {
        call->sites = site;
    } else if (site != call->sites + call->site_count || site->address <= site[-1].address) {
        return PATCH_ERR_INSTRUCTION;
    }
    call->site_count++;
    return check_site(call, site);
}

/* Gives every call its run of the table. */
static enum patch_status attach_sites(struct patch_error *error)
{
    for (const struct call_site *site = call_sites_start; site < call_sites_end; site++) {
        struct static_call *call = find_by_trampoline(site->function);
        enum patch_status status = call != NULL ? attach_site(call, site) : PATCH_ERR_INSTRUCTION;

        if (status != PATCH_OK) {
            return patch_error_set(error, status, call != NULL ? call->name : NULL, site->address);
        }
    }
    return PATCH_OK;
}

/* As linked, all sites go to the trampoline: sends those of an inline call to its target. */
static enum patch_status write_inline_sites(const struct static_call *call,
                                            struct write_window *window, struct patch_error *error)
{
    for (uint32_t i = 0; i < call->site_count; i++) {
        const struct call_site *site = &call->sites[i];
        uint8_t bytes[PATCH_SITE_LENGTH_MAX];
        enum patch_status status =
            static_call_site_encode(call, site, call->form, call->target, bytes);

        if (status == PATCH_OK && !write_window_write(window, site->address, bytes, site->length)) {
            status = PATCH_ERR_WRITE;
        }
        if (status != PATCH_OK) {
            return patch_error_set(error, status, call->name, site->address);
        }
    }
    return PATCH_OK;
}

static enum patch_status write_initial_state(struct patch_error *error)
{
    struct write_window window = {0};
    enum patch_status status = PATCH_OK;

    for (const struct static_call *call = first_call; call != NULL && status == PATCH_OK;
         call = call->next) {
        if (call->form == STATIC_CALL_INLINE) {
            status = write_inline_sites(call, &window, error);
        }
    }
    write_window_close(&window);
    return status;
}

enum patch_status static_call_initialize(struct patch_error *error)
{
    enum patch_status status = link_calls(error);

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
