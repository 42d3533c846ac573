// SPDX-License-Identifier: MIT
/* The shell command nic: network cards that were found, their counters and packets, and their
 * reset. Invariant: a card that no driver took is listed as well, so that what is missing is seen.
 * Counters run on meanwhile: each figure is exact when it is read, a table is not one instant. */
#include "arch/clock.h"
#include "drivers/pci.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/net_command.h"
#include "kernel/options.h"
#include "kernel/string.h"

#define PCI_CLASS_NETWORK 0x02 /* the upper 8 bits of the class code */

static const char *link_text(const struct net_device *device)
{
    if (__atomic_load_n(&device->is_dead, __ATOMIC_RELAXED)) {
        return "dead";
    }
    return __atomic_load_n(&device->link_is_up, __ATOMIC_RELAXED) ? "up" : "down";
}

static struct pci_device *pci_find_location(const char *location)
{
    for (unsigned i = 0; i < pci_device_count(); i++) {
        if (strcmp(pci_device_at(i)->location, location) == 0) {
            return pci_device_at(i);
        }
    }
    return NULL;
}

static void table_pci_id(struct table *table, const struct pci_device *card)
{
    char text[10]; /* "8086:100e" */

    if (card == NULL) {
        table_none(table, "id", 9);
        return;
    }
    format_text(text, sizeof(text), "%04x:%04x", card->vendor, card->id);
    table_text(table, "id", 9, text);
}

static void row_print_device(struct table *table, const struct net_device *device)
{
    uint64_t cpus[NET_QUEUE_MAX];
    char mac[MAC_TEXT_BYTES];

    for (unsigned i = 0; i < device->queue_count; i++) {
        cpus[i] = device->queues[i].cpu;
    }
    mac_format(device->mac, mac);
    table_row(table);
    table_text(table, "name", 5, device->name);
    table_text(table, "driver", 10, device->operations->driver);
    table_text(table, "pci", 8, device->location);
    table_pci_id(table, pci_find_location(device->location));
    table_text(table, "mac", MAC_TEXT_BYTES - 1, mac);
    table_number(table, "queues", 6, device->queue_count);
    table_numbers(table, "cpus", 8, cpus, device->queue_count);
    table_text(table, "interrupt", 9, device->interrupt_kind);
    table_text(table, "link", 4, link_text(device));
    table_end_row(table);
}

/* The same fields; what only a driver knows is none. */
static void row_print_card(struct table *table, const struct pci_device *card)
{
    table_row(table);
    table_none(table, "name", 5);
    table_text(table, "driver", 10, "no driver");
    table_text(table, "pci", 8, card->location);
    table_pci_id(table, card);
    table_none(table, "mac", MAC_TEXT_BYTES - 1);
    table_none(table, "queues", 6);
    table_none(table, "cpus", 8);
    table_none(table, "interrupt", 9);
    table_none(table, "link", 4);
    table_end_row(table);
}

static enum command_result list_run(int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    const struct net_device *device;
    struct table table;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    table_begin(&table, "nic", json);
    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        row_print_device(&table, device);
    }
    for (unsigned i = 0; i < pci_device_count(); i++) {
        const struct pci_device *card = pci_device_at(i);

        if (card->class_code >> 16 == PCI_CLASS_NETWORK && card->driver == NULL) {
            row_print_card(&table, card);
        }
    }
    if (table.rows == 0 && !json) {
        console_print("No network card was found.\n");
        return COMMAND_OK;
    }
    table_end(&table);
    return COMMAND_OK;
}

/* The columns of `nic stats`, in the order of the listing. */
static const struct queue_column {
    const char *name;
    unsigned width;
    size_t offset;
} queue_columns[] = {
#define COLUMN(name, width, field)                                                                 \
    {                                                                                              \
        name, width, offsetof(struct net_queue_counters, field)                                    \
    }
    COLUMN("interrupts", 10, interrupts),
    COLUMN("polls", 10, polls),
    COLUMN("polls_empty", 11, polls_empty),
    COLUMN("polls_whole", 11, polls_whole),
    COLUMN("received", 10, received),
    COLUMN("received_bytes", 14, received_bytes),
    COLUMN("no_buffer", 9, no_buffer),
    COLUMN("transmitted", 11, transmitted),
    COLUMN("transmitted_bytes", 17, transmitted_bytes),
    COLUMN("transmit_full", 13, transmit_full),
    COLUMN("doorbells", 9, transmit_starts),
#undef COLUMN
};

static void queue_rows_print(struct table *table, struct net_device *device)
{
    for (unsigned queue = 0; queue < device->queue_count; queue++) {
        const char *counters = (const char *)&device->queues[queue].counters;

        table_row(table);
        table_text(table, "name", 5, device->name);
        table_number(table, "queue", 5, queue);
        table_number(table, "cpu", 3, device->queues[queue].cpu);
        for (size_t i = 0; i < ARRAY_COUNT(queue_columns); i++) {
            const struct queue_column *column = &queue_columns[i];

            /* Relaxed: a counter that its queue's thread writes; nothing hangs on it. */
            table_number(
                table, column->name, column->width,
                __atomic_load_n((const uint64_t *)(counters + column->offset), __ATOMIC_RELAXED));
        }
        table_end_row(table);
    }
}

