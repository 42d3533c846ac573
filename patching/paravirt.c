// SPDX-License-Identifier: MIT
/* Patching the sites of paravirt ops. Invariant: way and form of an op are what its sites show,
 * whenever the patch lock is free, and its slot holds the way's function. Called by: any thread;
 * paravirt.h has the picture. */
#include "patching/paravirt.h"

#include "patching/bytes.h"
#include "patching/instruction.h"
#include "patching/platform.h"
#include "patching/poke.h"
#include "patching/write_window.h"

static struct paravirt_op *table; /* NULL: not initialized */

static uint64_t function_address(const struct paravirt_way *way)
{
    return (uint64_t)way->function;
}

static enum patch_status encode_call(const struct paravirt_op *op, uint64_t address,
                                     enum paravirt_form form, const struct paravirt_way *way,
                                     uint8_t *bytes)
{
    bool is_direct = form != PARAVIRT_INDIRECT;
    struct instruction instruction = {
        .kind = is_direct ? INSTRUCTION_CALL : INSTRUCTION_CALL_MEMORY,
        .length = PARAVIRT_SITE_LENGTH,
        .target = is_direct ? function_address(way) : (uint64_t)op->slot,
    };

    return instruction_encode(&instruction, address, bytes);
}

enum patch_status paravirt_site_encode(const struct paravirt_op *op, uint64_t address,
                                       enum paravirt_form form, const struct paravirt_way *way,
                                       uint8_t bytes[PARAVIRT_SITE_LENGTH])
{
    uint8_t room[PATCH_SITE_LENGTH_MAX];
    size_t length;

    if (form != PARAVIRT_INLINE || way->instruction == NULL) {
        enum patch_status status = encode_call(op, address, form, way, room);

        bytes_copy(bytes, room, PARAVIRT_SITE_LENGTH);
        return status;
    }
    if (!paravirt_way_is_instruction(way)) {
        return PATCH_ERR_INSTRUCTION;
    }
    length = (size_t)(way->instruction_end - way->instruction);
    for (size_t i = 0; i < PARAVIRT_SITE_LENGTH - length; i++) {
        bytes[i] = INSN_PREFIX_CS;
    }
    bytes_copy(bytes + PARAVIRT_SITE_LENGTH - length, way->instruction, length);
    return PATCH_OK;
}

enum paravirt_form paravirt_site_shows(const struct paravirt_op *op,
                                       const struct paravirt_site *site)
{
    const struct paravirt_way *way = __atomic_load_n(&op->way, __ATOMIC_RELAXED);
    const uint8_t *text = (const uint8_t *)site->address;

    for (unsigned form = PARAVIRT_INLINE + 1; form-- > PARAVIRT_INDIRECT;) {
        uint8_t bytes[PARAVIRT_SITE_LENGTH];

        if (form == PARAVIRT_INLINE && !paravirt_way_is_instruction(way)) {
            continue;
        }
        if (paravirt_site_encode(op, site->address, (enum paravirt_form)form, way, bytes) ==
                PATCH_OK &&
            bytes_equal(bytes, text, PARAVIRT_SITE_LENGTH)) {
            return (enum paravirt_form)form;
        }
    }
    return PARAVIRT_FORM_COUNT;
}

static bool is_site_of(const struct paravirt_site *site, const struct paravirt_op *op)
{
    return site->op == (uint64_t)(op - table);
}

/* ---- changes ---- */

static struct paravirt_op *op_of(const struct patch_change *change)
{
    return change->object;
}

static enum patch_status change_begin(struct paravirt_op *op)
{
    if (table == NULL) {
        return PATCH_ERR_NOT_INITIALIZED;
    }
    if (op->is_changing) {
        return PATCH_ERR_DUPLICATE;
    }
    op->is_changing = true;
    return PATCH_OK;
}

