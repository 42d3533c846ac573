// SPDX-License-Identifier: MIT
/* Fuzzes the batch API. An input is a program of calls: initialize, add (sound or wild), choose
 * protocol and flags, plan, apply, and of things that go wrong meanwhile: writes that fail, CPUs
 * that stay silent, contexts that may not patch. It runs on machine.c, under the eyes of fetch.c.
 *
 * Detects: a status, culprit, cost or text other than model.c expects; mixed bytes that a CPU may
 * fetch; traps resolved wrongly; references, locks or open text left behind; a plan that does not
 * come true. Could miss: races (one thread), and what both model.c and poke.c get wrong. */
#include "tests/fuzz/check.h"
#include "tests/fuzz/fetch.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/machine.h"
#include "tests/fuzz/model.h"
#include "tests/fuzz/oracle.h"
#include "tests/fuzz/outcome.h"

#include "patching/breakpoint.h"

#include <string.h>

enum { STEPS_MAX = 200, WORK_MAX = 9000 };

/* Where machine_fill() has put sites, in each block. */
static const struct place {
    uint8_t offset;
    uint8_t length;
} places[] = {
    {0, 5},  {5, 2},  {7, 5},  {12, 2}, {14, 2}, {16, 6},  {22, 5},  {27, 3}, {30, 6},
    {36, 1}, {37, 5}, {42, 3}, {45, 1}, {46, 4}, {50, 6},  {56, 5},  {61, 1}, {62, 2},
    {64, 7}, {71, 7}, {78, 7}, {85, 7}, {96, 7}, {103, 6}, {109, 6},
};
enum { PLACE_KINDS = sizeof(places) / sizeof(places[0]) };

static struct patch_batch batch;
static struct model model;
static bool is_spent; /* applied: whoever wants to go on must initialize */
static unsigned default_protocol, default_flags;
static bool has_many; /* thousands of sites once in a program: they take long */
static uint32_t work; /* sites planned and applied so far */

static uint8_t before[ARENA_SIZE];
static jmp_buf end_of_machine;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void initialize(void)
{
    patch_batch_initialize(&batch, "fuzz");
    FUZZ_CHECK(batch.protocol == default_protocol && batch.flags == default_flags,
               "initialized with protocol %u, flags %u", batch.protocol, batch.flags);
    model.protocol = default_protocol;
    model.flags = default_flags;
    model.refused = PATCH_OK;
    model.count = 0;
    model.is_empty = true;
    is_spent = false;
}

static enum patch_status call_add(enum model_way way, uint64_t address, const uint8_t *old_bytes,
                                  const uint8_t *new_bytes, size_t length, uint64_t stand_in)
{
    switch (way) {
    case MODEL_ADD_LAST:
        return patch_batch_add_last(&batch, address, old_bytes, new_bytes, length);
    case MODEL_ADD_STAND_IN:
        return patch_batch_add_stand_in(&batch, address, old_bytes, new_bytes, length, stand_in);
    default:
        return patch_batch_add(&batch, address, old_bytes, new_bytes, length);
    }
}

static void add_as(enum model_way way, uint64_t address, const uint8_t *old_bytes,
                   const uint8_t *new_bytes, size_t length, uint64_t stand_in)
{
    if (is_spent) {
        initialize();
    }
    enum patch_status wanted =
        model_add(&model, way, address, old_bytes, new_bytes, length, stand_in);
    enum patch_status status = call_add(way, address, old_bytes, new_bytes, length, stand_in);

    FUZZ_CHECK(status == wanted, "add returns %u instead of %u", status, wanted);
}

/* A new instruction of @length bytes for the site at @address; a nop if there is no such one. */
static void take_instruction(struct input *input, uint64_t address, size_t length, uint8_t *bytes)
{
    unsigned form = (unsigned)input_take(input, 1);
    unsigned way = (unsigned)input_take(input, 1) % 4;
    struct instruction instruction = {
        .kind = (enum instruction_kind)(form % INSTRUCTION_KIND_COUNT),
        .length = (uint8_t)length,
    };

    if (instruction.kind == INSTRUCTION_JUMP_IF) {
        instruction.condition = form / INSTRUCTION_KIND_COUNT % 16;
    }
    uint64_t base = instruction.kind == INSTRUCTION_COMPARE ? 0 : address + length;

    if (oracle_has_operand(instruction.kind) && way == 0) { /* close by */
        instruction.target = base + (uint64_t)(int64_t)(int8_t)input_take(input, 1);
    } else if (oracle_has_operand(instruction.kind) && way == 1) { /* in the arena */
        instruction.target = ARENA_ADDRESS + input_take(input, 2) % ARENA_SIZE;
    } else if (oracle_has_operand(instruction.kind) && way == 2) { /* anywhere */
        instruction.target = base + (uint64_t)(int64_t)(int32_t)input_take(input, 4);
    } /* else to address 0 */
    if (instruction_encode(&instruction, address, bytes) != PATCH_OK) {
        instruction = (struct instruction){.kind = INSTRUCTION_NOP, .length = (uint8_t)length};
        FUZZ_CHECK(instruction_encode(&instruction, address, bytes) == PATCH_OK, "no nop");
    }
}

