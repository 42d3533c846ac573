// SPDX-License-Identifier: MIT
/* Batches: collecting, checking, handing to a protocol, recording. Invariant: no byte is written
 * until every site has passed every check. Called by: static_key.c, benches, tests. */
#include "patching/poke.h"

#include "patching/bytes.h"
#include "patching/heap_sort.h"
#include "patching/instruction.h"
#include "patching/platform.h"
#include "patching/protocol.h"
#include "patching/trap_statistics.h"

static const struct patch_protocol *const protocols[PATCH_PROTOCOL_COUNT] = {
    [PATCH_PROTOCOL_INT3] = &patch_protocol_int3,
    [PATCH_PROTOCOL_INT3_BATCH] = &patch_protocol_int3_batch,
    [PATCH_PROTOCOL_QWORD] = &patch_protocol_qword,
    [PATCH_PROTOCOL_STOP] = &patch_protocol_stop,
    [PATCH_PROTOCOL_NAIVE] = &patch_protocol_naive,
};

/* Protocol and flags of batches that name none, in one word, so that they are read together. */
union protocol_choice {
    uint32_t word;
    struct {
        uint16_t protocol;
        uint16_t flags;
    };
};

static uint32_t default_choice = PATCH_PROTOCOL_INT3_BATCH; /* atomic */

static union protocol_choice default_choice_get(void)
{
    /* Relaxed, here and in set: the word stands for itself. */
    return (union protocol_choice){.word = __atomic_load_n(&default_choice, __ATOMIC_RELAXED)};
}

static bool protocol_exists(enum patch_protocol_id id)
{
    return (unsigned)id < PATCH_PROTOCOL_COUNT;
}

enum patch_protocol_id patch_protocol_default(void)
{
    return (enum patch_protocol_id)default_choice_get().protocol;
}

unsigned patch_protocol_default_flags(void)
{
    return default_choice_get().flags;
}

/* Whether a batch may be applied by protocol @id with @flags. */
static enum patch_status check_protocol(enum patch_protocol_id id, unsigned flags)
{
    if (!protocol_exists(id) || (flags & ~(unsigned)PATCH_FLAGS_ALL) != 0) {
        return PATCH_ERR_PROTOCOL;
    }
    return protocols[id]->facts.is_unsafe && !(flags & PATCH_ALLOW_UNSAFE) ? PATCH_ERR_UNSAFE
                                                                           : PATCH_OK;
}

enum patch_status patch_protocol_set_default(enum patch_protocol_id id, unsigned flags)
{
    enum patch_status status = check_protocol(id, flags);

    if (status == PATCH_OK) {
        union protocol_choice choice = {.protocol = (uint16_t)id, .flags = (uint16_t)flags};

        __atomic_store_n(&default_choice, choice.word, __ATOMIC_RELAXED);
    }
    return status;
}

const struct patch_protocol_facts *patch_protocol_facts(enum patch_protocol_id id)
{
    return protocol_exists(id) ? &protocols[id]->facts : NULL;
}

const char *patch_protocol_name(enum patch_protocol_id id)
{
    return protocol_exists(id) ? protocols[id]->facts.name : "?";
}

enum patch_protocol_id patch_protocol_find(const char *name)
{
    enum patch_protocol_id id = 0;

    while (id < PATCH_PROTOCOL_COUNT && text_compare(protocols[id]->facts.name, name) != 0) {
        id++;
    }
    return id;
}

__attribute__((noinline)) void patch_batch_initialize(struct patch_batch *batch, const char *who)
{
    union protocol_choice choice = default_choice_get();

    batch->who = who;
    batch->caller = (uint64_t)__builtin_return_address(0);
    batch->protocol = (enum patch_protocol_id)choice.protocol;
    batch->flags = choice.flags;
    batch->count = 0;
    batch->added = 0;
    bytes_clear(&batch->error, sizeof(batch->error));
    bytes_clear(&batch->record, sizeof(batch->record));
}

static enum patch_status batch_refuse(struct patch_batch *batch, enum patch_status status,
                                      uint64_t address, uint64_t other)
{
    batch->error.status = status;
    batch->error.address = address;
    batch->error.other = other;
    return status;
}

