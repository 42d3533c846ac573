// SPDX-License-Identifier: MIT
/* Shell commands that show the machine: cpus, mem, threads, ipi. They read counters that run on
 * meanwhile: each figure is exact when it is read, a table is not one instant. */
#include "arch/clock.h"
#include "arch/features.h"
#include "arch/ipi_trace.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/grace_period.h"
#include "kernel/heap.h"
#include "kernel/options.h"
#include "kernel/page_allocator.h"
#include "kernel/run_queue.h"
#include "kernel/shell.h"
#include "kernel/symbols.h"
#include "kernel/table.h"

static bool parse_json_only(int argc, char **argv, bool *json)
{
    const struct option options[] = {OPTION_JSON(json)};
    return options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0);
}

static enum command_result cpus_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    if (!parse_json_only(argc, argv, &json)) {
        return COMMAND_USAGE;
    }
    struct table table;
    table_begin(&table, "cpu", json);
    for (unsigned i = 0; i < cpu_present_count(); i++) {
        const struct cpu *cpu = cpu_by_index(i);
        table_row(&table);
        table_number(&table, "id", 3, i);
        table_number(&table, "apic_id", 7, cpu->apic_id);
        table_bool(&table, "online", 6, cpu_is_online(cpu));
        table_number(&table, "ipis_sent", 10, cpu_ipis_sent(cpu));
        table_number(&table, "ipis_received", 13, cpu_ipis_received(cpu));
        table_number(&table, "traps", 9, cpu->counters.breakpoints);
        table_number(&table, "interrupts", 10, cpu->counters.interrupts);
        table_number(&table, "nmis", 5, cpu->counters.nmis);
        table_end_row(&table);
    }
    table_end(&table);
    if (!json) {
        console_print("%s %s, features:", cpu_vendor(), cpu_brand());
        for (enum feature feature = 0; feature < FEATURE_COUNT; feature++) {
            if (feature_present(feature)) {
                console_print(" %s", feature_name(feature));
            }
        }
        console_print("\n");
    }
    return COMMAND_OK;
}

const struct shell_command command_cpus = {
    .name = "cpus",
    .summary = "CPUs with their IPIs, traps and interrupts",
    .usage = "cpus [-j]",
    .example = "cpus -j",
    .details = "ipis_sent counts one a target, broadcasts included; traps are #BP taken.",
    .run = cpus_run,
};

static enum command_result mem_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    if (!parse_json_only(argc, argv, &json)) {
        return COMMAND_USAGE;
    }
    struct page_counts pages = page_count();
    struct heap_counts heap = heap_count();
    struct table table;
    table_begin(&table, "mem", json);
    table_row(&table);
    table_number(&table, "total_bytes", 12, pages.total * PAGE_SIZE);
    table_number(&table, "free_bytes", 12, pages.free * PAGE_SIZE);
    table_number(&table, "text_bytes", 10, (uint64_t)(text_end - text_start));
    table_number(&table, "nopatch_bytes", 13, (uint64_t)(nopatch_end - nopatch_start));
    table_number(&table, "heap_blocks", 11, heap.blocks);
    table_number(&table, "heap_bytes", 10, heap.pages * PAGE_SIZE);
    table_number(&table, "stacks_cached", 13, stack_cached_count());
    table_end_row(&table);
    table_end(&table);
    return COMMAND_OK;
}

const struct shell_command command_mem = {
    .name = "mem",
    .summary = "memory: total, free, kernel text, heap",
    .usage = "mem [-j]",
    .example = "mem",
    .details = "total_bytes is usable RAM above 1 MiB without the kernel image.",
    .run = mem_run,
};

/* Copies made under the list lock, printed without it: a spinlock is never held while printing. */
struct thread_copy {
    struct thread thread;
    const char *state;
};

struct thread_copies {
    struct thread_copy *rows;
    size_t count, capacity;
};

static void thread_copy_row(const struct thread *thread, void *argument)
{
    struct thread_copies *copies = argument;
    if (copies->count < copies->capacity) {
        copies->rows[copies->count++] =
            (struct thread_copy){.thread = *thread, .state = thread_state_name(thread)};
    }
}

static void thread_print_row(struct table *table, const struct thread *thread, const char *state)
{
    table_row(table);
    table_number(table, "id", 4, thread->id);
    table_text(table, "name", THREAD_NAME_MAX, thread->name);
    table_number(table, "cpu", 4, thread->cpu);
    table_text(table, "state", 8, state);
    table_time(table, "run_ns", 14, thread->run_ns);
    table_number(table, "switches", 9, thread->switches);
    table_time(table, "wait_ns", 12, thread->wait_ns);
    table_number(table, "preemptions", 11, thread->preemptions);
    table_end_row(table);
}

static void grace_print(void)
{
    struct grace_statistics grace;

    grace_statistics_read(&grace);
    console_print("grace periods: %llu ended, %llu given up, longest wait %llu us\n",
                  (unsigned long long)grace.periods, (unsigned long long)grace.given_up,
                  (unsigned long long)(grace.longest_ns / 1000));
}

