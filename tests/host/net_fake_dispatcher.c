// SPDX-License-Identifier: MIT
/* A dispatcher and its surroundings for net/ as a Linux program; see net_fake_dispatcher.h. */
#include "tests/host/net_fake_dispatcher.h"

#include <string.h>
#include <sys/mman.h>

#include "arch/paging.h"
#include "kernel/grace_period.h"
#include "patching/dispatcher.h"
#include "patching/dynamic_call.h"
#include "patching/generated_text.h"

#define INT3 0xcc

char net_fake_steps[64];
void (*net_fake_on_step)(char step);
int net_fake_steps_until_failure = -1;
uint32_t net_fake_entries_most = DISPATCHER_ENTRY_MAX;
uint64_t net_fake_forgotten;

/* Writes the step down. Returns false if it is to fail. */
static bool step(char letter)
{
    size_t length = strlen(net_fake_steps);

    if (net_fake_on_step != NULL) {
        net_fake_on_step(letter);
    }
    if (net_fake_steps_until_failure == 0) {
        return false;
    }
    net_fake_steps_until_failure -= net_fake_steps_until_failure > 0;
    if (length + 1 < sizeof(net_fake_steps)) {
        net_fake_steps[length] = letter;
        net_fake_steps[length + 1] = '\0';
    }
    return true;
}

static enum patch_status fail(enum patch_status status, struct patch_error *error)
{
    if (error != NULL) {
        *error = (struct patch_error){.status = status};
    }
    return status;
}

/* There is one dispatcher. */
static struct dispatcher_entry entries[DISPATCHER_ENTRY_MAX];
static uint32_t entry_count;

static struct dispatcher_entry *entry_find(uint64_t target)
{
    for (uint32_t i = 0; i < entry_count; i++) {
        if (entries[i].target == target) {
            return &entries[i];
        }
    }
    return NULL;
}

static enum patch_status entry_add(uint64_t target, struct patch_error *error)
{
    struct dispatcher_entry *entry = entry_find(target);

    if (entry == NULL && entry_count >= net_fake_entries_most) {
        return fail(PATCH_ERR_NO_SLOT, error);
    }
    if (!step('+')) {
        return fail(PATCH_ERR_SILENT_CPU, error);
    }
    if (entry == NULL) {
        entries[entry_count++] = (struct dispatcher_entry){target, 1};
    } else {
        entry->references++;
    }
    return PATCH_OK;
}

static enum patch_status entry_remove(uint64_t target, struct patch_error *error)
{
    struct dispatcher_entry *entry = entry_find(target);

    if (entry == NULL) {
        return fail(PATCH_ERR_NO_ENTRY, error);
    }
    if (!step('-')) {
        return fail(PATCH_ERR_SILENT_CPU, error);
    }
    if (--entry->references == 0) {
        *entry = entries[--entry_count];
    }
    return PATCH_OK;
}

enum patch_status dispatcher_update(struct dispatcher *dispatcher, dispatched_function *from,
                                    dispatched_function *to, struct patch_error *error)
{
    enum patch_status status = PATCH_OK;

    (void)dispatcher;
    if (from != NULL) {
        status = entry_remove((uint64_t)from, error);
    }
    if (status == PATCH_OK && to != NULL) {
        status = entry_add((uint64_t)to, error);
    }
    return status;
}

void dispatcher_look(struct dispatcher *dispatcher, struct dispatcher_view *view)
{
    *view = (struct dispatcher_view){.name = dispatcher->name, .count = entry_count};
    for (uint32_t i = 0; i < entry_count; i++) {
        view->entries[i] = entries[i];
        view->references += entries[i].references;
    }
}

bool synchronize_tasks(void)
{
    return step('g');
}

/* As the real one: it waits, also if no slot names the target. */
enum patch_status dynamic_calls_forget(uint64_t target, struct patch_error *error)
{
    net_fake_forgotten = target;
    return step('f') ? PATCH_OK : fail(PATCH_ERR_STILL_INSIDE, error);
}

/* Generated code stays where the kernel would have it, in a section of text. */
static void write_text(uint64_t address, const uint8_t *bytes, size_t length)
{
    uint64_t first = address & ~(PAGE_SIZE - 1);
    size_t whole = address + length - first;

    mprotect((void *)first, whole, PROT_READ | PROT_WRITE | PROT_EXEC);
    if (bytes != NULL) {
        memcpy((void *)address, bytes, length);
    } else {
        memset((void *)address, INT3, length);
    }
    mprotect((void *)first, whole, PROT_READ | PROT_EXEC);
}

enum patch_status generated_text_write(uint64_t address, const uint8_t *bytes, size_t length,
                                       struct patch_error *error)
{
    if (!step('w')) {
        return fail(PATCH_ERR_WRITE, error);
    }
    write_text(address, bytes, length);
    return PATCH_OK;
}

enum patch_status generated_text_erase(uint64_t address, size_t length, struct patch_error *error)
{
    if (!step('e')) {
        return fail(PATCH_ERR_WRITE, error);
    }
    write_text(address, NULL, length);
    return PATCH_OK;
}
