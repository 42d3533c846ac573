// SPDX-License-Identifier: MIT
/* The shell command trace: functions on and off, what was recorded, IPIs with their stacks. It uses
 * the public API of patching/ and arch/ipi_trace.h alone. */
#include "arch/ipi_trace.h"
#include "arch/paging.h"
#include "kernel/console.h"
#include "kernel/glob.h"
#include "kernel/options.h"
#include "kernel/page_allocator.h"
#include "kernel/patch_error_text.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "kernel/symbols.h"
#include "kernel/table.h"
#include "kernel/trace_dump.h"
#include "kernel/trace_rings.h"
#include "kernel/trace_selection.h"
#include "patching/function_trace.h"
#include "patching/poke.h"
#include "patching/trace_ring.h"

#define PATTERNS_MAX  32
#define DUMP_MOST     (1ull << 28)
#define DUMP_UNLESS_N 50

/* What a trace on or off is asked to do. */
struct trace_request {
    struct shell_session *session;
    struct trace_selection selection;
    bool on;
    bool stopped; /* by Ctrl-C */
};

static bool is_requested(uint32_t index, void *argument)
{
    struct trace_request *request = argument;

    if (!request->selection.chosen[index]) {
        return false;
    }
    request->stopped = request->stopped || shell_interrupted(request->session);
    return !request->stopped;
}

static void cost_print(const struct trace_request *request, const struct function_trace_cost *cost,
                       bool json)
{
    struct table table;

    table_begin(&table, "trace.change", json);
    table_row(&table);
    table_text(&table, "change", 6, request->on ? "on" : "off");
    table_number(&table, "matched", 7, request->selection.count);
    table_number(&table, "functions", 9, cost->functions);
    table_number(&table, "on_now", 6, function_trace_count_on());
    table_number(&table, "batches", 7, cost->batches);
    table_number(&table, "rounds", 6, cost->rounds);
    table_number(&table, "ipis", 6, cost->ipis);
    table_number(&table, "traps", 8, cost->traps);
    table_time(&table, "total_ns", 12, cost->total_ns);
    table_end_row(&table);
    table_end(&table);
}

static void error_print(const struct trace_request *request, const struct patch_error *error,
                        uint32_t functions)
{
    char text[PATCH_ERROR_TEXT_MAX];

    console_print("trace %s: %s%s; functions changed by batches before that: %u\n",
                  request->on ? "on" : "off", patch_error_text(error, text),
                  error->status == PATCH_ERR_UNSAFE ? "; first: protocol int3-batch" : "",
                  functions);
}

static bool rings_stop(const char *command)
{
    unsigned silent;
    bool stopped = trace_rings_stop(&silent);

    if (!stopped) {
        trace_dump_explain_silence(command, silent);
    }
    return stopped;
}

/* Does it. Recording pauses meanwhile: the checks of a batch call thousands of functions, which
 * would overwrite what the user wants to see. Behind it calls are recorded if any function is on.
 * The first one on begins a new record: only now, when nothing can refuse any more. */
static enum command_result request_run(struct trace_request *request, uint64_t chunk, bool json)
{
    struct function_trace_cost cost;
    struct patch_error error;
    bool is_first = request->on && function_trace_count_on() == 0;

    if (is_first && !rings_stop("trace on")) {
        return COMMAND_FAILED;
    }
    trace_recording_set(false);

    enum patch_status status =
        function_trace_set(request->on, is_requested, request, (uint32_t)chunk, &cost, &error);
    bool any_on = function_trace_count_on() != 0;

    if (is_first && any_on) {
        trace_rings_begin();
    }
    trace_recording_set(any_on);
    if (status != PATCH_OK) {
        error_print(request, &error, cost.functions);
        return COMMAND_FAILED;
    }
    cost_print(request, &cost, json);
    if (request->stopped) {
        console_print("trace: stopped by Ctrl-C: %u of %u functions changed\n", cost.functions,
                      request->selection.count);
    }
    return request->stopped ? COMMAND_FAILED : COMMAND_OK;
}

/* Memory for a trace that begins, beside that of the last one. @records 0: as many as there are, or
 * the default. Returns false, having said why. */
static bool rings_reserve(uint64_t records)
{
    uint64_t current = trace_rings_records();
    uint64_t wanted = TRACE_RECORDS_LEAST;

    if (records == 0) {
        records = current != 0 ? current : TRACE_RECORDS_DEFAULT;
    }
    while (wanted < records) {
        wanted *= 2;
    }
    if (function_trace_count_on() != 0) {
        if (wanted != current) {
            console_print("trace on: --records: rings hold %llu while functions are traced; first: "
                          "trace off\n",
                          (unsigned long long)current);
        }
        return wanted == current;
    }
    if (!trace_rings_reserve(wanted)) {
        console_print("trace on: out of memory for %llu records on each of %u CPUs%s\n",
                      (unsigned long long)wanted, cpu_present_count(),
                      current != 0 ? "; trace free gives back what the last trace holds" : "");
        return false;
    }
    return true;
}

