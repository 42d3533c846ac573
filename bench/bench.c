// SPDX-License-Identifier: MIT
/* The `bench` command: finds the bench and hands the rest of the line over. */
#include "bench/bench.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "patching/function_trace.h"

static const struct shell_command *const benches[] = {
    &command_bench_calls,
    &command_bench_dispatch,
    &command_bench_dyncall,
    &command_bench_ipi,
    &command_bench_poke,
    &command_bench_lazy,
    &command_bench_grace,
    &command_bench_net,
    &command_bench_pv,
    &command_bench_seeds,
    NULL,
};

bool bench_is_untraced(const char *command)
{
    bool is_untraced = function_trace_count_on() == 0;

    if (!is_untraced) {
        console_print("%s: functions are traced, which would be measured, too; first: trace off\n",
                      command);
    }
    return is_untraced;
}

static void benches_print(void)
{
    for (const struct shell_command *const *bench = benches; *bench != NULL; bench++) {
        console_print("  bench %-8s  %s\n", (*bench)->name, (*bench)->summary);
    }
    console_print("'help bench NAME' explains one.\n");
}

static enum command_result bench_run(struct shell_session *session, int argc, char **argv)
{
    if (argc < 2) {
        console_print("bench: name one of\n");
        benches_print();
        return COMMAND_FAILED;
    }
    const struct shell_command *bench = shell_find_part(&command_bench, argv[1]);

    if (bench == NULL) {
        const char *nearest = shell_nearest_part(&command_bench, argv[1]);

        console_print("bench: there is no bench '%s'%s%s%s\n", argv[1],
                      nearest != NULL ? ": did you mean '" : "; there are",
                      nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
        benches_print();
        return COMMAND_FAILED;
    }
    char name[32];

    format_text(name, sizeof(name), "bench %s", bench->name);
    argv[1] = name; /* so that errors about options say which bench */
    return bench->run(session, argc - 1, argv + 1);
}

const struct shell_command command_bench = {
    .name = "bench",
    .summary = "measure: calls, dispatchers, IPIs, pokes, the seeds' figures beside ours",
    .usage = "bench NAME [OPTION...] [-j]",
    .example = "bench poke --sites 1,56,4096 --load busy --busy 1",
    .details =
        "Counts are exact; times compare only within one run. With ACCEL=icount all CPUs take\n"
        "turns on one clock. min and max are exact, p50 and p99 are upper edges of buckets at\n"
        "most 6 % wide. While functions are traced, whatever is timed refuses.",
    .run = bench_run,
    .parts = benches,
};
