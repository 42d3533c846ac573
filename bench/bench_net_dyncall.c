// SPDX-License-Identifier: MIT
/* States of dynamic calls for benches of packets; see bench_net_dyncall.h. Called by: bench_net.c,
 * bench_seed_packets.c. */
#include "bench/bench_net_dyncall.h"

#include "arch/clock.h"
#include "kernel/choice_worker.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/options.h"
#include "kernel/patch_error_text.h"
#include "kernel/string.h"
#include "net/arp.h"
#include "net/ethernet.h"
#include "net/icmp.h"
#include "net/ipv4.h"
#include "net/program.h"
#include "net/receive.h"
#include "net/udp.h"
#include "patching/dynamic_auto.h"

#define CALLS_MAX  64
#define NAME_BYTES 16

const char *const bench_net_dyncall_words[] = {"off", "auto", "pin", NULL};

static struct saved {
    const char *command;
    unsigned count;
    struct {
        enum dynamic_state state;
        struct dynamic_targets targets; /* of one that was pinned */
    } calls[CALLS_MAX];
} saved;

static bool is_done(const struct dynamic_call *call, enum patch_status status,
                    const struct patch_error *error)
{
    char text[PATCH_ERROR_TEXT_MAX];

    if (status != PATCH_OK) {
        console_print("%s: dyncall %s: %s\n", saved.command, call->name,
                      patch_error_text(error, text));
    }
    return status == PATCH_OK;
}

static bool learning_set(struct dynamic_call *call, bool is_on)
{
    struct patch_error error = {0};

    return is_done(call, dynamic_auto_set(call, is_on, clock_now_ns(), &error), &error);
}

static bool pin(struct dynamic_call *call, const struct dynamic_targets *targets)
{
    struct patch_error error = {0};

    return is_done(call, dynamic_auto_pin(call, targets, clock_now_ns(), &error), &error);
}

bool bench_net_dyncall_begin(const char *command)
{
    struct dynamic_call *call;
    bool done = true;

    saved = (struct saved){.command = command};
    while (done && (call = dynamic_call_at(saved.count)) != NULL) {
        struct dynamic_auto_view learning;
        struct dynamic_call_view view;

        if (saved.count == CALLS_MAX) {
            console_print("%s: more than %u dynamic calls\n", command, CALLS_MAX);
            done = false;
            break;
        }
        dynamic_auto_look(call, &learning);
        dynamic_call_look(call, &view);
        saved.calls[saved.count].state = learning.state;
        saved.calls[saved.count++].targets = view.form.targets;
        done = learning_set(call, false);
    }
    if (!done) {
        bench_net_dyncall_end();
    }
    return done;
}

bool bench_net_dyncall_end(void)
{
    bool done = true;

    for (unsigned i = 0; i < saved.count; i++) {
        struct dynamic_call *call = dynamic_call_at(i);

        if (saved.calls[i].state == DYNAMIC_PINNED) {
            done &= pin(call, &saved.calls[i].targets);
        } else {
            /* Off in between: it is not to go on with what it learnt from the bench. */
            done &= learning_set(call, false) &&
                    (saved.calls[i].state == DYNAMIC_OFF || learning_set(call, true));
        }
    }
    return done;
}

/* The dynamic calls that a packet meets, and whom it goes to there. */
static const struct path_call {
    struct dynamic_call *call;
    net_protocol_receive *frames[2];
    ipv4_protocol_receive *packets[2];
} path[] = {
    {.call = &dynamic_call_deliver, .frames = {ipv4_receive, arp_receive}},
    {.call = &dynamic_call_ipv4_deliver, .packets = {udp_receive, icmp_receive}},
    {.call = &dynamic_call_udp_deliver},
};

/* The call that runs the programs of the card, if it has one. */
static struct dynamic_call *hook_of(const struct bench_net_request *request)
{
    char name[NAME_BYTES];

    format_text(name, sizeof(name), "hook_%u", request->device->hook_instance);
    return dynamic_call_find(name);
}

static bool path_pin(const struct bench_net_request *request)
{
    struct dynamic_call *hook = hook_of(request);
    const struct net_program *program = net_program_of(request->device, 0);
    udp_handler *handler = udp_handler_of(request->port);
    bool done = true;

    for (size_t i = 0; i < ARRAY_COUNT(path) && done; i++) {
        struct dynamic_targets targets = {.slot = {(uint64_t)handler}};

        if (path[i].frames[0] != NULL) {
            targets = (struct dynamic_targets){
                {(uint64_t)path[i].frames[0], (uint64_t)path[i].frames[1]}};
        } else if (path[i].packets[0] != NULL) {
            targets = (struct dynamic_targets){
                {(uint64_t)path[i].packets[0], (uint64_t)path[i].packets[1]}};
        }
        done = targets.slot[0] == 0 || pin(path[i].call, &targets);
    }
    if (done && hook != NULL && program != NULL) {
        done = pin(hook, &(struct dynamic_targets){{(uint64_t)program->xdp.function}});
    }
    return done;
}

bool bench_net_dyncall_set(enum bench_net_dyncall state, const struct bench_net_request *request)
{
    struct dynamic_call *hook = hook_of(request);
    bool done = true;

    if (state == BENCH_NET_DYNCALL_PIN) {
        return path_pin(request);
    }
    for (size_t i = 0; i < ARRAY_COUNT(path) && done; i++) {
        done = learning_set(path[i].call, state == BENCH_NET_DYNCALL_AUTO);
    }
    return done && (hook == NULL || learning_set(hook, state == BENCH_NET_DYNCALL_AUTO));
}

/* What the calls of the path were when their gates were closed. The worker is held as long: it
 * would open them at once. */
static struct {
    bool is_closed;
    struct dynamic_call_form learnt[ARRAY_COUNT(path)];
} aside;

static bool form_set(struct dynamic_call *call, const struct dynamic_call_form *form)
{
    struct patch_error error = {0};

    return is_done(call, dynamic_call_set_form(call, form, &error), &error);
}

static bool path_close(void)
{
    bool done = true;

    choice_worker_hold();
    aside.is_closed = true;
    for (size_t i = 0; i < ARRAY_COUNT(path); i++) {
        struct dynamic_call_view view;

        dynamic_call_look(path[i].call, &view);
        aside.learnt[i] = view.form;
        view.form.is_open = view.form.is_watched = false;
        done &= form_set(path[i].call, &view.form);
    }
    return done;
}

static bool path_open(void)
{
    bool done = true;

    for (size_t i = 0; i < ARRAY_COUNT(path); i++) {
        done &= form_set(path[i].call, &aside.learnt[i]);
    }
    aside.is_closed = false;
    choice_worker_release();
    return done;
}

bool bench_net_dyncall_open(bool is_open)
{
    return is_open != aside.is_closed || (is_open ? path_open() : path_close());
}

unsigned bench_net_dyncall_open_count(void)
{
    unsigned count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(path); i++) {
        struct dynamic_call_view view;

        dynamic_call_look(path[i].call, &view);
        count += view.form.is_open;
    }
    return count;
}

uint64_t bench_net_dyncall_batches(void)
{
    uint64_t batches = 0;

    for (size_t i = 0; i < ARRAY_COUNT(path); i++) {
        struct dynamic_call_view view;

        dynamic_call_look(path[i].call, &view);
        batches += view.statistics.batches;
    }
    return batches;
}
