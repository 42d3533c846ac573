// SPDX-License-Identifier: MIT
/* What `bench net` may do with received frames. Called by: bench_net.c; rows in bench_net_modes.c.
 */
#pragma once

#include "net/net_device.h"

#include <stdbool.h>
#include <stdint.h>

#define BENCH_NET_MODES 3
#define BENCH_NET_DROP  0 /* among them */

/* What the dynamic calls of the packet path do meanwhile: bench_net_dyncall.h. */
enum bench_net_dyncall {
    BENCH_NET_DYNCALL_OFF,  /* gates closed, nobody watches: indirect calls */
    BENCH_NET_DYNCALL_AUTO, /* they learn */
    BENCH_NET_DYNCALL_PIN,  /* the slots name whom the packets go to */
};

struct bench_net_request {
    struct net_device *device;
    uint16_t port;
    uint32_t reader_cpu;  /* where a socket's reader is to run, or THREAD_ANY_CPU */
    uint64_t packets;     /* --memory: so many; else 0 */
    uint64_t duration_ns; /* without --memory: for so long */
    uint64_t patience_ns; /* for the first frame */
    enum bench_net_dyncall dyncall;
};

struct bench_net_mode {
    const char *name;
    /* Sets it up. Returns false, having said why, with nothing changed. Context: thread. */
    bool (*begin)(const struct bench_net_request *request);
    /* Takes it down. Context: thread. */
    void (*end)(const struct bench_net_request *request);
    /* How many frames have had it so far; its differences count. Context: any. */
    uint64_t (*packets)(void);
    /* For a mode that queues frames for a thread, else NULL: how many that is done with, cheaply;
     * and when it was with the newest. */
    uint64_t (*queue_done)(void);
    uint64_t (*finished_ns)(void);
};

extern const struct bench_net_mode bench_net_modes[BENCH_NET_MODES];
