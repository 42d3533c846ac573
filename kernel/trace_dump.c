// SPDX-License-Identifier: MIT
/* Merging and printing; see trace_dump.h. Rings are copied to the heap, sorted by time, printed. */
#include "kernel/trace_dump.h"

#include "arch/clock.h"
#include "arch/ipi_trace.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/heap.h"
#include "kernel/shell.h"
#include "kernel/symbols.h"
#include "kernel/table.h"
#include "kernel/trace_rings.h"
#include "patching/heap_sort.h"
#include "patching/trace_ring.h"

/* Where a record lies. The order of two of one CPU and time is that in which they were claimed. */
struct place {
    uint64_t ticks;
    uint64_t cpu;
    uint64_t sequence;
};

struct places {
    struct place *rows;
    uint64_t count, capacity;
};

static bool place_before(const void *a, const void *b)
{
    const struct place *left = a;
    const struct place *right = b;

    if (left->ticks != right->ticks) {
        return left->ticks < right->ticks;
    }
    return left->cpu != right->cpu ? left->cpu < right->cpu : left->sequence < right->sequence;
}

/* One kind of record: what a dump asks its rings. */
struct source {
    uint64_t (*newest)(unsigned cpu);
    uint64_t (*size)(unsigned cpu);
    bool (*ticks)(unsigned cpu, uint64_t sequence, uint64_t *ticks);
};

static uint64_t kept(const struct source *source, unsigned cpu, uint64_t limit)
{
    uint64_t count = source->newest(cpu);

    count = count < source->size(cpu) ? count : source->size(cpu);
    return count < limit ? count : limit;
}

/* Finds the newest @limit records of each CPU, by time. Returns false, having said so, without
 * memory. The caller frees the rows. */
static bool places_collect(struct places *places, const struct source *source, uint64_t limit)
{
    *places = (struct places){0};
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        places->capacity += kept(source, cpu, limit);
    }
    if (places->capacity == 0) {
        return true;
    }
    places->rows = heap_allocate(places->capacity * sizeof(places->rows[0]));
    if (places->rows == NULL) {
        console_print("trace dump: out of memory for %llu rows; -n N takes fewer\n",
                      (unsigned long long)places->capacity);
        return false;
    }
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        uint64_t newest = source->newest(cpu);

        for (uint64_t i = kept(source, cpu, limit); i > 0; i--) {
            struct place place = {.cpu = cpu, .sequence = newest - i + 1};

            if (places->count < places->capacity &&
                source->ticks(cpu, place.sequence, &place.ticks)) {
                places->rows[places->count++] = place;
            }
        }
    }
    heap_sort(places->rows, places->count, sizeof(places->rows[0]), place_before);
    return true;
}

/* The first row of the newest @limit. */
static uint64_t first_row(const struct places *places, uint64_t limit)
{
    return places->count > limit ? places->count - limit : 0;
}

static void print_time(struct table *table, uint64_t ticks)
{
    table_time(table, "time_ns", 14, clock_ticks_to_time_ns(ticks));
}

static bool event_ticks(unsigned cpu, uint64_t sequence, uint64_t *ticks)
{
    struct trace_event event;
    bool is_there = trace_ring_get(cpu, sequence, &event);

    *ticks = event.ticks;
    return is_there;
}

static void event_print(struct table *table, const struct place *place)
{
    struct trace_event event;
    char text[SYMBOL_TEXT_MAX];
    uint64_t offset;

    if (!trace_ring_get((unsigned)place->cpu, place->sequence, &event)) {
        return;
    }

    const char *name = symbol_find(event.function, &offset);

    table_row(table);
    print_time(table, event.ticks);
    table_number(table, "cpu", 3, place->cpu);
    table_text(table, "function", 32,
               name != NULL && offset == 0 ? name
                                           : symbol_describe(event.function, text, sizeof(text)));
    table_text(table, "caller", 0, symbol_describe(event.caller, text, sizeof(text)));
    table_end_row(table);
}

