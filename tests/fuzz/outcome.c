// SPDX-License-Identifier: MIT
/* See outcome.h. Called by: fuzz_batch.c. */
#include "tests/fuzz/outcome.h"

#include "tests/fuzz/check.h"
#include "tests/fuzz/fetch.h"
#include "tests/fuzz/machine.h"

#include <string.h>

void outcome_check_record(const struct patch_batch *batch, enum patch_status status,
                          uint64_t newest)
{
    struct patch_record record;
    /* What was never written is not refreshed: stop, and a CPU did not come. */
    unsigned refreshed = machine.needs_refresh && machine.bytes > 0 ? batch->record.sites : 0;

    FUZZ_CHECK(patch_record_newest() == newest + 1 && patch_record_get(newest + 1, &record) &&
                   memcmp(&record, &batch->record, sizeof(record)) == 0,
               "no record, or another one");
    FUZZ_CHECK(record.status == status, "record says %u instead of %u", record.status, status);
    FUZZ_CHECK(record.rounds == machine.rounds && record.ipis == machine.ipis,
               "record: %u rounds, %u IPIs, but %u, %u", record.rounds, record.ipis, machine.rounds,
               machine.ipis);
    FUZZ_CHECK(record.ipis == record.rounds * (machine.cpus - 1), "%u IPIs", record.ipis);
    FUZZ_CHECK(record.bytes + refreshed == machine.bytes, "record: %u bytes, but %u", record.bytes,
               machine.bytes - refreshed);
    FUZZ_CHECK(record.traps == fetch_emulated(), "record: %llu traps, but %u",
               (unsigned long long)record.traps, fetch_emulated());
}

void outcome_check_applied(const struct patch_batch *batch, const struct model *model,
                           enum patch_status status, struct model_cost cost, const uint8_t *before)
{
    static uint8_t expected[ARENA_SIZE];
    bool went_wrong = machine.failed_writes > 0 || machine.failed_rounds > 0;

    memcpy(expected, before, ARENA_SIZE);
    FUZZ_CHECK(batch->error.status == status, "error %u, returned %u", batch->error.status, status);
    if (went_wrong) {
        FUZZ_CHECK((status == PATCH_ERR_WRITE && machine.failed_writes > 0) ||
                       (status == PATCH_ERR_SILENT_CPU && machine.failed_rounds > 0 &&
                        batch->error.cpu == machine.silent_cpu),
                   "status %u after %u failed writes, %u failed rounds", status,
                   machine.failed_writes, machine.failed_rounds);
    } else {
        model_apply(model, expected);
        FUZZ_CHECK(status == PATCH_OK, "refused with %u for no reason", status);
        FUZZ_CHECK(batch->record.rounds == cost.rounds, "%u rounds instead of %u",
                   batch->record.rounds, cost.rounds);
        FUZZ_CHECK(batch->record.bytes == cost.bytes, "%u bytes instead of %u", batch->record.bytes,
                   cost.bytes);
    }
    FUZZ_CHECK(batch->record.sites == cost.sites && batch->record.quadwords == cost.quadwords,
               "%u sites, %u quadwords, instead of %u, %u", batch->record.sites,
               batch->record.quadwords, cost.sites, cost.quadwords);
    FUZZ_CHECK(memcmp(arena, expected, ARENA_SIZE) == 0, "text is not %s",
               went_wrong ? "as it was" : "new");
}

void outcome_check_stopped(const struct model *model)
{
    bool may_be_fatal =
        machine.failed_writes > 1 || machine.failed_rounds > 0 ||
        (machine.failed_writes > 0 && (machine.needs_refresh || model_has_last(model)));

    FUZZ_CHECK(machine.end != END_FATAL || may_be_fatal, "fatal for no reason");
    FUZZ_CHECK(machine.end != END_FATAL_SILENT_CPU ||
                   (machine.failed_rounds > 0 && model->protocol != PATCH_PROTOCOL_STOP),
               "stopped for no silent CPU");
}

void outcome_check_refused(const struct patch_batch *batch, const struct model *model,
                           enum patch_status status, uint32_t faults)
{
    FUZZ_CHECK((unsigned)status < PATCH_STATUS_COUNT && faults >> status & 1,
               "refused with %u, faults %#x", status, faults);
    FUZZ_CHECK(batch->error.status == status, "error %u, returned %u", batch->error.status, status);
    FUZZ_CHECK(machine.writes == 0 && machine.rounds == 0, "refused after %u writes, %u rounds",
               machine.writes, machine.rounds);
    if (status != PATCH_ERR_CONTEXT) {
        model_check_error(model, &batch->error);
    }
}
