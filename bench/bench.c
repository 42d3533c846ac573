// SPDX-License-Identifier: MIT
/* The `bench` command: finds the bench and hands the rest of the line over. */
#include "bench/bench.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/string.h"
#include "patching/function_trace.h"

const struct bench benches[] = {
    {"calls", "calls [--calls N] [-j]", bench_calls_run},
    {"dispatch",
     "dispatch [--entries LIST] [--shape LIST] [--traffic LIST] [--calls N] [-j]\n"
     "  bench dispatch --updates N [--entries LIST] [-j]",
     bench_dispatch_run},
    {"dyncall",
     "dyncall [--sequence LIST] [--way LIST] [--form imm,mem] [--slots 1,2,4] [--calls N] [-j]\n"
     "  bench dyncall --learning [--sequence LIST] [--slots LIST] [-j]",
     bench_dyncall_run},
    {"ipi", "ipi [-n N] [-j]", bench_ipi_run},
    {"poke",
     "poke [--sites LIST] [--protocol LIST] [--load idle|busy] [--busy N] [--flips N]\n"
     "             [--placement quadword|across] [--strict] [--unsafe] [-j]\n"
     "  bench poke --hold int3|tail|first [--protocol NAME] [--hold-ms N] [--unsafe] [-j]",
     bench_poke_run},
    {"lazy", "lazy [--sites 1,56,256] [--keep] [-j]", bench_lazy_run},
    {"net",
     "net [--mode drop,sink,echo] [--seconds N] [--nic NAME] [--port P] [--wait S]\n"
     "            [--mitigation LIST] [--dyncall off,auto,pin] [--shape SHAPE]\n"
     "            [--entries 0,1,2,4,8,16,32,64,full] [-j]\n"
     "  bench net --memory [--packets N] [--mode LIST] [--mitigation LIST] [--dyncall LIST]\n"
     "            [--entries LIST] [-j]",
     bench_net_run},
    {"grace", "grace [-n N] [-j]", bench_grace_run},
    {"pv",
     "pv [--op LIST] [--calls N] [-j]\n"
     "  bench pv --switch [--load idle,busy] [-n N] [-j]",
     bench_pv_run},
    {"seeds", "seeds [--listing] [-j]", bench_seeds_run},
    {NULL, NULL, NULL},
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
    .summary = "measure: calls, dispatchers, IPIs, pokes, the seeds' figures beside ours",
    .usage = "bench calls|dispatch|dyncall|ipi|poke|lazy|grace|net|pv|seeds [--calls N] "
             "[--entries LIST] "
             "[--shape LIST] [--traffic LIST] [--updates N] [--sequence LIST] [--way LIST] "
             "[--form imm,mem] [--slots 1,2,4] [--learning] [--sites LIST] [--protocol LIST] "
             "[--load idle|busy] [--busy N] [--flips N] [--placement quadword|across] [--strict] "
             "[--unsafe] [--hold int3|tail|first] [--hold-ms N] [-n N] [--keep] [--mode LIST] "
             "[--seconds N] [--nic NAME] [--port P] [--wait S] [--mitigation LIST] "
             "[--dyncall off,auto,pin] [--memory] [--packets N] [--op LIST] [--switch] [--listing] "
             "[-j]",
    .example = "bench poke --sites 1,56,4096 --load busy --busy 1",
    .details =
        "calls: what one call costs in each form, the loop around it subtracted. ns: the median\n"
        "of blocks of 1000 calls, min to max of the same blocks; --calls: how many in all, up to\n"
        "1000000; without it 100000, or 2 s. instructions, bytes, branches: executed by one call,\n"
        "counted in single steps; exact, or \"-\" where a step was lost (a KVM that emulates).\n"
        "nothing: the loop against itself, what noise there is. wrapper: a function that calls\n"
        "the target and returns. indirect: call *register; thunk: what compilers make of it,\n"
        "under each mitigation, switched for the purpose. lazy-first: the first call of a site,\n"
        "one a block. untraced: the target has the tracer's nop; traced: each call is recorded,\n"
        "in rings of its own.\n"
        "dispatch: a call of one of many programs, by entries (0 to 64) of the dispatcher, shape\n"
        "and traffic; direct, indirect and the compiler's thunk in the same rounds: thunk_ns, for\n"
        "each row. instructions: exact, on average over the traffic. burst: 95 % as before; zipf:\n"
        "the k-th by 1/k; miss: of a program that is no entry. auto: what it has chosen.\n"
        "--updates: a program comes into a dispatcher of so many entries and goes again, N times,\n"
        "while the other CPUs are idle, then busy with calls; removals wait for a grace period.\n"
        "dyncall: a dynamic call of one of many functions, by sequence of targets (burst-8: 95 %\n"
        "as before, else any of 8; phase-256: another of 4 after so many calls), way and number\n"
        "of slots. pinned: the hottest targets in the slots; off: gate closed; learning, watched:\n"
        "the same two, every call or every miss counted; auto: what it has learnt, chosen: slots\n"
        "in use. Unless named: all sequences, pinned, off and auto, imm, 2 slots. --learning:\n"
        "epochs, updates, batches, rounds and IPIs until it has learnt; then 3 s of the same;\n"
        "then until it has learnt other targets.\n"
        "ipi: round trips; without -n, up to 1000 or 2 s a row.\n"
        "poke: flips that many sites (1 to 4096) as one batch and adds up the records; without\n"
        "--flips, up to 100 flips or 1 s a row, 2 flips at least, and a row that would take\n"
        "longer than 10 s is left out by name. --load busy: N other CPUs (--busy; all if not\n"
        "given) run through the sites. --placement across: no site lies inside an aligned\n"
        "quadword; --strict: qword then refuses instead of falling back. --unsafe: naive, too,\n"
        "and under load what `protocol` calls unsafe; that may crash the kernel.\n"
        "traps: int3 hits emulated; handler_p50: time of one. stolen: what one flip takes from a\n"
        "busy CPU, measured there: the passes through the sites that overlap the flip, less what\n"
        "the same number of passes takes undisturbed (median of the 31 before the flip); median\n"
        "and maximum over flips and busy CPUs; \"-\" where no CPU was busy. wrong_passes: passes\n"
        "that did not run each site exactly once.\n"
        "poke --hold STEP: stops one batch at that step for N ms (10), once its bytes are written\n"
        "and once all CPUs are synced, and counts what the others execute there meanwhile: old,\n"
        "emulated, new; a mixture is a failure.\n"
        "lazy: call sites found while all CPUs run through them (1, 56, 256 sites), until all are\n"
        "direct calls; another target for those, and for as many that the linker listed.\n"
        "slow_calls: through the stub; time: from the first report to the last site patched, or\n"
        "of the one batch. --keep: the sites stay found: `sites bench_lazy_56` shows them.\n"
        "grace: waits until every thread was seen outside patched code, N times (200); busy: all\n"
        "other CPUs compute, and pass a checkpoint in each round.\n"
        "net: frames that another host sends (tools/pktgen; make bench-net), for N seconds from\n"
        "the first one on: dropped by program drop, read from a socket on port P (9000) by a\n"
        "thread, or echoed from that port. packets: that the mode was done with; received: by\n"
        "the card. min, max: of intervals of 250 ms. cycles_per_packet: TSC ticks inside polls.\n"
        "--mitigation, --dyncall: each of them in turn; off, if not given: the packet path's\n"
        "dynamic calls are indirect calls; pin: their slots name whom the packets go to; auto:\n"
        "they learn. --memory: frames from memory instead of a card, N\n"
        "(100000) of them, as fast as they are done with: no host, exact with ACCEL=icount.\n"
        "--entries: drop, the program in a dispatcher with so many entries; 0: through the\n"
        "fallback alone; full: the same, behind 64 others; --shape: tree, if not given.\n"
        "pv: what paravirt ops cost in one loop, patched to each form between blocks of 1000,\n"
        "beside a native copy: the same loop with the instructions built in. code_bytes: of the\n"
        "ops where they are called; bytes: executed; over_native: instructions more than the\n"
        "copy: indirect and direct 2 a site (call, ret); irq_save 4, for its function moves its\n"
        "return address. Ops go the way they go: after `pv backend NAME`, that backend's.\n"
        "--switch: all ops to another form and to another backend, N times (20), others idle,\n"
        "then busy with one lock; sites, rounds and ipis: of the batch of one switch.\n"
        "seeds: published figures beside measured ones. Seed 1: streams of 1-byte UDP from\n"
        "memory, retpolines, dynamic calls closed and open in turns, 10 pairs of runs. Seed 3:\n"
        "runs without and with dispatcher take turns; after_min, after_max: of all pairs (7);\n"
        "--listing: the image for its addresses; and of seed 4 all instructions, not only sites.\n"
        "Counts are exact; times compare only within one run, and with more busy CPUs (the\n"
        "patcher is one) than the host has cores they are the host's time slices: --busy 1 for\n"
        "two cores. With ACCEL=icount all CPUs take turns on one clock: stolen holds the turns of\n"
        "the others, too. min and max are exact, p50 and p99 are upper edges of buckets at most\n"
        "6 % wide. Ctrl-C acts between two flips. While functions are traced only poke\n"
        "--hold runs.",
    .run = bench_run,
    .complete = bench_complete,
};
