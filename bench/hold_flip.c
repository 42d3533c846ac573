// SPDX-License-Identifier: MIT
/* Held batches over hold sites. Invariant: see hold_flip.h. */
#include "bench/hold_flip.h"

#include "arch/clock.h"
#include "arch/percpu.h"
#include "kernel/format.h"
#include "kernel/patch_hold.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "patching/platform.h"

#define POLL_NS    200000ull
#define REFRESH_NS 20000000ull

const char *const hold_step_names[] = {"int3", "tail", "first", NULL};
const char *const hold_moment_names[] = {"within", "written", "synced", NULL};

static struct patch_batch batch; /* static: a handler reads it */
static uint64_t acknowledged[CPU_MAX];

enum allowed { ALLOW_OLD = 1, ALLOW_TRAP = 2, ALLOW_NEW = 4, ALLOW_MIXED = 8 };

void hold_flip_fault(struct hold_flip *flip, const char *format, ...)
{
    if (!flip->is_faulty) {
        flip->is_faulty = true;
        size_t length = format_text(flip->fault, sizeof(flip->fault), "%s, goal %u, step %s %s: ",
                                    patch_protocol_name(flip->protocol), (unsigned)flip->goal,
                                    hold_step_names[flip->step], hold_moment_names[flip->moment]);
        va_list arguments;
        va_start(arguments, format);
        format_text_va(flip->fault + length, sizeof(flip->fault) - length, format, arguments);
        va_end(arguments);
    }
}

static bool takes_part(const struct hold_flip *flip, unsigned site)
{
    return flip->sites >> site & 1;
}

/* The form in which a site stands before the batch. */
static enum hold_form form_before(const struct hold_flip *flip, unsigned site)
{
    return takes_part(flip, site) ? (enum hold_form)(HOLD_FORM_SECOND - flip->goal)
                                  : HOLD_FORM_FIRST;
}

static bool is_one_by_one(const struct hold_flip *flip)
{
    return flip->protocol == PATCH_PROTOCOL_INT3 || flip->protocol == PATCH_PROTOCOL_NAIVE;
}

static bool is_whole(enum patch_protocol_id protocol, unsigned site)
{
    return protocol == PATCH_PROTOCOL_STOP ||
           (protocol == PATCH_PROTOCOL_QWORD && hold_site_fits_quadword(&hold_sites[site]));
}

bool hold_protocol_has_step(enum patch_protocol_id protocol, uint32_t sites, enum patch_step step)
{
    bool has = step == PATCH_STEP_FIRST;
    for (unsigned i = 0; i < HOLD_SITES; i++) {
        has |= (sites >> i & 1) && !is_whole(protocol, i) && protocol != PATCH_PROTOCOL_NAIVE;
    }
    return has;
}

/* Where the batch stands with @site: -1 it is still to come, 0 in flight, 1 behind it. */
static int progress(const struct hold_flip *flip, unsigned site)
{
    if (!takes_part(flip, site)) {
        return -1;
    }
    if (!is_one_by_one(flip) || site == flip->in_flight) {
        return 0;
    }
    return site < flip->in_flight ? 1 : -1;
}

static unsigned allowed(const struct hold_flip *flip, unsigned site)
{
    static const uint8_t by_int3[PATCH_STEPS][2] = {
        [PATCH_STEP_INT3] = {ALLOW_OLD | ALLOW_TRAP, ALLOW_TRAP},
        [PATCH_STEP_TAIL] = {ALLOW_TRAP, ALLOW_TRAP},
        [PATCH_STEP_FIRST] = {ALLOW_TRAP | ALLOW_NEW, ALLOW_NEW},
    };
    static const uint8_t at_once[PATCH_STEPS][2] = {
        [PATCH_STEP_INT3] = {ALLOW_OLD, ALLOW_OLD},
        [PATCH_STEP_TAIL] = {ALLOW_OLD, ALLOW_OLD},
        [PATCH_STEP_FIRST] = {ALLOW_OLD | ALLOW_NEW, ALLOW_NEW},
    };
    int where = progress(flip, site);
    bool synced = flip->moment == PATCH_MOMENT_SYNCED;
    if (where < 0) {
        return ALLOW_OLD;
    }
    if (flip->protocol == PATCH_PROTOCOL_NAIVE) {
        return ALLOW_OLD | ALLOW_NEW;
    }
    if (where > 0) {
        return ALLOW_NEW;
    }
    if (!is_whole(flip->protocol, site)) {
        return by_int3[flip->step][synced];
    }
    bool torn = flip->fetch_is_bytewise && flip->step == PATCH_STEP_FIRST && !synced;
    return at_once[flip->step][synced] | (torn ? ALLOW_MIXED : 0);
}

