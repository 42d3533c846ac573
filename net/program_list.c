// SPDX-License-Identifier: MIT
/* What there is to know of programs: which there are, what they have counted, what a status means.
 * Invariant: reads only. Called by: whoever uses program.h. */
#include "net/program.h"

#include "kernel/string.h"
#include "net/program_reference.h"

static struct net_program *program_at_locked(unsigned index)
{
    unsigned builtin = 0;

    while (program_builtin_at(builtin) != NULL) {
        builtin++;
    }
    return index < builtin ? program_builtin_at(index) : program_generated_at(index - builtin);
}

struct net_program *net_program_at(unsigned index)
{
    struct net_program *program;

    program_lock();
    program = program_at_locked(index);
    program_unlock();
    return program;
}

struct net_program *net_program_find(const char *name)
{
    struct net_program *program;

    program_lock();
    for (unsigned i = 0; (program = program_at_locked(i)) != NULL; i++) {
        if (strcmp(program->xdp.name, name) == 0) {
            break;
        }
    }
    program_unlock();
    return program;
}

uint64_t net_program_runs(const struct net_program *program)
{
    const struct net_program_data *data = program->xdp.instructions;
    uint64_t sum = 0;

    if (data == NULL) {
        return UINT64_MAX;
    }
    for (unsigned i = 0; i < NET_DEVICE_MAX * NET_QUEUE_MAX; i++) {
        sum += __atomic_load_n(&data->slots[i].runs, __ATOMIC_RELAXED);
    }
    return sum;
}

uint64_t net_program_count(const struct net_device *device, uint32_t queue, enum net_action action)
{
    return queue < device->queue_count && action < NET_ACTION_COUNT
               ? __atomic_load_n(&device->queues[queue].counters.actions[action], __ATOMIC_RELAXED)
               : 0;
}

const char *net_program_status_text(enum net_program_status status)
{
    static const char *const texts[NET_PROGRAM_STATUS_COUNT] = {
        [NET_PROGRAM_OK] = "done",
        [NET_PROGRAM_FULL] = "the dispatcher is full: it runs through the fallback",
        [NET_PROGRAM_NO_QUEUE] = "the device has no such queue",
        [NET_PROGRAM_SAME] = "it is there already",
        [NET_PROGRAM_NONE] = "there is none",
        [NET_PROGRAM_IN_USE] = "it is attached or entered still",
        [NET_PROGRAM_BUILT_IN] = "it is built in",
        [NET_PROGRAM_NO_MEMORY] = "no memory for what it counts",
        [NET_PROGRAM_NO_NUMBER] = "generated programs are gen0 to gen63",
        [NET_PROGRAM_PATCH] = "the text could not be changed",
    };

    return status < NET_PROGRAM_STATUS_COUNT ? texts[status] : "unknown status";
}