static void packets_row_print(struct table *table, struct net_device *device)
{
    struct net_packet_census census = net_device_census(device);
    struct packet_pool_counts pool = packet_pool_count(device->pool);

    table_row(table);
    table_text(table, "name", 5, device->name);
    table_number(table, "total", 7, census.total);
    table_number(table, "free", 7, census.free);
    table_number(table, "receive_rings", 13, census.receive_rings);
    table_number(table, "transmit_rings", 14, census.transmit_rings);
    table_number(table, "elsewhere", 9, census.elsewhere);
    table_number(table, "least_free", 10, pool.least_free);
    table_number(table, "exhausted", 9, pool.exhausted);
    table_end_row(table);
}

struct counter_listing {
    struct table *table;
    const struct net_device *device;
};

static void counter_row_print(void *argument, const char *name, uint64_t value)
{
    const struct counter_listing *listing = argument;
    bool is_bits = strcmp(name, "features") == 0; /* people read bits in hexadecimal */

    table_row(listing->table);
    table_text(listing->table, "name", 5, listing->device->name);
    table_text(listing->table, "counter", 28, name);
    if (is_bits && !listing->table->json) {
        table_hex(listing->table, "value", 12, value);
    } else {
        table_number(listing->table, "value", 12, value);
    }
    table_end_row(listing->table);
}

static void counter_rows_print(struct table *table, struct net_device *device)
{
    struct counter_listing listing = {table, device};

    counter_row_print(&listing, "link_changes",
                      __atomic_load_n(&device->link_changes, __ATOMIC_RELAXED));
    counter_row_print(&listing, "resets", __atomic_load_n(&device->resets, __ATOMIC_RELAXED));
    if (device->operations->device_counters != NULL) {
        device->operations->device_counters(device, counter_row_print, &listing);
    }
}

/* Three tables, each of all devices or of @only. */
static void stats_print(struct net_device *only, bool json)
{
    static const struct {
        const char *kind;
        void (*print)(struct table *table, struct net_device *device);
    } parts[] = {
        {"nic.queue", queue_rows_print},
        {"nic.packets", packets_row_print},
        {"nic.counter", counter_rows_print},
    };
    struct net_device *device;
    struct table table;

    for (size_t part = 0; part < ARRAY_COUNT(parts); part++) {
        if (part != 0 && !json) {
            console_print("\n");
        }
        table_begin(&table, parts[part].kind, json);
        for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
            if (only == NULL || only == device) {
                parts[part].print(&table, device);
            }
        }
        table_end(&table);
    }
}

static enum command_result stats_run(int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    struct net_device *only = NULL;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }
    if (argc > 1) {
        only = net_command_find_device("nic stats", argv[1]);
        if (only == NULL) {
            return COMMAND_FAILED;
        }
    }
    if (net_device_count() != 0) {
        stats_print(only, json);
    } else if (!json) {
        console_print("There is no network device.\n");
    }
    return COMMAND_OK;
}

static enum command_result reset_run(struct net_device *device, bool json)
{
    uint64_t began_ns = clock_now_ns();
    bool is_back = net_device_reset(device);
    uint64_t time_ns = clock_now_ns() - began_ns;
    struct table table;

    table_begin(&table, "nic.reset", json);
    table_row(&table);
    table_text(&table, "name", 5, device->name);
    table_bool(&table, "is_back", 7, is_back);
    table_number(&table, "resets", 6, __atomic_load_n(&device->resets, __ATOMIC_RELAXED));
    table_text(&table, "link", 4, link_text(device));
    table_time(&table, "time_ns", 10, time_ns);
    table_end_row(&table);
    table_end(&table);
    return is_back ? COMMAND_OK : COMMAND_FAILED;
}

static enum command_result device_run(int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 2, 2)) {
        return COMMAND_USAGE;
    }

    struct net_device *device = net_command_find_device("nic", argv[1]);

    if (device == NULL) {
        return COMMAND_FAILED;
    }
    if (strcmp(argv[2], "reset") != 0) {
        console_print("nic: '%s' is not reset\n", argv[2]);
        return COMMAND_USAGE;
    }
    return reset_run(device, json);
}

static enum command_result nic_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    static char stats_name[] = "nic stats";

    if (argc == 1 || argv[1][0] == '-') {
        return list_run(argc, argv);
    }
    if (strcmp(argv[1], "stats") == 0) {
        argv[1] = stats_name;
        return stats_run(argc - 1, argv + 1);
    }
    return device_run(argc, argv);
}

static void nic_complete(struct shell_completion *completion, int argument, char **argv)
{
    bool is_stats = argument > 1 && strcmp(argv[1], "stats") == 0;

    if (argument == 1) {
        shell_completion_offer(completion, "stats");
    }
    if (argument == 1 || (argument == 2 && is_stats)) {
        net_command_complete_devices(completion);
    } else if (argument == 2) {
        shell_completion_offer(completion, "reset");
    }
}

const struct shell_command command_nic = {
    .name = "nic",
    .summary = "network cards: drivers, queues, counters, packets; reset of one",
    .usage = "nic [stats [NAME]] [NAME reset] [-j]",
    .example = "nic stats nic0",
    .details =
        "Alone: each card with its driver, PCI address and id, queues and the CPUs that poll\n"
        "them, kind of interrupt, link; a card that no driver took says so. stats: by queue\n"
        "interrupts, polls (empty: found no frame; whole: took all it may at once), frames,\n"
        "frames for which the pool had no fresh buffer, frames that found the transmit ring\n"
        "full, doorbells; where the packets of a device are (elsewhere: in somebody's hands; 0\n"
        "at rest); link changes, resets and what the card itself counts. NAME reset: stops all\n"
        "queues, resets the card and starts it anew; what was in its rings is lost, no packet is.",
    .run = nic_run,
    .complete = nic_complete,
};