static enum command_result change_run(struct shell_session *session, int argc, char **argv, bool on)
{
    bool json = false;
    uint64_t chunk = 0;
    uint64_t records = 0;
    const struct option options[] = {
        OPTION_JSON(&json),
        OPTION_NUMBER("--chunk", &chunk, 1, PATCH_BATCH_MAX),
        OPTION_NUMBER("--records", &records, TRACE_RECORDS_LEAST, TRACE_RECORDS_MOST),
    };
    struct trace_request request = {.session = session, .on = on};
    enum command_result result = COMMAND_FAILED;

    if (!options_parse(options, ARRAY_COUNT(options) - !on, &argc, argv, 0, PATTERNS_MAX)) {
        return COMMAND_USAGE;
    }
    if (!trace_selection_open(&request.selection, argv[0])) {
        return COMMAND_FAILED;
    }

    bool all_match = true;

    if (argc == 1) {
        trace_selection_add_all(&request.selection);
    }
    for (int i = 1; i < argc; i++) {
        all_match = trace_selection_add(&request.selection, argv[0], argv[i]) && all_match;
    }
    if (all_match && (!on || rings_reserve(records))) {
        result = request_run(&request, chunk, json);
    }
    trace_rings_unreserve();
    trace_selection_close(&request.selection);
    return result;
}

static enum command_result on_run(struct shell_session *session, int argc, char **argv)
{
    return change_run(session, argc, argv, true);
}

static enum command_result off_run(struct shell_session *session, int argc, char **argv)
{
    return change_run(session, argc, argv, false);
}

static const char *state_of(uint64_t address)
{
    uint32_t index = function_trace_find(address);

    if (index < function_trace_count()) {
        return function_trace_is_on(index) ? "on" : "off";
    }
    return trace_selection_is_nopatch(address) ? "nopatch" : "none";
}

/* A label inside a function of assembler, or a part of a function that a compiler split off: it is
 * called only by its own function, unless it has an entry of its own. */
static bool is_part(const char *name, uint64_t address)
{
    while (*name != '\0' && *name != '.') {
        name++;
    }
    return *name == '.' && function_trace_find(address) == function_trace_count();
}

static enum command_result list_run(struct shell_session *session, int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    struct table table;
    const char *name;
    uint64_t address;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }

    const char *pattern = argc > 1 ? argv[1] : "*";

    if (!glob_is_valid(pattern)) {
        console_print("trace list: '%s': a '[' lacks its ']'\n", pattern);
        return COMMAND_FAILED;
    }
    table_begin(&table, "trace.function", json);
    for (uint32_t i = 0; symbol_get(i, &name, &address) && !shell_interrupted(session); i++) {
        if (glob_match(pattern, name) && !is_part(name, address)) {
            table_row(&table);
            table_text(&table, "function", 40, name);
            table_hex(&table, "addr", 18, address);
            table_text(&table, "state", 7, state_of(address));
            table_end_row(&table);
        }
    }
    if (table.rows == 0) {
        trace_selection_explain(argv[0], pattern);
        return COMMAND_FAILED;
    }
    table_end(&table);
    return shell_interrupted(session) ? COMMAND_FAILED : COMMAND_OK;
}

static enum command_result dump_run(struct shell_session *session, int argc, char **argv)
{
    bool json = false;
    uint64_t limit = DUMP_UNLESS_N;
    const struct option options[] = {OPTION_JSON(&json), OPTION_NUMBER("-n", &limit, 1, DUMP_MOST)};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }

    bool ipis_alone = argc > 1 && strcmp(argv[1], "ipi") == 0;

    if (argc > 1 && !ipis_alone) {
        console_print("trace dump: '%s' is not ipi\n", argv[1]);
        return COMMAND_USAGE;
    }

    bool done = ipis_alone ? trace_dump_ipis(session, limit, json)
                           : trace_dump_events(session, limit, json);

    return done ? COMMAND_OK : COMMAND_FAILED;
}

static void status_print(bool json)
{
    struct table table;
    uint64_t recorded = 0;
    uint64_t overwritten = 0;

    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        recorded += trace_ring_newest(cpu);
        overwritten += trace_ring_overwritten(cpu);
    }
    table_begin(&table, "trace", json);
    table_row(&table);
    table_number(&table, "functions", 9, function_trace_count());
    table_number(&table, "on", 6, function_trace_count_on());
    table_bool(&table, "recording", 9, trace_is_recording());
    table_number(&table, "records_per_cpu", 15, trace_rings_records());
    table_number(&table, "recorded", 12, recorded);
    table_number(&table, "overwritten", 12, overwritten);
    table_bool(&table, "ipi", 3, static_key_is_enabled(static_key_find("ipi_trace")));
    table_end_row(&table);
    table_end(&table);
}

static enum command_result free_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    unsigned silent;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    if (function_trace_count_on() != 0) {
        console_print("trace free: functions are traced; first: trace off\n");
        return COMMAND_FAILED;
    }
    if (!trace_rings_free(&silent)) {
        trace_dump_explain_silence("trace free", silent);
        return COMMAND_FAILED;
    }
    status_print(json);
    return COMMAND_OK;
}