/* The address of a site that machine_fill() has made, and @place, which it is a copy of. */
static uint64_t take_place(struct input *input, const struct place **place)
{
    size_t number = input_take(input, 2) % (ARENA_FORMS_SIZE / ARENA_BLOCK_SIZE * PLACE_KINDS);

    *place = &places[number % PLACE_KINDS];
    return ARENA_ADDRESS + number / PLACE_KINDS * ARENA_BLOCK_SIZE + (*place)->offset;
}

/* Such a site, or what earlier batches have left there. */
static void add_place_as(struct input *input, enum model_way way)
{
    const struct place *place;
    uint64_t address = take_place(input, &place);
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];

    take_instruction(input, address, place->length, bytes);
    add_as(way, address, (const uint8_t *)address, bytes, place->length, 0);
}

static void add_place(struct input *input)
{
    add_place_as(input, MODEL_ADD);
}

static void add_last_place(struct input *input)
{
    add_place_as(input, MODEL_ADD_LAST);
}

/* Such a site, to become any bytes, with a stand-in anywhere. */
static void add_stand_in_place(struct input *input)
{
    const struct place *place;
    uint64_t address = take_place(input, &place);
    unsigned way = (unsigned)input_take(input, 1) % 4;
    uint64_t stand_in = address + place->length;
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];

    input_take_bytes(input, bytes, place->length);
    if (way == 0) { /* close by */
        stand_in += (uint64_t)(int64_t)(int8_t)input_take(input, 1);
    } else if (way == 1) { /* in the arena */
        stand_in = ARENA_ADDRESS + input_take(input, 2) % ARENA_SIZE;
    } else if (way == 2) { /* within reach */
        stand_in += (uint64_t)(int64_t)(int32_t)input_take(input, 4);
    } else {
        stand_in = input_take(input, 8);
    }
    add_as(MODEL_ADD_STAND_IN, address, (const uint8_t *)address, bytes, place->length, stand_in);
}

/* A site that is not to change. */
static void add_unchanged(struct input *input)
{
    const struct place *place = &places[input_take(input, 1) % PLACE_KINDS];
    const uint8_t *text = arena + place->offset;

    add_as(MODEL_ADD, (uint64_t)text, text, text, place->length, 0);
}

/* Whatever the input says. */
static void add_raw(struct input *input)
{
    uint8_t way = (uint8_t)input_take(input, 1);
    uint64_t address = way & 1 ? input_take(input, 8) : ARENA_ADDRESS + input_take(input, 2);
    uint8_t length = (uint8_t)input_take(input, 1);
    uint8_t old_bytes[PATCH_SITE_LENGTH_MAX], new_bytes[PATCH_SITE_LENGTH_MAX];

    input_take_bytes(input, new_bytes, sizeof(new_bytes));
    input_take_bytes(input, old_bytes, way & 2 ? sizeof(old_bytes) : 0);
    if (!(way & 3) && address - ARENA_ADDRESS <= ARENA_SIZE - sizeof(old_bytes)) {
        memcpy(old_bytes, (const void *)address, sizeof(old_bytes));
    } else if (!(way & 2)) {
        memcpy(old_bytes, new_bytes, sizeof(old_bytes));
    }
    add_as(MODEL_ADD, address, old_bytes, new_bytes,
           length < 250 ? length : SIZE_MAX - (250u - length), 0);
}

