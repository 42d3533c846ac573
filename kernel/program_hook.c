// SPDX-License-Identifier: MIT
/* Which way packet programs are run; see program_hook.h. Invariant: a program is run, once a frame,
 * whichever way; a change that fails leaves the way that was. Called by: commands_prog.c. */
#include "kernel/program_hook.h"

#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/options.h"
#include "kernel/string.h"
#include "kernel/table.h"
#include "net/net_device.h"
#include "net/receive.h"

#define NAME_BYTES 16

enum hook_way { HOOK_DISPATCHER, HOOK_DYNAMIC };
static const char *const way_names[] = {"dispatcher", "dynamic", NULL};

static enum hook_way hook_way(void)
{
    return static_key_is_enabled(&receive_hook_dynamic) ? HOOK_DYNAMIC : HOOK_DISPATCHER;
}

/* @device NULL: there is none, but the way is to be seen. */
static void row_print(struct table *table, const struct net_device *device)
{
    char name[NAME_BYTES];

    table_row(table);
    if (device == NULL) {
        table_none(table, "nic", 5);
    } else {
        table_text(table, "nic", 5, device->name);
    }
    table_text(table, "way", 10, way_names[hook_way()]);
    if (device == NULL || device->hook_instance == DYNAMIC_INSTANCE_NONE) {
        table_none(table, "dyncall", 7);
    } else {
        format_text(name, sizeof(name), "hook_%u", device->hook_instance);
        table_text(table, "dyncall", 7, name);
    }
    table_end_row(table);
}

static void table_print(bool json)
{
    const struct net_device *device = net_device_at(0);
    struct table table;

    table_begin(&table, "prog.hook", json);
    if (device == NULL) {
        row_print(&table, NULL);
    }
    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        row_print(&table, device);
    }
    table_end(&table);
}

static bool way_choose(const char *command, const char *word)
{
    bool is_dynamic = strcmp(word, way_names[HOOK_DYNAMIC]) == 0;
    enum patch_status status;

    if (!is_dynamic && strcmp(word, way_names[HOOK_DISPATCHER]) != 0) {
        console_print("%s: '%s' is not one of dispatcher dynamic\n", command, word);
        return false;
    }
    status = is_dynamic ? static_key_enable(&receive_hook_dynamic)
                        : static_key_disable(&receive_hook_dynamic);
    if (status != PATCH_OK) {
        console_print("%s: %s: %s\n", command, word, patch_status_text(status));
    }
    return status == PATCH_OK;
}

enum command_result program_hook_run(int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }
    if (argc > 1 && !way_choose(argv[0], argv[1])) {
        return COMMAND_FAILED;
    }
    table_print(json);
    return COMMAND_OK;
}

void program_hook_complete(struct shell_completion *completion)
{
    shell_completion_offer_all(completion, way_names);
}