static uint64_t sum_of(const struct hold_counts *counts, unsigned site)
{
    const uint64_t *outcomes = counts->outcomes[site];
    return outcomes[HOLD_FIRST] + outcomes[HOLD_SECOND] + outcomes[HOLD_MIXED];
}

static bool site_counts_are_allowed(struct hold_flip *flip, unsigned site,
                                    const struct hold_counts *counts)
{
    unsigned may = allowed(flip, site);
    enum hold_form before = form_before(flip, site);
    bool old = counts->outcomes[site][before] != 0;
    bool new = counts->outcomes[site][HOLD_FORM_SECOND - before] != 0;
    bool mixed = counts->outcomes[site][HOLD_MIXED] != 0;
    return (!mixed || may & ALLOW_MIXED) && (!old || may & ALLOW_OLD) &&
           (!new || may &(ALLOW_TRAP | ALLOW_NEW)) && sum_of(counts, site) == counts->rounds;
}

static const char *allowed_text(unsigned may)
{
    static const char *const texts[] = {"nothing", "old",      "trap",     "old, trap",
                                        "new",     "old, new", "trap, new"};
    return texts[may & (ALLOW_OLD | ALLOW_TRAP | ALLOW_NEW)];
}

bool hold_flip_check_counts(struct hold_flip *flip, unsigned cpu, const struct hold_counts *counts)
{
    uint64_t least_traps = 0;
    uint64_t most_traps = 0;
    for (unsigned i = 0; i < HOLD_SITES; i++) {
        const uint64_t *outcomes = counts->outcomes[i];
        enum hold_form before = form_before(flip, i);
        unsigned may = allowed(flip, i);
        uint64_t new = outcomes[HOLD_FORM_SECOND - before];
        if (!site_counts_are_allowed(flip, i, counts)) {
            hold_flip_fault(flip,
                            "cpu %u, %s %s: of %llu runs %llu old, %llu new, %llu mixed; allowed: "
                            "%s",
                            cpu, hold_sites[i].name, hold_sites[i].place,
                            (unsigned long long)counts->rounds,
                            (unsigned long long)outcomes[before], (unsigned long long)new,
                            (unsigned long long)outcomes[HOLD_MIXED], allowed_text(may));
            return false;
        }
        most_traps += may & ALLOW_TRAP ? new : 0;
        least_traps += may & ALLOW_TRAP && !(may & ALLOW_NEW) ? new : 0;
    }
    if (counts->traps < least_traps || counts->traps > most_traps) {
        hold_flip_fault(flip, "cpu %u: %llu traps, expected %llu to %llu", cpu,
                        (unsigned long long)counts->traps, (unsigned long long)least_traps,
                        (unsigned long long)most_traps);
        return false;
    }
    return true;
}

bool hold_flip_check_outcome(struct hold_flip *flip, unsigned site, enum hold_outcome outcome)
{
    struct hold_counts counts = {.rounds = 1};
    counts.outcomes[site][outcome] = 1;
    if (!site_counts_are_allowed(flip, site, &counts)) {
        hold_flip_fault(flip, "a thread at %s %s came to %s; allowed: %s", hold_sites[site].name,
                        hold_sites[site].place,
                        outcome == HOLD_MIXED                          ? "a mixture"
                        : outcome == (unsigned)form_before(flip, site) ? "the old code"
                                                                       : "the new code",
                        allowed_text(allowed(flip, site)));
        return false;
    }
    return true;
}

