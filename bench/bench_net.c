// SPDX-License-Identifier: MIT
/* `bench net`: what happens to the frames that somebody sends us: dropped by a program, read from a
 * socket, or echoed. It sends nothing by itself: tools/pktgen or another host does (`make
 * bench-net`). Invariant: programs, ports, keys, dynamic calls and mitigation are afterwards as
 * before, Ctrl-C included. Called by: bench.c. */
#include "arch/clock.h"
#include "bench/bench.h"
#include "bench/bench_net.h"
#include "bench/bench_net_dyncall.h"
#include "bench/bench_net_entries.h"
#include "bench/bench_net_memory.h"
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/string.h"
#include "kernel/table.h"
#include "kernel/thread.h"
#include "net/net_device.h"
#include "net/net_poll.h"
#include "patching/histogram.h"
#include "patching/indirect_thunk.h"
#include "patching/static_key.h"

#define INTERVAL_NS     250000000ull
#define SHAPE_NOT_GIVEN UINT64_MAX

/* Sums over the queues of the device, and what the mode counts. */
struct net_sample {
    uint64_t now_ns;
    uint64_t packets;
    struct net_queue_counters queues;
};

static void sample_take(const struct bench_net_request *request, const struct bench_net_mode *mode,
                        struct net_sample *sample)
{
    *sample = (struct net_sample){.now_ns = clock_now_ns(), .packets = mode->packets()};
    for (unsigned i = 0; i < request->device->queue_count; i++) {
        const struct net_queue_counters *counters = &request->device->queues[i].counters;

        sample->queues.interrupts += counters->interrupts;
        sample->queues.polls += counters->polls;
        sample->queues.poll_ticks += counters->poll_ticks;
        sample->queues.received += counters->received;
        sample->queues.transmit_starts += counters->transmit_starts;
    }
}

/* Sleeps until @deadline_ns. Returns false on Ctrl-C. */
static bool sleep_until(struct shell_session *session, uint64_t deadline_ns)
{
    while (clock_now_ns() < deadline_ns && !shell_interrupted(session)) {
        uint64_t left_ns = deadline_ns - clock_now_ns();

        thread_sleep_ns(left_ns < 50000000 ? left_ns : 50000000);
    }
    return !shell_interrupted(session);
}

static bool wait_for_traffic(struct shell_session *session, const struct bench_net_request *request,
                             const struct bench_net_mode *mode)
{
    uint64_t end_ns = clock_now_ns() + request->patience_ns;
    uint64_t before = mode->packets();

    while (mode->packets() == before) {
        if (clock_now_ns() > end_ns) {
            console_print("bench net: %s: no frame for it within %llu s; who sends them? "
                          "tools/pktgen on the host does: make bench-net\n",
                          mode->name, (unsigned long long)(request->patience_ns / 1000000000));
            return false;
        }
        if (!sleep_until(session, clock_now_ns() + 10000000)) {
            return false;
        }
    }
    return true;
}

/* Samples at the beginning and at the end of the time; rates of its intervals between. */
static bool samples_run(struct shell_session *session, const struct bench_net_request *request,
                        const struct bench_net_mode *mode, struct net_sample samples[2],
                        struct histogram *rates)
{
    uint64_t last_packets, last_ns;

    if (!wait_for_traffic(session, request, mode)) {
        return false;
    }
    sample_take(request, mode, &samples[0]);
    samples[1] = samples[0];
    while (samples[1].now_ns - samples[0].now_ns < request->duration_ns) {
        last_packets = samples[1].packets;
        last_ns = samples[1].now_ns;
        if (!sleep_until(session, last_ns + INTERVAL_NS)) {
            return false;
        }
        sample_take(request, mode, &samples[1]);
        histogram_add(rates, (samples[1].packets - last_packets) * 1000000000 /
                                 (samples[1].now_ns - last_ns));
    }
    return true;
}

/* The same with the memory device, as many frames as asked for. */
static bool samples_run_memory(struct shell_session *session,
                               const struct bench_net_request *request,
                               const struct bench_net_mode *mode, struct net_sample samples[2],
                               struct histogram *rates)
{
    uint64_t elapsed_ns;

    sample_take(request, mode, &samples[0]);
    if (!bench_net_memory_run(request->device, request, mode, session, &elapsed_ns)) {
        return false;
    }
    sample_take(request, mode, &samples[1]);
    samples[1].now_ns = samples[0].now_ns + elapsed_ns;
    histogram_add(rates, request->packets * 1000000000 / elapsed_ns);
    return true;
}