/* Adds all sites of @op, from what they are to @form and @way. */
static enum patch_status sites_queue(const struct paravirt_op *op, enum paravirt_form form,
                                     const struct paravirt_way *way, struct patch_batch *batch)
{
    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++) {
        uint8_t old_bytes[PARAVIRT_SITE_LENGTH];
        uint8_t new_bytes[PARAVIRT_SITE_LENGTH];
        enum patch_status status = PATCH_OK;

        if (!is_site_of(site, op)) {
            continue;
        }
        status = paravirt_site_encode(op, site->address, op->form, op->way, old_bytes);
        if (status == PATCH_OK) {
            status = paravirt_site_encode(op, site->address, form, way, new_bytes);
        }
        if (status == PATCH_OK) {
            status = patch_batch_add_stand_in(batch, site->address, old_bytes, new_bytes,
                                              PARAVIRT_SITE_LENGTH, function_address(way));
        }
        if (status != PATCH_OK) {
            return status;
        }
    }
    return PATCH_OK;
}

static enum patch_status way_begin(struct patch_change *change)
{
    struct paravirt_op *op = op_of(change);
    const struct paravirt_way *way = (const struct paravirt_way *)change->wanted;

    if (way == NULL || way->function == NULL) {
        return PATCH_ERR_NO_TARGET;
    }
    change->is_there = op->way == way;
    return change_begin(op);
}

static enum patch_status way_queue(const struct patch_change *change, struct patch_batch *batch)
{
    const struct paravirt_op *op = op_of(change);

    return sites_queue(op, op->form, (const struct paravirt_way *)change->wanted, batch);
}

/* Release: pairs with the indirect call: what the way needs was written before. */
static void way_end(struct patch_change *change, bool is_done)
{
    struct paravirt_op *op = op_of(change);
    const struct paravirt_way *way = (const struct paravirt_way *)change->wanted;

    if (is_done) {
        __atomic_store_n(op->slot, way->function, __ATOMIC_RELEASE);
        __atomic_store_n(&op->way, way, __ATOMIC_RELAXED);
    }
    op->is_changing = false;
}

static const struct patch_change_operations way_operations = {
    .begin = way_begin,
    .queue = way_queue,
    .end = way_end,
};

struct patch_change paravirt_change_to(struct paravirt_op *op, const struct paravirt_way *way)
{
    return (struct patch_change){
        .operations = &way_operations, .name = op->name, .object = op, .wanted = (uint64_t)way};
}

static enum patch_status form_begin(struct patch_change *change)
{
    struct paravirt_op *op = op_of(change);

    change->is_there = change->wanted == (uint64_t)op->form;
    return change->wanted < PARAVIRT_FORM_COUNT ? change_begin(op) : PATCH_ERR_INSTRUCTION;
}

static enum patch_status form_queue(const struct patch_change *change, struct patch_batch *batch)
{
    const struct paravirt_op *op = op_of(change);

    return sites_queue(op, (enum paravirt_form)change->wanted, op->way, batch);
}

static void form_end(struct patch_change *change, bool is_done)
{
    struct paravirt_op *op = op_of(change);

    if (is_done) {
        __atomic_store_n(&op->form, (enum paravirt_form)change->wanted, __ATOMIC_RELAXED);
    }
    op->is_changing = false;
}

static const struct patch_change_operations form_operations = {
    .begin = form_begin,
    .queue = form_queue,
    .end = form_end,
};

struct patch_change paravirt_form_change_to(struct paravirt_op *op, enum paravirt_form form)
{
    return (struct patch_change){
        .operations = &form_operations, .name = op->name, .object = op, .wanted = form};
}

enum patch_status paravirt_plan(struct paravirt_op *op, const struct paravirt_way *way,
                                patch_plan_visitor *visit, void *context, struct patch_plan *plan,
                                struct patch_error *error)
{
    struct patch_change change = paravirt_change_to(op, way);

    return patch_change_plan(&change, visit, context, plan, error);
}

/* ---- boot ---- */