/* One-byte sites among the nops; now and then as many as a batch takes, and a few more. */
static void add_many(struct input *input)
{
    static const uint8_t nop = 0x90, ret = 0xc3;
    unsigned count = (unsigned)input_take(input, 1);
    uint64_t start = ARENA_ADDRESS + ARENA_FORMS_SIZE;

    if (count >= 250 && !has_many) {
        has_many = true;
        count = PATCH_BATCH_MAX - 4 + (unsigned)input_take(input, 1) % 8;
    } else {
        count %= 32;
    }
    for (unsigned i = count; i-- > 0;) { /* downwards: unsorted */
        const uint8_t *text = (const uint8_t *)start + i;

        add_as(MODEL_ADD, start + i, text, *text == nop ? &ret : &nop, 1, 0);
    }
}

static void set_protocol(struct input *input)
{
    unsigned protocol = (unsigned)input_take(input, 1);

    if (is_spent) {
        initialize();
    }
    protocol = protocol < 250 ? protocol % 6 : (unsigned)input_take(input, 4);
    batch.protocol = (enum patch_protocol_id)protocol;
    model.protocol = protocol;
}

static void set_flags(struct input *input)
{
    unsigned flags = (unsigned)input_take(input, 1);

    if (is_spent) {
        initialize();
    }
    batch.flags = model.flags = flags < 250 ? flags % 4 : (unsigned)input_take(input, 4);
}

static void set_default(struct input *input)
{
    unsigned protocol = (unsigned)input_take(input, 1) % 7;
    unsigned flags = (unsigned)input_take(input, 1) % 8;
    enum patch_status wanted = protocol >= 5 || flags > 3 ? PATCH_ERR_PROTOCOL
                               : protocol == PATCH_PROTOCOL_NAIVE && !(flags & PATCH_ALLOW_UNSAFE)
                                   ? PATCH_ERR_UNSAFE
                                   : PATCH_OK;

    FUZZ_CHECK(patch_protocol_set_default((enum patch_protocol_id)protocol, flags) == wanted,
               "default protocol %u, flags %u: not %u", protocol, flags, wanted);
    if (wanted == PATCH_OK) {
        default_protocol = protocol;
        default_flags = flags;
    }
    FUZZ_CHECK(patch_protocol_default() == default_protocol &&
                   patch_protocol_default_flags() == default_flags,
               "another default than was set");
}

/* Takes the lock as a thread does that may patch, whatever happens to it afterwards. */
static void lock(void)
{
    bool may_patch = machine.may_patch;

    machine.may_patch = true;
    platform_lock();
    machine.may_patch = may_patch;
}

/* False if the batch may not be used any more, or the program has worked enough. */
static bool may_go_on(void)
{
    work += model.count + 1;
    return !is_spent && work <= WORK_MAX;
}

static void plan(void)
{
    uint64_t newest = patch_record_newest();
    unsigned rounds = 77;

    if (!may_go_on()) {
        return;
    }
    uint32_t faults = model_faults(&model);

    memcpy(before, arena, ARENA_SIZE);
    machine_begin(model.protocol, model.flags);
    fetch_reset(false);
    lock();
    enum patch_status status = patch_batch_plan_locked(&batch, &rounds);
    platform_unlock();

    FUZZ_CHECK(memcmp(before, arena, ARENA_SIZE) == 0 && machine.writes == 0 &&
                   machine.rounds == 0 && patch_record_newest() == newest,
               "a plan left traces");
    if (status != PATCH_OK) {
        outcome_check_refused(&batch, &model, status, faults);
        model.refused = status;
        return;
    }
    FUZZ_CHECK(faults == 0, "planned although %#x", faults);
    FUZZ_CHECK(rounds == model_cost(&model).rounds, "%u rounds planned, not %u", rounds,
               model_cost(&model).rounds);
    model_drop_unchanged(&model);
    FUZZ_CHECK(batch.count == model.count, "%u sites planned, not %u", batch.count, model.count);
    for (uint32_t i = 1; i < batch.count; i++) {
        FUZZ_CHECK(batch.sites[i - 1].address < batch.sites[i].address, "sites not sorted");
    }
}

static enum patch_status call_apply(bool locked)
{
    if (!locked) {
        return patch_batch_apply(&batch);
    }
    lock();
    enum patch_status status = patch_batch_apply_locked(&batch);

    platform_unlock();
    return status;
}