static int64_t thousandths(uint64_t count, uint64_t of)
{
    return of == 0 ? 0 : (int64_t)(count * 1000 / of);
}

/* The dispatcher of a row. */
struct dispatch_form {
    bool is_given;   /* --entries */
    unsigned choice; /* bench_net_entry_words[] */
    enum dispatcher_shape wanted, shape;
};

static void form_print(struct table *table, const struct dispatch_form *form)
{
    if (!form->is_given) {
        table_none(table, "entries", 7);
        table_none(table, "traffic", 7);
        table_none(table, "shape", 11);
        return;
    }
    table_number(table, "entries", 7, bench_net_entry_count(form->choice));
    table_text(table, "traffic", 7,
               form->choice == BENCH_NET_FULL || form->choice == BENCH_NET_NONE ? "miss" : "hit");
    table_text(table, "shape", 11, dispatcher_shape_name(form->shape));
}

static void row_print(struct table *table, const struct bench_net_request *request,
                      const struct bench_net_mode *mode, const struct dispatch_form *form,
                      const struct net_sample samples[2], const struct histogram *rates)
{
    const struct net_queue_counters *first = &samples[0].queues, *last = &samples[1].queues;
    uint64_t packets = samples[1].packets - samples[0].packets;
    uint64_t duration_ns = samples[1].now_ns - samples[0].now_ns;

    table_row(table);
    table_text(table, "nic", 5, request->device->name);
    table_text(table, "driver", 10, request->device->operations->driver);
    table_text(table, "mode", 5, mode->name);
    table_text(table, "mitigation", 10, mitigation_name(mitigation_current()));
    table_text(table, "dyncall", 7, bench_net_dyncall_words[request->dyncall]);
    form_print(table, form);
    table_number(table, "duration_ms", 11, duration_ns / 1000000);
    table_number(table, "packets", 9, packets);
    table_number(table, "rate_pps", 8, packets * 1000000000 / duration_ns);
    table_number(table, "min_pps", 8, rates->count == 0 ? 0 : rates->minimum);
    table_number(table, "max_pps", 8, rates->maximum);
    table_thousandths(table, "cycles_per_packet", 8,
                      thousandths(last->poll_ticks - first->poll_ticks, packets));
    table_number(table, "received", 9, last->received - first->received);
    table_number(table, "interrupts", 10, last->interrupts - first->interrupts);
    table_number(table, "polls", 8, last->polls - first->polls);
    table_thousandths(table, "interrupts_per_packet", 10,
                      thousandths(last->interrupts - first->interrupts, packets));
    table_thousandths(table, "polls_per_packet", 10,
                      thousandths(last->polls - first->polls, packets));
    table_number(table, "doorbells", 9, last->transmit_starts - first->transmit_starts);
    table_end_row(table);
}

static enum command_result mode_run(struct shell_session *session, struct table *table,
                                    const struct bench_net_request *request,
                                    const struct bench_net_mode *mode, struct dispatch_form *form)
{
    static struct histogram rates; /* one bench at a time: the shell's */
    struct net_sample samples[2];
    bool done;

    rates = (struct histogram){0};
    if ((form->is_given && !bench_net_entries_fill(form->choice)) || !mode->begin(request)) {
        return COMMAND_FAILED; /* it has said why */
    }
    done = bench_net_dyncall_set(request->dyncall, request);
    done = done && (!form->is_given || bench_net_entries_shape(session, request, mode, form->choice,
                                                               form->wanted, &form->shape));
    done = done && (request->packets != 0 ? samples_run_memory
                                          : samples_run)(session, request, mode, samples, &rates);
    mode->end(request);
    if (!done) {
        if (shell_interrupted(session)) {
            console_print("bench net: stopped by Ctrl-C\n");
        }
        return COMMAND_FAILED;
    }
    row_print(table, request, mode, form, samples, &rates);
    return COMMAND_OK;
}

/* What rows there are to be. */
struct rows {
    bool json;
    struct number_list modes, mitigations, dyncalls;
    struct number_list entries; /* of bench_net_entry_words[]; none: the dispatcher as it is */
    uint64_t shape;
};

/* A mode with every number of entries asked for. */
static enum command_result entries_run(struct shell_session *session, struct table *table,
                                       const struct bench_net_request *request,
                                       const struct bench_net_mode *mode, const struct rows *rows)
{
    struct dispatch_form form = {.is_given = rows->entries.count != 0,
                                 .wanted = (enum dispatcher_shape)rows->shape};
    enum command_result result = COMMAND_OK;

    if (!form.is_given) {
        return mode_run(session, table, request, mode, &form);
    }
    if (!bench_net_entries_begin("bench net")) {
        return COMMAND_FAILED;
    }
    for (size_t i = 0; i < rows->entries.count && result == COMMAND_OK; i++) {
        form.choice = (unsigned)rows->entries.values[i];
        result = mode_run(session, table, request, mode, &form);
    }
    return bench_net_entries_end() ? result : COMMAND_FAILED;
}