/* As batch_refuse(), showing what should stand at @site and what stands there instead. */
static enum patch_status batch_refuse_bytes(struct patch_batch *batch, enum patch_status status,
                                            const struct patch_site *site, const uint8_t *expected,
                                            const uint8_t *actual)
{
    batch->error.length = site->length;
    bytes_copy(batch->error.expected, expected, site->length);
    bytes_copy(batch->error.actual, actual, site->length);
    return batch_refuse(batch, status, site->address, 0);
}

static enum patch_status batch_add(struct patch_batch *batch, uint64_t address,
                                   const uint8_t *old_bytes, const uint8_t *new_bytes,
                                   size_t length, bool is_last)
{
    if (batch->error.status != PATCH_OK) {
        return batch->error.status;
    }
    if (length == 0 || length > PATCH_SITE_LENGTH_MAX) {
        return batch_refuse(batch, PATCH_ERR_LENGTH, address, 0);
    }
    if (batch->count == PATCH_BATCH_MAX) {
        return batch_refuse(batch, PATCH_ERR_FULL, address, 0);
    }

    struct patch_site *site = &batch->sites[batch->count++];

    batch->added++;
    site->address = address;
    site->length = (uint8_t)length;
    site->is_last = is_last;
    site->has_stand_in = false;
    bytes_copy(site->old_bytes, old_bytes, length);
    bytes_copy(site->new_bytes, new_bytes, length);
    return PATCH_OK;
}

enum patch_status patch_batch_add(struct patch_batch *batch, uint64_t address,
                                  const uint8_t *old_bytes, const uint8_t *new_bytes, size_t length)
{
    return batch_add(batch, address, old_bytes, new_bytes, length, false);
}

enum patch_status patch_batch_add_last(struct patch_batch *batch, uint64_t address,
                                       const uint8_t *old_bytes, const uint8_t *new_bytes,
                                       size_t length)
{
    return batch_add(batch, address, old_bytes, new_bytes, length, true);
}

enum patch_status patch_batch_add_stand_in(struct patch_batch *batch, uint64_t address,
                                           const uint8_t *old_bytes, const uint8_t *new_bytes,
                                           size_t length, uint64_t stand_in)
{
    int64_t displacement = (int64_t)(stand_in - (address + length));
    enum patch_status status = batch_add(batch, address, old_bytes, new_bytes, length, false);

    if (status == PATCH_OK && displacement != (int32_t)displacement) {
        status = batch_refuse(batch, PATCH_ERR_RANGE, address, stand_in);
    }
    if (status == PATCH_OK) {
        struct patch_site *site = &batch->sites[batch->count - 1];

        site->has_stand_in = true;
        site->displacement = (int32_t)displacement;
    }
    return status;
}

static bool site_before(const void *a, const void *b)
{
    return ((const struct patch_site *)a)->address < ((const struct patch_site *)b)->address;
}

/* Users mostly list their sites by address: then one look is enough. */
static void sort_sites(struct patch_batch *batch)
{
    for (uint32_t i = 1; i < batch->count; i++) {
        if (batch->sites[i].address < batch->sites[i - 1].address) {
            heap_sort(batch->sites, batch->count, sizeof(batch->sites[0]), site_before);
            return;
        }
    }
}

/* Builds the index of a sorted batch. */
static void build_index(struct patch_batch *batch)
{
    struct patch_index *index = &batch->index;

    if (batch->count == 0) {
        return;
    }

    uint64_t base = batch->sites[0].address;
    uint64_t span = batch->sites[batch->count - 1].address - base;
    uint32_t shift = 0;
    uint32_t bucket = 0;

    while (span >> shift >= PATCH_INDEX_BUCKETS) {
        shift++;
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        uint64_t own = (batch->sites[i].address - base) >> shift;

        while (bucket <= own) {
            index->bucket_start[bucket++] = (uint16_t)i;
        }
    }
    while (bucket <= PATCH_INDEX_BUCKETS) {
        index->bucket_start[bucket++] = (uint16_t)batch->count;
    }
    index->base = base;
    index->shift = shift;
}

/* What the int3 of @site stands for where nobody decodes @bytes: a call of its stand-in.
 * Returns PATCH_ERR_INSTRUCTION if @bytes are themselves an int3. */