static enum command_result threads_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    if (!parse_json_only(argc, argv, &json)) {
        return COMMAND_USAGE;
    }
    struct thread_copies copies = {.capacity = thread_count()};
    copies.rows = heap_allocate(copies.capacity * sizeof(struct thread_copy));
    if (copies.rows == NULL) {
        console_print("threads: out of memory for %zu rows\n", copies.capacity);
        return COMMAND_FAILED;
    }
    thread_for_each(thread_copy_row, &copies);
    struct table table;
    table_begin(&table, "thread", json);
    for (size_t i = 0; i < copies.count; i++) {
        thread_print_row(&table, &copies.rows[i].thread, copies.rows[i].state);
    }
    table_end(&table);
    heap_free(copies.rows);
    if (!json) {
        grace_print();
    }
    if (!json && !static_key_is_enabled(&sched_stats)) {
        console_print("waiting times and preemptions are counted while a key is on: "
                      "key sched_stats on\n");
    }
    return COMMAND_OK;
}

const struct shell_command command_threads = {
    .name = "threads",
    .summary = "kernel threads with CPU time and switches",
    .usage = "threads [-j]",
    .example = "key sched_stats on; threads",
    .details = "run_ns: CPU time up to the last switch. wait_ns: time runnable without a CPU.",
    .run = threads_run,
};

static void ipi_print_counts(bool json)
{
    struct table table;
    table_begin(&table, "ipi", json);
    for (unsigned i = 0; i < cpu_present_count(); i++) {
        const struct cpu_counters *counters = &cpu_by_index(i)->counters;
        table_row(&table);
        table_number(&table, "cpu", 3, i);
        table_number(&table, "sync_sent", 9, counters->ipis_sent[IPI_SYNC]);
        table_number(&table, "sync_received", 13, counters->ipis_received[IPI_SYNC]);
        table_number(&table, "call_sent", 9, counters->ipis_sent[IPI_CALL]);
        table_number(&table, "call_received", 13, counters->ipis_received[IPI_CALL]);
        table_number(&table, "reschedule_sent", 15, counters->ipis_sent[IPI_RESCHEDULE]);
        table_number(&table, "reschedule_received", 19, counters->ipis_received[IPI_RESCHEDULE]);
        table_number(&table, "stop_sent", 9, counters->ipis_sent[IPI_STOP]);
        table_number(&table, "stop_received", 13, counters->ipis_received[IPI_STOP]);
        table_end_row(&table);
    }
    table_end(&table);
}

static void ipi_print_record(struct table *table, const struct ipi_trace_record *record)
{
    char caller[SYMBOL_TEXT_MAX];
    table_row(table);
    table_time(table, "time_ns", 14, clock_ticks_to_time_ns(record->ticks));
    table_number(table, "from", 4, record->from);
    if (record->to == IPI_TRACE_ALL) {
        table_text(table, "to", 4, "all");
    } else {
        char text[12];
        format_text(text, sizeof(text), "%u", (unsigned)record->to);
        table_text(table, "to", 4, text);
    }
    table_number(table, "targets", 7, record->targets);
    table_text(table, "what", 10, ipi_trace_vector_name(record->vector));
    table_text(table, "caller", 0, symbol_describe(record->caller, caller, sizeof(caller)));
    table_end_row(table);
}

/* Newest @limit records of each CPU. */
static void ipi_print_trace(uint64_t limit, bool json)
{
    struct table table;
    table_begin(&table, "ipi.trace", json);
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        uint64_t newest = ipi_trace_newest(cpu);
        uint64_t first = newest > limit ? newest - limit + 1 : 1;
        for (uint64_t sequence = first; sequence <= newest; sequence++) {
            struct ipi_trace_record record;
            if (ipi_trace_get(cpu, sequence, &record)) {
                ipi_print_record(&table, &record);
            }
        }
    }
    table_end(&table);
}

static enum command_result ipi_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    bool trace = false;
    uint64_t limit = IPI_TRACE_RECORDS;
    const struct option options[] = {
        OPTION_JSON(&json),
        OPTION_FLAG("--trace", &trace),
        OPTION_NUMBER("-n", &limit, 1, IPI_TRACE_RECORDS),
    };
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    if (!trace) {
        ipi_print_counts(json);
        return COMMAND_OK;
    }
    ipi_print_trace(limit, json);
    if (!json && !static_key_is_enabled(static_key_find("ipi_trace"))) {
        console_print("IPIs are recorded while a key is on: key ipi_trace on\n");
    }
    return COMMAND_OK;
}

const struct shell_command command_ipi = {
    .name = "ipi",
    .summary = "inter-processor interrupts by kind, and who sent them",
    .usage = "ipi [--trace] [-n N] [-j]",
    .example = "key ipi_trace on; key bench_4 on; ipi --trace",
    .details =
        "Counts are one a target. --trace lists what was recorded while the key ipi_trace was\n"
        "on, the newest N of each sender; caller is the code that asked for the IPI.",
    .run = ipi_run,
};