/* Every mode with every state of dynamic calls asked for. */
static enum command_result modes_run(struct shell_session *session, struct table *table,
                                     const struct bench_net_request *request,
                                     const struct rows *rows)
{
    struct bench_net_request now = *request;
    enum command_result result = COMMAND_OK;

    for (size_t i = 0; i < rows->dyncalls.count && result == COMMAND_OK; i++) {
        now.dyncall = (enum bench_net_dyncall)rows->dyncalls.values[i];
        for (size_t k = 0; k < rows->modes.count && result == COMMAND_OK; k++) {
            result =
                entries_run(session, table, &now, &bench_net_modes[rows->modes.values[k]], rows);
        }
    }
    return result;
}

/* All that under every mitigation asked for. */
static enum command_result rows_run(struct shell_session *session,
                                    const struct bench_net_request *request,
                                    const struct rows *rows)
{
    const struct number_list *mitigations = &rows->mitigations;
    static struct table table;
    enum mitigation before = mitigation_current();
    enum command_result result = COMMAND_OK;
    struct patch_error error;

    table_begin(&table, "bench.net", rows->json);
    for (size_t i = 0; i < mitigations->count && result == COMMAND_OK; i++) {
        if (mitigation_set((enum mitigation)mitigations->values[i], &error) != PATCH_OK) {
            console_print("bench net: mitigation %s: %s\n",
                          mitigation_name((enum mitigation)mitigations->values[i]),
                          patch_status_text(error.status));
            result = COMMAND_FAILED;
        }
        if (result == COMMAND_OK) {
            result = modes_run(session, &table, request, rows);
        }
    }
    if (mitigation_set(before, &error) != PATCH_OK) {
        console_print("bench net: the mitigation is not %s again: %s\n", mitigation_name(before),
                      patch_status_text(error.status));
        result = COMMAND_FAILED;
    }
    if (result == COMMAND_OK) {
        table_end(&table); /* its "(none)" would stand below an error that says more */
    }
    return result;
}

static const char *const *mode_names(void)
{
    static const char *names[BENCH_NET_MODES + 1];

    for (unsigned i = 0; i < BENCH_NET_MODES; i++) {
        names[i] = bench_net_modes[i].name;
    }
    return names;
}

static const char *const *mitigation_names(void)
{
    static const char *names[MITIGATION_COUNT + 1];

    for (unsigned i = 0; i < MITIGATION_COUNT; i++) {
        names[i] = mitigation_name((enum mitigation)i);
    }
    return names;
}

static struct net_device *device_choose(const char *name)
{
    struct net_device *device = name != NULL ? net_device_find(name) : net_device_at(0);

    if (device == NULL && name != NULL) {
        console_print("bench net: there is no network card '%s'; `nic` lists them\n", name);
    } else if (device == NULL) {
        console_print("bench net: this machine has no network card; make run NIC=virtio gives it "
                      "one, bench net --memory does without\n");
    }
    return device;
}

/* With the polls' time being added up, and dynamic calls as they are wanted. */
static enum command_result rows_run_timed(struct shell_session *session,
                                          const struct bench_net_request *request,
                                          const struct rows *rows)
{
    enum command_result result;

    if (static_key_increment(&net_poll_timed) != PATCH_OK) {
        console_print("bench net: polls cannot be timed: a CPU does not answer\n");
        return COMMAND_FAILED;
    }
    result = COMMAND_FAILED;
    if (bench_net_dyncall_begin("bench net")) {
        result = rows_run(session, request, rows);
        result = bench_net_dyncall_end() ? result : COMMAND_FAILED;
    }
    if (static_key_decrement(&net_poll_timed) != PATCH_OK) {
        console_print("bench net: polls are still timed: a CPU does not answer\n");
        result = COMMAND_FAILED;
    }
    return result;
}