/* What each CPU recorded and lost of @source. */
static void losses_print(const struct source *source, const char *kind, bool json)
{
    struct table table;

    table_begin(&table, kind, json);
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        uint64_t recorded = source->newest(cpu);
        uint64_t kept_now = kept(source, cpu, recorded);

        table_row(&table);
        table_number(&table, "cpu", 3, cpu);
        table_number(&table, "recorded", 12, recorded);
        table_number(&table, "kept", 8, kept_now);
        table_number(&table, "overwritten", 12, recorded - kept_now);
        table_end_row(&table);
    }
    table_end(&table);
}

void trace_dump_explain_silence(const char *command, unsigned silent)
{
    console_print("%s: cpu %u does not answer, and may be recording; nothing was done\n", command,
                  silent);
}

bool trace_dump_events(struct shell_session *session, uint64_t limit, bool json)
{
    static const struct source events = {trace_ring_newest, trace_ring_size, event_ticks};
    bool was_recording = trace_is_recording();
    struct places places;
    struct table table;
    unsigned silent;

    if (!trace_rings_stop(&silent)) { /* then nobody writes: see trace_ring_get() */
        trace_dump_explain_silence("trace dump", silent);
        trace_recording_set(was_recording);
        return false;
    }

    bool done = places_collect(&places, &events, limit);

    if (done) {
        table_begin(&table, "trace.event", json);
        for (uint64_t i = first_row(&places, limit); i < places.count && done; i++) {
            event_print(&table, &places.rows[i]);
            done = !shell_interrupted(session);
        }
        table_end(&table);
        if (trace_rings_records() != 0) {
            losses_print(&events, "trace.cpu", json);
        }
    }
    heap_free(places.rows);
    trace_recording_set(was_recording);
    return done;
}

static uint64_t ipi_size(unsigned cpu)
{
    (void)cpu;
    return IPI_TRACE_RECORDS;
}

static bool ipi_ticks(unsigned cpu, uint64_t sequence, uint64_t *ticks)
{
    struct ipi_trace_record record;
    bool is_there = ipi_trace_get(cpu, sequence, &record);

    *ticks = record.ticks;
    return is_there;
}

/* Programs get the stack as a list; people see it below the row. */
static void stack_print(struct table *table, const struct ipi_trace_stack *stack)
{
    char text[IPI_TRACE_FRAMES][SYMBOL_TEXT_MAX];
    const char *frames[IPI_TRACE_FRAMES];

    for (uint64_t i = 0; i < stack->frame_count; i++) {
        frames[i] = symbol_describe(stack->frames[i], text[i], sizeof(text[i]));
    }
    if (table->json) {
        table_texts(table, "stack", 0, frames, stack->frame_count);
    }
    table_end_row(table);
    for (uint64_t i = 0; i < stack->frame_count && !table->json; i++) {
        console_print("    => %s\n", frames[i]);
    }
}

static void ipi_print(struct table *table, const struct place *place)
{
    struct ipi_trace_record record;
    struct ipi_trace_stack stack;
    char to[12] = "all";

    if (!ipi_trace_get((unsigned)place->cpu, place->sequence, &record)) {
        return;
    }
    if (!ipi_trace_get_stack((unsigned)place->cpu, place->sequence, &stack)) {
        stack.frame_count = 0;
    }
    if (record.to != IPI_TRACE_ALL) {
        format_text(to, sizeof(to), "%u", (unsigned)record.to);
    }
    table_row(table);
    print_time(table, record.ticks);
    table_number(table, "from", 4, record.from);
    table_text(table, "to", 4, to);
    table_number(table, "targets", 7, record.targets);
    table_text(table, "what", 10, ipi_trace_vector_name(record.vector));
    stack_print(table, &stack);
}

bool trace_dump_ipis(struct shell_session *session, uint64_t limit, bool json)
{
    static const struct source ipis = {ipi_trace_newest, ipi_size, ipi_ticks};
    struct places places;
    struct table table;
    bool done = places_collect(&places, &ipis, limit);

    if (done) {
        table_begin(&table, "trace.ipi", json);
        for (uint64_t i = first_row(&places, limit); i < places.count && done; i++) {
            ipi_print(&table, &places.rows[i]);
            done = !shell_interrupted(session);
        }
        table_end(&table);
        losses_print(&ipis, "trace.ipi.cpu", json);
    }
    heap_free(places.rows);
    return done;
}
