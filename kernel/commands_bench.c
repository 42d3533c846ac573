// SPDX-License-Identifier: MIT
/* The `bench` command: finds the bench and hands the rest of the line over. */
#include "kernel/bench.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/string.h"

const struct bench benches[] = {
    {"ipi", "ipi [-n N] [-j]", bench_ipi_run},
    {"poke", "poke [--sites LIST] [--protocol LIST] [--load idle|busy] [--flips N] [-j]",
     bench_poke_run},
    {"seeds", "seeds [-j]", bench_seeds_run},
    {NULL, NULL, NULL},
};

static void names_print(void)
{
    for (const struct bench *bench = benches; bench->name != NULL; bench++) {
        console_print("  bench %s\n", bench->usage);
    }
}

static enum command_result bench_run(struct shell_session *session, int argc, char **argv)
{
    if (argc < 2) {
        console_print("bench: name one of\n");
        names_print();
        return COMMAND_FAILED;
    }
    char name[32];
    format_text(name, sizeof(name), "bench %s", argv[1]);
    for (const struct bench *bench = benches; bench->name != NULL; bench++) {
        if (strcmp(argv[1], bench->name) == 0) {
            argv[1] = name; /* so that errors about options say which bench */
            return bench->run(session, argc - 1, argv + 1);
        }
    }
    console_print("bench: there is no bench '%s'; there are\n", argv[1]);
    names_print();
    return COMMAND_FAILED;
}

static void bench_complete(struct shell_completion *completion, int argument, char **argv)
{
    (void)argv;
    for (const struct bench *bench = benches; argument == 1 && bench->name != NULL; bench++) {
        shell_completion_offer(completion, bench->name);
    }
}

const struct shell_command command_bench = {
    .name = "bench",
    .summary = "measure: IPIs, pokes, the seeds' figures beside ours",
    .usage = "bench ipi|poke|seeds [--sites LIST] [--protocol LIST] [--load idle|busy] [--flips N] "
             "[-n N] [-j]",
    .example = "bench poke --sites 1,56 --load busy",
    .details =
        "ipi: round trips; without -n, up to 1000 or 2 s a row.\n"
        "poke: flips keys with that many sites and adds up the records; without --flips, up to\n"
        "100 flips or 1.5 s a row, 2 flips at least. busy: every other CPU runs through the\n"
        "sites. Counts are exact; times compare only within one run. min and\n"
        "max are exact, p50 and p99 are upper edges of buckets at most 6 % wide. Ctrl-C acts\n"
        "between two flips; unbatched flips of many sites under load take seconds each.",
    .run = bench_run,
    .complete = bench_complete,
};