/* --entries is about the one mode that is a program. */
static bool rows_check(struct rows *rows)
{
    bool has_entries = rows->entries.count != 0, has_shape = rows->shape != SHAPE_NOT_GIVEN;

    if (has_shape && !has_entries) {
        console_print("bench net: --shape: of a dispatcher with which --entries?\n");
        return false;
    }
    if (has_entries && (rows->modes.count > 1 ||
                        (rows->modes.count == 1 && rows->modes.values[0] != BENCH_NET_DROP))) {
        console_print("bench net: --entries goes with --mode drop alone\n");
        return false;
    }
    if (!has_shape) {
        rows->shape = DISPATCHER_TREE;
    }
    if (rows->modes.count == 0) {
        rows->modes = (struct number_list){.count = has_entries ? 1 : BENCH_NET_MODES,
                                           .values = {BENCH_NET_DROP, 1, 2}};
    }
    return true;
}

static enum command_result bench_net_run(struct shell_session *session, int argc, char **argv)
{
    static struct rows rows; /* one bench at a time: the shell's */
    const char *nic = NULL;
    uint64_t seconds = 5, port = 9000, patience_s = 10, packets = 100000;
    bool memory = false;
    const struct option options[] = {
        OPTION_JSON(&rows.json),
        OPTION_FLAG("--memory", &memory),
        OPTION_NUMBER("--packets", &packets, 1, 100000000),
        OPTION_TEXT("--nic", &nic),
        OPTION_CHOICE_LIST("--mode", &rows.modes, mode_names()),
        OPTION_CHOICE_LIST("--mitigation", &rows.mitigations, mitigation_names()),
        OPTION_CHOICE_LIST("--dyncall", &rows.dyncalls, bench_net_dyncall_words),
        OPTION_CHOICE_LIST("--entries", &rows.entries, bench_net_entry_words),
        OPTION_CHOICE("--shape", &rows.shape, bench_net_shape_words()),
        OPTION_NUMBER("--seconds", &seconds, 1, 3600),
        OPTION_NUMBER("--port", &port, 1, 65535),
        OPTION_NUMBER("--wait", &patience_s, 1, 3600),
    };
    struct bench_net_request request;
    enum command_result result;

    rows = (struct rows){.shape = SHAPE_NOT_GIVEN};
    rows.mitigations = (struct number_list){.count = 1, .values = {mitigation_current()}};
    rows.dyncalls = (struct number_list){.count = 1, .values = {BENCH_NET_DYNCALL_OFF}};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0) || !rows_check(&rows)) {
        return COMMAND_USAGE;
    }
    if (!bench_is_untraced(argv[0])) {
        return COMMAND_FAILED;
    }
    request = (struct bench_net_request){
        .device = memory ? bench_net_memory_start() : device_choose(nic),
        .port = (uint16_t)port,
        .reader_cpu = THREAD_ANY_CPU,
        .duration_ns = seconds * 1000000000,
        .patience_ns = patience_s * 1000000000,
    };
    if (request.device == NULL) {
        return COMMAND_FAILED; /* it has been said why */
    }
    if (memory) {
        request.packets = packets;
        request.reader_cpu = request.device->queues[0].cpu;
    }
    result = rows_run_timed(session, &request, &rows);
    if (memory) {
        bench_net_memory_stop(request.device);
    }
    return result;
}

const struct shell_command command_bench_net = {
    .name = "net",
    .summary = "frames dropped, read or echoed, of another host or from memory",
    .usage =
        "bench net [--mode drop,sink,echo] [--seconds N] [--nic NAME] [--port P] "
        "[--wait S] [--mitigation LIST] [--dyncall off,auto,pin] [--shape SHAPE] "
        "[--entries 0,1,2,4,8,16,32,64,full] [-j]\n"
        "         bench net --memory [--packets N] [--mode LIST] [--mitigation LIST] [--dyncall "
        "LIST] [--entries LIST] [-j]",
    .example = "bench net --memory --packets 20000",
    .details =
        "Frames that another host sends (tools/pktgen; make bench-net), for N seconds from the\n"
        "first one on: dropped by program drop, read from a socket on port P (9000) by a\n"
        "thread, or echoed from that port. packets: that the mode was done with; received: by\n"
        "the card. min, max: of intervals of 250 ms. cycles_per_packet: TSC ticks inside\n"
        "polls. --mitigation, --dyncall: each of them in turn; off, if not given: the packet\n"
        "path's dynamic calls are indirect calls; pin: their slots name whom the packets go\n"
        "to; auto: they learn. --memory: frames from memory instead of a card, N (100000) of\n"
        "them, as fast as they are done with: no host, exact with ACCEL=icount. --entries:\n"
        "drop, the program in a dispatcher with so many entries; 0: through the fallback\n"
        "alone; full: the same, behind 64 others; --shape: tree, if not given.",
    .run = bench_net_run,
};
