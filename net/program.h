// SPDX-License-Identifier: MIT
/* Packet programs: small functions that say of each received frame what is to become of it, before
 * any protocol sees it; attached per device and queue, run through the dispatcher `receive`.
 *
 * Built-in ones are C functions; generated ones are code that this kernel writes for itself, one
 * function each, in memory of its own (program_code.h). A program gets the packet and its own data:
 *
 *     unsigned program(const void *context, const void *instructions)
 *                      struct packet *      struct net_program_data *
 *
 * and returns an enum net_action; any other value counts as abort. It may change the frame, not
 * free it, and does not sleep: that is what lets a grace period prove that nobody runs it any more.
 *
 * Invariants: a queue has one program or none; a program that is attached is in the dispatcher, or
 * the dispatcher was full and it runs through the fallback, and that is shown; once
 * net_program_attach() or _detach() has returned, no frame meets the program that was replaced.
 * Callers: shell commands, benches, tests; receive.c runs them.
 *
 *     net_program_attach()                      poll thread of the queue
 *     dispatcher: the new one comes in          runs the old one
 *     queue->program = new (release)            runs either, whichever it has loaded (acquire)
 *     waits for a grace period; takes the       blocks, or says that it is outside
 *     old one out of the dispatcher             runs the new one
 *     returns: the old one may be unloaded */
#pragma once

#include "net/net_device.h"
#include "patching/xdp_call.h"

#include <stdbool.h>
#include <stdint.h>

/* The dispatcher of all devices and queues. */
DECLARE_XDP_CALL(receive);

#define NET_PROGRAM_GENERATED_MAX 64
#define NET_PROGRAM_ALL_QUEUES    UINT32_MAX

struct net_program {
    struct xdp_program xdp; /* what receive.c needs */
    const char *summary;
    bool is_generated;
    uint32_t bytes; /* of generated code */
    /* under the program lock: */
    uint32_t users;      /* queues it is attached to, and the reference by hand */
    uint32_t dispatched; /* references that the dispatcher has; all or none of them at rest */
    bool is_entered;     /* the reference by hand */
    bool is_linked;      /* among those with users or references */
    struct net_program *next;
};

/* What a listed program counts, by queue: each slot has one writer, the queue's poll thread. */
struct net_program_slot {
    uint64_t runs;
    uint64_t counts[7]; /* what they mean, the program knows */
};

struct net_program_data {
    struct net_program_slot slots[NET_DEVICE_MAX * NET_QUEUE_MAX];
};

enum net_program_status {
    NET_PROGRAM_OK,
    NET_PROGRAM_FULL, /* done, but the dispatcher has no entry left: runs through the fallback */
    NET_PROGRAM_NO_QUEUE,  /* the device has no such queue */
    NET_PROGRAM_SAME,      /* that program is attached there, or entered, already */
    NET_PROGRAM_NONE,      /* there is none to detach, or to remove */
    NET_PROGRAM_IN_USE,    /* still attached or entered somewhere: cannot be unloaded */
    NET_PROGRAM_BUILT_IN,  /* not generated: cannot be unloaded */
    NET_PROGRAM_NO_MEMORY, /* no room for what a generated program counts */
    NET_PROGRAM_NO_NUMBER, /* there are NET_PROGRAM_GENERATED_MAX generated programs */
    NET_PROGRAM_PATCH,     /* the text could not be changed: see the patch_error */
    NET_PROGRAM_STATUS_COUNT
};

/* Attaches @program to a queue of @device or to all of them, in place of what is there; of all,
 * those that have it already keep it. Detaches what is there; of all, where something is. Context:
 * thread, may patch; waits for a grace period if a program is replaced. Ordering: what the caller
 * did before is visible to the program; what a replaced one did is visible to the caller. Returns
 * anything but NET_PROGRAM_OK and _FULL with nothing changed (though frames may have met the new
 * program meanwhile); @error (may be NULL) is filled in for NET_PROGRAM_PATCH.
 * PATCH_ERR_STILL_INSIDE is the exception: the change is made, but a thread may still be in what
 * was replaced. */
enum net_program_status net_program_attach(struct net_device *device, uint32_t queue,
                                           struct net_program *program, struct patch_error *error);
enum net_program_status net_program_detach(struct net_device *device, uint32_t queue,
                                           struct patch_error *error);

/* Detaches everything from @device, and logs what goes wrong: for a device that goes away. */
void net_program_detach_all(struct net_device *device);

/* The program of a queue, NULL: none; may be outdated on return. Context: any. */
struct net_program *net_program_of(const struct net_device *device, uint32_t queue);

/* A reference by hand: puts @program into the dispatcher without attaching it (to fill it, to warm
 * it), and takes it out. At most one by hand for each program. */
enum net_program_status net_program_enter(struct net_program *program, struct patch_error *error);
enum net_program_status net_program_leave(struct net_program *program, struct patch_error *error);

/* Generates program number @number ("gen7"), unless it exists: a function of its own, in memory of
 * its own (program_code.h says what it does). Unloads it: its memory is int3 again once nobody can
 * be in it. Context: as net_program_attach(). */
enum net_program_status net_program_generate(uint32_t number, struct net_program **program,
                                             struct patch_error *error);
enum net_program_status net_program_unload(struct net_program *program, struct patch_error *error);

/* The number in a name like "gen7", whether it exists or not; NET_PROGRAM_GENERATED_MAX or above:
 * it is no such name. */
uint32_t net_program_number(const char *name);

/* All programs, built-in ones first; NULL: no more, or none of that name. Context: thread. */
struct net_program *net_program_at(unsigned index);
struct net_program *net_program_find(const char *name);

/* Makes a C function a program for as long as the caller likes: for benches, tests and `pkt count`.
 * It is not listed. */
void net_program_initialize(struct net_program *program, const char *name,
                            dispatched_function *function, const void *instructions);

/* How often @program has run; UINT64_MAX: it does not count. Context: any. */
uint64_t net_program_runs(const struct net_program *program);

/* Frames by what the programs of a queue said of them, since boot. Context: any. */
uint64_t net_program_count(const struct net_device *device, uint32_t queue, enum net_action action);

/* What the program `count` has counted on a queue since boot: frames by protocol, and for UDP and
 * TCP by destination port, as long as the queue has room for it: a new port takes the place of the
 * one met least. NET_PROGRAM_NO_PORT: the other frames of that protocol. Returns the number of
 * rows, none for a queue that @device has not. Context: any; while frames come in, the rows are of
 * different instants. */
#define NET_PROGRAM_COUNT_ROWS 23 /* at most */
#define NET_PROGRAM_NO_PORT    UINT32_MAX
struct net_program_count_row {
    const char *protocol; /* "udp" */
    uint32_t port;
    uint64_t frames;
};
unsigned net_program_counts(const struct net_device *device, uint32_t queue,
                            struct net_program_count_row rows[NET_PROGRAM_COUNT_ROWS]);

/* A short lower-case description, never NULL. Context: any. */
const char *net_program_status_text(enum net_program_status status);