static enum patch_status stand_in_call(const struct patch_site *site, const uint8_t *bytes,
                                       struct instruction *instruction)
{
    uint64_t next = site->address + site->length;

    instruction->kind = INSTRUCTION_CALL;
    instruction->length = site->length;
    instruction->condition = 0;
    instruction->target = next + (uint64_t)(int64_t)site->displacement;
    return bytes[0] == INSN_INT3 ? PATCH_ERR_INSTRUCTION : PATCH_OK;
}

/* As instruction_decode(); of a site that is last, also PATCH_ERR_INSTRUCTION for anything but a
 * nop or a jump. */
static enum patch_status site_decode(const struct patch_site *site, const uint8_t *bytes,
                                     struct instruction *instruction)
{
    enum patch_status status =
        site->has_stand_in ? stand_in_call(site, bytes, instruction)
                           : instruction_decode(bytes, site->length, site->address, instruction);

    if (status == PATCH_OK && site->is_last && instruction->kind != INSTRUCTION_NOP &&
        instruction->kind != INSTRUCTION_JUMP) {
        return PATCH_ERR_INSTRUCTION;
    }
    return status;
}

/* Fills in what the handler needs to emulate the new instruction of @site. */
static void site_note_new(struct patch_site *site, const struct instruction *instruction)
{
    uint64_t next = site->address + site->length;
    enum instruction_kind kind = instruction->kind;
    bool is_relative = instruction_has_target(kind) || instruction_reads_word(kind);

    site->kind = (uint8_t)kind;
    site->condition = instruction->condition;
    site->displacement = (int32_t)(instruction->target - (is_relative ? next : 0));
    site->is_quadword = false; /* a plan by another protocol may have set it */
}

/* Checks @site alone, and completes it. */
static enum patch_status check_site(struct patch_batch *batch, struct patch_site *site)
{
    const uint8_t *text = (const uint8_t *)site->address;
    struct instruction instruction;
    enum patch_status status;

    if (!platform_text_is_patchable(text, site->length)) {
        return batch_refuse(batch, PATCH_ERR_NOT_TEXT, site->address, 0);
    }
    status = site_decode(site, site->old_bytes, &instruction);
    if (status != PATCH_OK) {
        return batch_refuse_bytes(batch, status, site, site->old_bytes, text);
    }
    if (!bytes_equal(text, site->old_bytes, site->length)) {
        return batch_refuse_bytes(batch, PATCH_ERR_UNEXPECTED, site, site->old_bytes, text);
    }
    status = site_decode(site, site->new_bytes, &instruction);
    if (status != PATCH_OK) {
        return batch_refuse_bytes(batch, status, site, site->new_bytes, text);
    }
    site_note_new(site, &instruction);
    return PATCH_OK;
}