void hold_flip_sum(const struct hold_flip *flip, const struct hold_counts *counts,
                   struct hold_sums *sums)
{
    *sums = (struct hold_sums){.emulated = counts->traps};
    for (unsigned i = 0; i < HOLD_SITES; i++) {
        enum hold_form before = form_before(flip, i);
        if (!takes_part(flip, i) || (flip->in_flight != HOLD_SITES && flip->in_flight != i)) {
            continue;
        }
        sums->old += counts->outcomes[i][before];
        sums->new += counts->outcomes[i][HOLD_FORM_SECOND - before];
        sums->mixed += counts->outcomes[i][HOLD_MIXED];
    }
}

/* What must stand at a site now. */
static void expected_bytes(const struct hold_flip *flip, unsigned site, uint8_t *bytes)
{
    const struct hold_site *hold = &hold_sites[site];
    enum hold_form before = form_before(flip, site);
    uint8_t goal[PATCH_SITE_LENGTH_MAX];
    size_t length = hold->forms[before].length;
    int where = progress(flip, site);
    hold_site_bytes(hold, before, bytes);
    hold_site_bytes(hold, (enum hold_form)(HOLD_FORM_SECOND - before), goal);
    if (where > 0 || (where == 0 && flip->step == PATCH_STEP_FIRST)) {
        bool partial = where == 0 && flip->moment == PATCH_MOMENT_WITHIN;
        memcpy(bytes, goal, partial ? flip->written : length);
    } else if (where == 0 && !is_whole(flip->protocol, site)) {
        memcpy(bytes, goal, flip->step == PATCH_STEP_TAIL ? length : 0);
        bytes[0] = INSN_INT3;
    }
}

bool hold_flip_check_text(struct hold_flip *flip)
{
    for (unsigned i = 0; i < HOLD_SITES; i++) {
        const uint8_t *text = (const uint8_t *)hold_sites[i].address;
        uint8_t expected[PATCH_SITE_LENGTH_MAX];
        expected_bytes(flip, i, expected);
        for (unsigned k = 0; k < hold_sites[i].forms[HOLD_FORM_FIRST].length; k++) {
            if (text[k] != expected[k]) {
                hold_flip_fault(flip, "%s %s: byte %u is %02x, expected %02x", hold_sites[i].name,
                                hold_sites[i].place, k, text[k], expected[k]);
                return false;
            }
        }
    }
    return true;
}

/* QEMU's TCG discards translations before it stores, so a CPU may translate the old bytes anew in
 * between. */
void hold_flip_refresh(void)
{
    if (!platform_text_needs_refresh()) {
        return;
    }
    platform_text_open();
    for (unsigned i = 0; i < HOLD_SITES; i++) {
        uint8_t byte = *(const uint8_t *)hold_sites[i].address;
        if (!platform_text_write((void *)hold_sites[i].address, &byte, 1)) {
            platform_fatal("hold site changed while it was refreshed",
                           (const void *)hold_sites[i].address, byte, 0);
        }
    }
    platform_text_close();
}

struct waiting {
    const struct hold_window *window;
    uint64_t refresh_ns; /* when next */
};

static bool wait_a_little(void *argument)
{
    struct waiting *waiting = argument;
    if (clock_now_ns() > waiting->refresh_ns) {
        hold_flip_refresh();
        waiting->refresh_ns = clock_now_ns() + REFRESH_NS;
    }
    if (waiting->window->meanwhile != NULL) {
        return waiting->window->meanwhile(waiting->window->argument);
    }
    thread_sleep_ns(POLL_NS);
    return true;
}