/* Once a CPU has memory for stacks it keeps it: a dump comes after the recording. */
static bool stacks_prepare(void)
{
    size_t bytes = IPI_TRACE_RECORDS * sizeof(struct ipi_trace_stack);

    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        uint64_t frame =
            ipi_trace_has_stacks(cpu) ? 0 : page_allocate_run((bytes + PAGE_SIZE - 1) / PAGE_SIZE);

        if (frame != 0) {
            ipi_trace_set_stacks(cpu, physical_to_virtual(frame));
        }
        if (!ipi_trace_has_stacks(cpu)) {
            console_print("trace ipi: out of memory for the stacks of CPU %u\n", cpu);
            return false;
        }
    }
    return true;
}

static enum command_result ipi_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 1, 1)) {
        return COMMAND_USAGE;
    }

    bool on = strcmp(argv[1], "on") == 0;

    if (!on && strcmp(argv[1], "off") != 0) {
        console_print("trace ipi: '%s' is not one of on, off\n", argv[1]);
        return COMMAND_USAGE;
    }
    if (on && !stacks_prepare()) {
        return COMMAND_FAILED;
    }

    struct patch_change change = static_key_change_to(static_key_find("ipi_trace"), on);
    struct patch_error error;
    char text[PATCH_ERROR_TEXT_MAX];

    if (patch_transaction("trace ipi", &change, 1, &error) != PATCH_OK) {
        console_print("trace ipi: key ipi_trace: %s\n", patch_error_text(&error, text));
        return COMMAND_FAILED;
    }
    status_print(json);
    return COMMAND_OK;
}

static enum command_result status_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    status_print(json);
    return COMMAND_OK;
}

/* The words behind trace; each runs as a command of its own, whose name begins its errors. */
static const struct verb {
    const char *word;
    char *command;
    enum command_result (*run)(struct shell_session *session, int argc, char **argv);
} verbs[] = {
    {"on", "trace on", on_run},       {"off", "trace off", off_run},
    {"dump", "trace dump", dump_run}, {"list", "trace list", list_run},
    {"ipi", "trace ipi", ipi_run},    {"free", "trace free", free_run},
};

static enum command_result trace_run(struct shell_session *session, int argc, char **argv)
{
    if (argc == 1 || argv[1][0] == '-') {
        return status_run(session, argc, argv);
    }
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (strcmp(argv[1], verbs[i].word) == 0) {
            argv[1] = verbs[i].command;
            return verbs[i].run(session, argc - 1, argv + 1);
        }
    }
    console_print("trace: '%s' is not one of on, off, dump, list, ipi, free\n", argv[1]);
    return COMMAND_USAGE;
}

static void trace_complete(struct shell_completion *completion, int argument, char **argv)
{
    static const char *const words[] = {"on", "off", "dump", "list", "ipi", "free", NULL};
    static const char *const ipi_words[] = {"on", "off", NULL};
    static const char *const dump_words[] = {"ipi", NULL};
    uint64_t offset;

    if (argument == 1) {
        shell_completion_offer_all(completion, words);
    } else if (strcmp(argv[1], "ipi") == 0) {
        shell_completion_offer_all(completion, ipi_words);
    } else if (strcmp(argv[1], "dump") == 0) {
        shell_completion_offer_all(completion, dump_words);
    } else {
        for (uint32_t i = 0; i < function_trace_count(); i++) {
            const char *name = symbol_find(function_trace_address(i), &offset);

            if (name != NULL && offset == 0) {
                shell_completion_offer(completion, name);
            }
        }
    }
}

const struct shell_command command_trace = {
    .name = "trace",
    .summary = "record calls of functions, by patching their entries, and IPIs with their stacks",
    .usage = "trace [on|off [PATTERN...] [--chunk N] [--records N]] [list PATTERN] "
             "[dump [ipi] [-n N]] [ipi on|off] [free] [-j]",
    .example = "trace on 'thread_*' mutex_lock; threads; trace off; trace dump -n 20",
    .details =
        "Alone: what is on. on and off take patterns (* any, ? one, [a-z] one of these); without,\n"
        "all functions. on adds to what is on; the first one empties the rings. off keeps them;\n"
        "free gives their memory back. --chunk: functions a batch, default as many as fit.\n"
        "--records: calls kept on each CPU, rounded up to a power of two; without it as many as\n"
        "for the last trace, at first 4096; the oldest are overwritten, and counted. list: on,\n"
        "off, nopatch (cannot be patched), none (no entry: assembler, and what a CPU runs before\n"
        "it can take traps). dump: the newest N (50) of all CPUs by time; nothing is recorded\n"
        "meanwhile. ipi on: IPIs sent, with the sender's stack, the newest 64 of each CPU; dump\n"
        "ipi shows them.",
    .run = trace_run,
    .complete = trace_complete,
};
