// SPDX-License-Identifier: MIT
/* The dispatcher of `bench net --entries`. Invariant: see bench_net_entries.h. Others are programs
 * that no frame meets: they only make the dispatcher longer. Called by: bench_net.c,
 * bench_seed_dispatch.c. */
#include "bench/bench_net_entries.h"

#include "bench/bench_dispatch_state.h"
#include "bench/bench_net_memory.h"
#include "kernel/console.h"
#include "kernel/thread.h"
#include "net/program.h"

#define TRIAL_PACKETS  2048 /* a run of the memory device while shapes are tried */
#define TRIAL_SLEEP_NS 1000000ull
#define RATE_PAIRS     7 /* and one to warm up */
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

bool bench_net_entries_can_begin(const char *command)
{
    bool is_free = dispatch_state_is_free(command, &dispatcher_receive);

    if (!is_free) {
        console_print("%s: first: prog detach NIC; prog leave all\n", command);
    }
    return is_free;
}

bool bench_net_entries_begin(const char *command)
{
    return bench_net_entries_can_begin(command) &&
           dispatch_state_begin(&state, command, &dispatcher_receive);
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

/* With device and others in place: one run, packets a second. */
static bool rate_run(struct shell_session *session, const struct bench_net_request *request,
                     enum dispatcher_shape shape, int64_t *packets_a_second)
{
    const struct bench_net_mode *mode = &bench_net_modes[BENCH_NET_DROP];
    uint64_t elapsed_ns = 0;
    bool done = shape_set(shape) &&
                bench_net_memory_run(request->device, request, mode, session, &elapsed_ns);

    *packets_a_second =
        (int64_t)(request->packets * 1000000000 / (elapsed_ns != 0 ? elapsed_ns : 1));
    return done;
}

void bench_net_figures_sort(int64_t *figures, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        for (unsigned k = i; k > 0 && figures[k] < figures[k - 1]; k--) {
            int64_t figure = figures[k];

            figures[k] = figures[k - 1];
            figures[k - 1] = figure;
        }
    }
}

/* The two ways take turns, and which comes first: what else the host does meets both alike. */
static bool pairs_run(struct shell_session *session, const struct bench_net_request *request,
                      struct bench_net_rates *rates)
{
    static const enum dispatcher_shape shapes[2] = {DISPATCHER_NONE, DISPATCHER_TREE};
    int64_t without[RATE_PAIRS], with[RATE_PAIRS], percent[RATE_PAIRS];

    for (unsigned round = 0; round <= RATE_PAIRS; round++) {
        unsigned place = round % RATE_PAIRS,
                 first = round & 1; /* the last one replaces the first */
        int64_t rate[2];

        if (!rate_run(session, request, shapes[first], &rate[first]) ||
            !rate_run(session, request, shapes[!first], &rate[!first])) {
            return false;
        }
        without[place] = rate[0];
        with[place] = rate[1];
        percent[place] = (rate[1] - rate[0]) * 100 / (rate[0] != 0 ? rate[0] : 1);
    }
    bench_net_figures_sort(without, RATE_PAIRS);
    bench_net_figures_sort(with, RATE_PAIRS);
    bench_net_figures_sort(percent, RATE_PAIRS);
    *rates = (struct bench_net_rates){without[RATE_PAIRS / 2], with[RATE_PAIRS / 2],
                                      percent[RATE_PAIRS / 2], percent[0], percent[RATE_PAIRS - 1]};
    return true;
}

static bool rates_measure(struct shell_session *session, const struct bench_net_request *request,
                          unsigned choice, struct bench_net_rates *rates)
{
    const struct bench_net_mode *mode = &bench_net_modes[BENCH_NET_DROP];

    if (!bench_net_entries_fill(choice) || !mode->begin(request)) {
        return false;
    }
    bool done = pairs_run(session, request, rates);

    mode->end(request);
    if (!done && shell_interrupted(session)) {
        console_print("%s: stopped by Ctrl-C\n", state.command);
    }
    return done;
}

bool bench_net_drop_rates(struct shell_session *session, const char *command, unsigned choice,
                          struct bench_net_rates *rates)
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
        done = rates_measure(session, &request, choice, rates);
        done = bench_net_entries_end() && done;
    }
    bench_net_memory_stop(request.device);
    return done;
}