enum hold_window_result hold_flip_count(struct hold_flip *flip, struct hold_window window)
{
    unsigned stuck_cpu = 0;
    struct waiting waiting = {.window = &window, .refresh_ns = clock_now_ns() + REFRESH_NS};
    struct hold_window outer = window;
    outer.meanwhile = wait_a_little;
    outer.argument = &waiting;
    enum hold_window_result result = hold_window_count(&outer, &stuck_cpu);
    if (result == HOLD_WINDOW_STUCK) {
        hold_flip_fault(flip, "cpu %u made no progress", stuck_cpu);
    }
    for (unsigned cpu = 0; result == HOLD_WINDOW_DONE && cpu < cpu_present_count(); cpu++) {
        if (hold_reader_runs(cpu)) {
            hold_flip_check_counts(flip, cpu, hold_reader_counts(cpu));
        }
    }
    return result;
}

/* A sync is a round that every CPU has acknowledged since the step was written. */
static void check_acknowledged(struct hold_flip *flip)
{
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (cpu != cpu_index() && cpu_index_is_online(cpu) &&
            __atomic_load_n(&cpu_by_index(cpu)->sync_acknowledged, __ATOMIC_ACQUIRE) ==
                acknowledged[cpu]) {
            hold_flip_fault(flip, "cpu %u has not acknowledged the sync", cpu);
        }
    }
}

static void note_acknowledged(void)
{
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        acknowledged[cpu] =
            __atomic_load_n(&cpu_by_index(cpu)->sync_acknowledged, __ATOMIC_RELAXED);
    }
}

static unsigned next_site(const struct hold_flip *flip, unsigned after)
{
    unsigned site = after;
    while (site < HOLD_SITES && !takes_part(flip, site)) {
        site++;
    }
    return site;
}

/* Follows the batch from site to site, and within a site of naive from byte to byte. */
static void advance(struct hold_flip *flip)
{
    bool begins = flip->step == PATCH_STEP_INT3 && flip->moment == PATCH_MOMENT_WRITTEN;
    bool within = flip->moment == PATCH_MOMENT_WITHIN;
    if (within) {
        flip->written++;
        begins = flip->written == 1 ||
                 flip->written == hold_sites[flip->in_flight].forms[HOLD_FORM_FIRST].length;
    }
    if (is_one_by_one(flip) && begins) {
        flip->in_flight = next_site(flip, flip->holds == 1 ? 0 : flip->in_flight + 1);
        flip->written = within ? 1 : 0;
    } else if (flip->protocol == PATCH_PROTOCOL_NAIVE && !within) {
        flip->in_flight = HOLD_SITES; /* all are behind it */
    }
}

static void held(enum patch_step step, enum patch_moment moment, void *argument)
{
    struct hold_flip *flip = argument;
    flip->step = step;
    flip->moment = moment;
    flip->holds++;
    advance(flip);
    hold_flip_refresh();
    hold_flip_check_text(flip);
    if (moment == PATCH_MOMENT_SYNCED) {
        check_acknowledged(flip);
    }
    if (flip->visit != NULL) {
        flip->visit(flip);
    }
    if (moment == PATCH_MOMENT_WRITTEN) {
        note_acknowledged();
    }
}

enum patch_status hold_flip_apply(struct hold_flip *flip)
{
    enum patch_status status = PATCH_OK;
    flip->holds = flip->written = 0;
    flip->in_flight = HOLD_SITES;
    patch_batch_initialize(&batch, "hold sites");
    batch.protocol = flip->protocol;
    batch.flags = flip->flags;
    for (unsigned i = 0; status == PATCH_OK && i < HOLD_SITES; i++) {
        uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
        uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
        if (takes_part(flip, i)) {
            hold_site_bytes(&hold_sites[i], form_before(flip, i), old_bytes);
            hold_site_bytes(&hold_sites[i], flip->goal, new_bytes);
            status = patch_batch_add(&batch, hold_sites[i].address, old_bytes, new_bytes,
                                     hold_sites[i].forms[flip->goal].length);
        }
    }
    if (status == PATCH_OK) {
        /* Under the lock, so that no batch of another thread is held. */
        platform_lock();
        patch_hold_set(held, flip);
        status = patch_batch_apply_locked(&batch);
        patch_hold_set(NULL, NULL);
        platform_unlock();
    }
    flip->record = batch.record;
    flip->error = batch.error;
    return status;
}