/* Whether another entry of the table lies on a byte of @site: stands there twice, or overlaps. */
static enum patch_status check_alone(const struct paravirt_site *site)
{
    for (const struct paravirt_site *other = paravirt_sites_start; other < site; other++) {
        uint64_t distance = other->address > site->address ? other->address - site->address
                                                           : site->address - other->address;

        if (distance < PARAVIRT_SITE_LENGTH) {
            return distance == 0 ? PATCH_ERR_DUPLICATE : PATCH_ERR_OVERLAP;
        }
    }
    return PATCH_OK;
}

/* Whether the linked instruction at @site is the indirect call that the table says, and can become
 * what its op is to be. */
static enum patch_status check_site(const struct paravirt_op *op, const struct paravirt_site *site)
{
    uint8_t bytes[PARAVIRT_SITE_LENGTH];

    if (!platform_text_is_patchable((const void *)site->address, PARAVIRT_SITE_LENGTH)) {
        return PATCH_ERR_NOT_TEXT;
    }
    enum patch_status status = check_alone(site);

    if (status == PATCH_OK && paravirt_site_shows(op, site) != PARAVIRT_INDIRECT) {
        status = PATCH_ERR_INSTRUCTION;
    }
    return status != PATCH_OK ? status
                              : paravirt_site_encode(op, site->address, op->form, op->way, bytes);
}

/* Gives every op its slot and form, and checks that it works through that slot. */
static enum patch_status attach_ops(struct paravirt_op *ops, uint32_t count,
                                    paravirt_function **slots, enum paravirt_form form,
                                    struct patch_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        struct paravirt_op *op = &ops[i];

        if (op->way == NULL || op->way->function == NULL || slots[i] != op->way->function) {
            return patch_error_set(error, PATCH_ERR_NO_TARGET, op->name, 0);
        }
        op->slot = &slots[i];
        op->form = form;
        op->site_count = 0;
    }
    return form < PARAVIRT_FORM_COUNT ? PATCH_OK
                                      : patch_error_set(error, PATCH_ERR_INSTRUCTION, NULL, 0);
}

static enum patch_status attach_sites(struct paravirt_op *ops, uint32_t count,
                                      struct patch_error *error)
{
    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++) {
        struct paravirt_op *op = site->op < count ? &ops[site->op] : NULL;
        enum patch_status status = op != NULL ? check_site(op, site) : PATCH_ERR_INSTRUCTION;

        if (status != PATCH_OK) {
            return patch_error_set(error, status, op != NULL ? op->name : NULL, site->address);
        }
        op->site_count++;
    }
    return PATCH_OK;
}

/* As linked, all sites are indirect calls: gives each the form of its op. */
static enum patch_status write_initial_state(const struct paravirt_op *ops,
                                             struct patch_error *error)
{
    struct write_window window = {0};
    enum patch_status status = PATCH_OK;

    for (const struct paravirt_site *site = paravirt_sites_start;
         site < paravirt_sites_end && status == PATCH_OK; site++) {
        const struct paravirt_op *op = &ops[site->op];
        uint8_t bytes[PARAVIRT_SITE_LENGTH];

        status = paravirt_site_encode(op, site->address, op->form, op->way, bytes);
        if (status == PATCH_OK && op->form != PARAVIRT_INDIRECT &&
            !write_window_write(&window, site->address, bytes, PARAVIRT_SITE_LENGTH)) {
            status = PATCH_ERR_WRITE;
        }
        if (status != PATCH_OK) {
            patch_error_set(error, status, op->name, site->address);
        }
    }
    write_window_close(&window);
    return status;
}

enum patch_status paravirt_initialize(struct paravirt_op *ops, uint32_t count,
                                      paravirt_function **slots, enum paravirt_form form,
                                      struct patch_error *error)
{
    enum patch_status status = attach_ops(ops, count, slots, form, error);

    if (status == PATCH_OK) {
        status = attach_sites(ops, count, error);
    }
    if (status == PATCH_OK) {
        struct platform_round round = {0};

        status = write_initial_state(ops, error);
        if (!platform_sync_cores(&round)) { /* before interrupts come back on (facts: bug 7) */
            platform_fatal_silent_cpu(round.silent_cpu);
        }
    }
    table = status == PATCH_OK ? ops : NULL;
    return status;
}