/* Returns false if the machine has stopped. */
static bool apply(bool locked)
{
    static enum patch_status status;
    static struct model_cost cost;
    static uint32_t faults;
    static uint64_t newest;
    bool is_recorded = locked || machine.may_patch;

    if (!may_go_on()) {
        return true;
    }
    faults = model_faults(&model);
    newest = patch_record_newest();
    memcpy(before, arena, ARENA_SIZE);
    machine_begin(model.protocol, model.flags);
    fetch_reset(machine.is_naive);
    for (uint32_t i = 0; faults == 0 && i < model.count; i++) {
        const struct model_site *site = &model.sites[i];

        if (model_site_changes(site)) {
            fetch_watch(site);
        }
    }
    cost = faults == 0 ? model_cost(&model) : (struct model_cost){0};
    machine.on_end = &end_of_machine;
    if (setjmp(end_of_machine) == 0) {
        status = call_apply(locked);
        if (is_recorded) {
            outcome_check_record(&batch, status, newest);
        }
        fetch_run_into_all(); /* whoever fetched an int3 in time may trap now */
    } else {
        outcome_check_stopped(&model);
    }
    machine.on_end = NULL;
    machine_finish();
    is_spent = true;
    if (machine.end != END_NONE) {
        return false;
    }
    if (faults != 0) {
        outcome_check_refused(&batch, &model, status, faults);
        model.refused = status;
        FUZZ_CHECK(memcmp(arena, before, ARENA_SIZE) == 0, "refused, but text changed");
    } else {
        outcome_check_applied(&batch, &model, status, cost, before);
    }
    return true;
}

static void set_failing_write(struct input *input)
{
    machine.fail_write = (unsigned)input_take(input, 1);
    machine.fault = (enum fault_kind)(input_take(input, 1) % FAULT_KINDS);
    machine.fail_writes = (unsigned)input_take(input, 1);
}

static void set_silent_cpu(struct input *input)
{
    machine.silent_round = (unsigned)input_take(input, 1);
    machine.silent_rounds = (unsigned)input_take(input, 1);
    machine.silent_cpu = (unsigned)input_take(input, 1);
}

static void set_machine(struct input *input)
{
    unsigned bits = (unsigned)input_take(input, 1);

    machine.may_patch = !(bits & 1);
    machine.needs_refresh = bits & 2;
    machine.fetches_quadwords = !(bits & 4);
    machine.cpus = 1 + (unsigned)input_take(input, 1);
    machine.possible_cpus =
        machine.cpus + (unsigned)input_take(input, 1) % (PATCH_CPU_MAX - machine.cpus + 1);
}

static void set_patchable(struct input *input)
{
    uint64_t start = input_take(input, 2) % ARENA_SIZE;

    machine.text_start = ARENA_ADDRESS + start;
    machine.text_end = machine.text_start + input_take(input, 2) % (ARENA_SIZE - start + 1);
}

/* Somebody else writes text: between batches that is nobody's bug. */
static void plant(struct input *input)
{
    size_t offset = input_take(input, 2) % (ARENA_SIZE - 8);

    input_take_bytes(input, arena + offset, input_take(input, 1) % 8);
}

static void trap(struct input *input)
{
    machine.stranger = (unsigned)input_take(input, 2) % ARENA_SIZE;
    fetch_reset(false);
    fetch_run_into_stranger(ARENA_ADDRESS + machine.stranger);
}

static bool run_step(struct input *input)
{
    static void (*const steps[])(struct input *) = {
        add_place,    add_last_place, add_unchanged,     add_raw,        add_many,
        set_protocol, set_flags,      set_default,       set_machine,    set_patchable,
        plant,        trap,           set_failing_write, set_silent_cpu,
    };
    enum {
        STEPS = sizeof(steps) / sizeof(steps[0]),
        INITIALIZE = STEPS,
        PLAN,
        APPLY,
        APPLY_LOCKED,
        STAND_IN,
        STEP_COUNT
    };
    unsigned step = (unsigned)input_take(input, 1) % STEP_COUNT;

    if (step < STEPS) {
        steps[step](input);
    } else if (step == INITIALIZE) {
        initialize();
    } else if (step == PLAN) {
        plan();
    } else if (step == STAND_IN) {
        add_stand_in_place(input);
    } else {
        return apply(step == APPLY_LOCKED);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.bytes = data, .size = size};

    machine_reset();
    has_many = false;
    work = 0;
    default_protocol = PATCH_PROTOCOL_INT3_BATCH;
    default_flags = 0;
    FUZZ_CHECK(patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0) == PATCH_OK, "default");
    initialize();
    for (unsigned i = 0; i < STEPS_MAX && !input_is_empty(&input); i++) {
        if (!run_step(&input)) {
            return 0;
        }
    }
    apply(false);
    return 0;
}
