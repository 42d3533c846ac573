// SPDX-License-Identifier: MIT
/* The dispatcher of `bench net --entries`. Invariant: see bench_net_entries.h. Others are programs
 * that no frame meets: they only make the dispatcher longer. Called by: bench_net.c,
 * bench_seed_dispatch.c. */
#include "kernel/bench_net_entries.h"

#include "kernel/bench_dispatch_state.h"
#include "kernel/bench_net_memory.h"
#include "kernel/console.h"
#include "kernel/thread.h"
#include "net/program.h"

#define TRIAL_PACKETS  2048 /* a run of the memory device while shapes are tried */
#define TRIAL_SLEEP_NS 1000000ull
#define RATE_RUNS      3
#define RATE_PACKETS   20000
#define RATE_PORT      9000

const char *const bench_net_entry_words[BENCH_NET_ENTRIES + 1] = {
    "0", "1", "2", "4", "8", "16", "32", "64", "full", NULL,
};
static const uint8_t entry_counts[BENCH_NET_ENTRIES] = {0, 1, 2, 4, 8, 16, 32, 64, 64};

static struct dispatch_state state; /* one bench at a time: the shell's */

const char *const *bench_net_shape_words(void)
{
    static const char *words[DISPATCHER_SHAPE_COUNT + 2];

    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        words[shape] = dispatcher_shape_name(shape);
    }
    words[DISPATCHER_SHAPE_COUNT] = "auto";
    return words;
}

uint32_t bench_net_entry_count(unsigned choice)
{
    return entry_counts[choice];
}

bool bench_net_entries_begin(const char *command)
{
    return dispatch_state_begin(&state, command, &dispatcher_receive);
}

bool bench_net_entries_end(void)
{
    return dispatch_state_end(&state);
}

bool bench_net_entries_fill(unsigned choice)
{
    uint32_t count = entry_counts[choice];

    return dispatch_state_fill(&state, choice == BENCH_NET_FULL || count == 0 ? count : count - 1);
}

/* Frames for the trial. */
struct drive {
    struct shell_session *session;
    struct bench_net_request request;
    const struct bench_net_mode *mode;
};

static bool traffic_drive(void *argument)
{
    struct drive *drive = argument;
    uint64_t elapsed_ns;

    if (drive->request.packets != 0) {
        return bench_net_memory_run(drive->request.device, &drive->request, drive->mode,
                                    drive->session, &elapsed_ns);
    }
    thread_sleep_ns(TRIAL_SLEEP_NS);
    return true;
}

/* With the program that drops as the hottest. */
static bool shape_set(enum dispatcher_shape shape)
{
    const uint64_t hottest = (uint64_t)net_program_find("drop")->xdp.function;

    return dispatch_state_form_targets(&state, shape, &hottest, 1);
}

bool bench_net_entries_shape(struct shell_session *session, const struct bench_net_request *request,
                             const struct bench_net_mode *mode, unsigned choice,
                             enum dispatcher_shape shape, enum dispatcher_shape *chosen)
{
    struct drive drive = {.session = session, .request = *request, .mode = mode};

    if (choice != BENCH_NET_NONE && shape == DISPATCHER_SHAPE_COUNT) {
        drive.request.packets = request->packets != 0 ? TRIAL_PACKETS : 0;
        return dispatch_state_choose(&state, session, traffic_drive, &drive, chosen);
    }
    *chosen = choice == BENCH_NET_NONE ? DISPATCHER_NONE : shape;
    return shape_set(*chosen);
}

/* With device and others in place. */
static bool rate_measure(struct shell_session *session, const struct bench_net_request *request,
                         unsigned choice, uint64_t *packets_a_second)
{
    const struct bench_net_mode *mode = &bench_net_modes[BENCH_NET_DROP];
    enum dispatcher_shape chosen;
    uint64_t elapsed_ns;

    if (!bench_net_entries_fill(choice) || !mode->begin(request)) {
        return false;
    }
    bool done = bench_net_entries_shape(session, request, mode, choice, DISPATCHER_TREE, &chosen);

    for (unsigned run = 0; run < RATE_RUNS && done; run++) { /* the first ones warm up */
        done = bench_net_memory_run(request->device, request, mode, session, &elapsed_ns);
        *packets_a_second = request->packets * 1000000000 / (elapsed_ns != 0 ? elapsed_ns : 1);
    }
    mode->end(request);
    if (!done && shell_interrupted(session)) {
        console_print("%s: stopped by Ctrl-C\n", state.command);
    }
    return done;
}

bool bench_net_drop_rate(struct shell_session *session, const char *command, unsigned choice,
                         uint64_t *packets_a_second)
{
    struct bench_net_request request = {.device = bench_net_memory_start(),
                                        .port = RATE_PORT,
                                        .reader_cpu = THREAD_ANY_CPU,
                                        .packets = RATE_PACKETS};
    bool done = false;

    if (request.device == NULL) {
        return false;
    }
    if (bench_net_entries_begin(command)) {
        done = rate_measure(session, &request, choice, packets_a_second);
        done = bench_net_entries_end() && done;
    }
    bench_net_memory_stop(request.device);
    return done;
}