/* The last site that starts at or before @address, or NULL; the sites are sorted and indexed. */
static const struct patch_site *find_site_at_or_before(const struct patch_batch *batch,
                                                       uint64_t address)
{
    const struct patch_index *index = &batch->index;

    if (address < index->base) {
        return NULL;
    }

    uint64_t bucket = (address - index->base) >> index->shift;

    if (bucket >= PATCH_INDEX_BUCKETS) {
        bucket = PATCH_INDEX_BUCKETS - 1;
    }

    uint32_t low = index->bucket_start[bucket]; /* all sites in front of the bucket are lower */
    uint32_t high = index->bucket_start[bucket + 1];

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (batch->sites[middle].address <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return &batch->sites[low - 1]; /* there is one: the first site starts at the base */
}

/* Checks site @i against the others: no byte shared, no jump into the middle of one. */
static enum patch_status check_collisions(struct patch_batch *batch, uint32_t i)
{
    const struct patch_site *site = &batch->sites[i];
    const struct patch_site *before = i > 0 ? site - 1 : NULL;

    if (before != NULL && before->address + before->length > site->address) {
        bool is_same = before->address == site->address;

        return batch_refuse(batch, is_same ? PATCH_ERR_DUPLICATE : PATCH_ERR_OVERLAP, site->address,
                            before->address);
    }
    if (!instruction_has_target((enum instruction_kind)site->kind)) {
        return PATCH_OK;
    }

    uint64_t target = site->address + site->length + (uint64_t)(int64_t)site->displacement;
    const struct patch_site *hit = find_site_at_or_before(batch, target);

    if (hit != NULL && target > hit->address && target < hit->address + hit->length) {
        return batch_refuse(batch, PATCH_ERR_TARGET_IN_SITE, site->address, hit->address);
    }
    return PATCH_OK;
}

static enum patch_status check_all(struct patch_batch *batch)
{
    enum patch_status status = batch->error.status;

    if (status == PATCH_OK) {
        status = check_protocol(batch->protocol, batch->flags);
    }
    if (status != PATCH_OK && batch->error.status == PATCH_OK) {
        batch_refuse(batch, status, 0, 0);
    }
    if (status == PATCH_OK && !platform_may_patch()) {
        status = batch_refuse(batch, PATCH_ERR_CONTEXT, 0, 0);
    }
    if (status == PATCH_OK && batch->added == 0) {
        status = batch_refuse(batch, PATCH_ERR_EMPTY, 0, 0);
    }
    for (uint32_t i = 0; status == PATCH_OK && i < batch->count; i++) {
        status = check_site(batch, &batch->sites[i]);
    }
    if (status == PATCH_OK) {
        sort_sites(batch);
        build_index(batch);
    }
    for (uint32_t i = 0; status == PATCH_OK && i < batch->count; i++) {
        status = check_collisions(batch, i);
    }
    return status;
}

/* Drops them; the index is that of the sites left. */
static void drop_unchanged_sites(struct patch_batch *batch)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < batch->count; i++) {
        const struct patch_site *site = &batch->sites[i];

        if (!bytes_equal(site->old_bytes, site->new_bytes, site->length)) {
            if (kept != i) {
                batch->sites[kept] = *site;
            }
            kept++;
        }
    }
    if (kept != batch->count) {
        batch->count = kept;
        build_index(batch);
    }
}

/* Everything that comes before the first write: checks, and what protocol and handler need. */
static enum patch_status batch_prepare(struct patch_batch *batch)
{
    enum patch_status status = check_all(batch);

    batch->record.quadwords = 0;
    if (status != PATCH_OK) {
        return status;
    }
    drop_unchanged_sites(batch);

    const struct patch_protocol *protocol = protocols[batch->protocol];

    if (batch->count > 0 && protocol->prepare != NULL) {
        status = protocol->prepare(batch);
    }
    return status;
}

static void require_lock(const struct patch_batch *batch)
{
    if (!platform_lock_is_held()) {
        platform_fatal("batch applied without the patch lock", batch, 1, 0);
    }
}

enum patch_status patch_batch_apply_locked(struct patch_batch *batch)
{
    struct patch_record *record = &batch->record;
    uint64_t start = platform_time_ticks();
    uint64_t traps_before = patch_traps_emulated_total();

    require_lock(batch);
    record->who = batch->who;
    record->caller = batch->caller;
    record->protocol = patch_protocol_name(batch->protocol);
    record->wall_ns = platform_wall_ns();
    record->status = batch_prepare(batch);
    if (record->status == PATCH_OK) {
        record->sites = batch->count;
    } else {
        record->quadwords = 0; /* counted until the refusal */
    }
    if (record->status == PATCH_OK && batch->count > 0) {
        batch->needs_refresh = platform_text_needs_refresh();
        record->status = protocols[batch->protocol]->apply(batch);
    }
    record->traps = patch_traps_emulated_total() - traps_before;
    record->total_ns = platform_ticks_to_ns(platform_time_ticks() - start);
    patch_record_add(record);
    return record->status;
}

enum patch_status patch_batch_apply(struct patch_batch *batch)
{
    if (!platform_may_patch()) {
        return batch_refuse(batch, PATCH_ERR_CONTEXT, 0, 0);
    }
    platform_lock();
    enum patch_status status = patch_batch_apply_locked(batch);

    platform_unlock();
    return status;
}

enum patch_status patch_batch_plan_locked(struct patch_batch *batch, unsigned *rounds)
{
    require_lock(batch);
    *rounds = 0;

    enum patch_status status = batch_prepare(batch);

    if (status == PATCH_OK) {
        *rounds = protocols[batch->protocol]->count_rounds(batch);
    }
    return status;
}
