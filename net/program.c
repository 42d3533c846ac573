// SPDX-License-Identifier: MIT
/* Programs of queues: attach and detach; see program.h. Invariant: the pointers of queues change
 * under the program lock alone, and a program that a queue points to has a user for it. Order of a
 * change: the dispatcher learns of the new program, the queues are told, the old programs leave the
 * dispatcher, a grace period ends. In that order no frame meets half a change: whatever a poll
 * thread has loaded is a program that works, in the dispatcher or through the fallback. */
#include "net/program.h"

#include "kernel/log.h"
#include "kernel/string.h"
#include "net/program_reference.h"

/* Queues of a device and what becomes of their programs. */
struct queue_change {
    struct net_device *device;
    struct net_program *to; /* NULL: none */
    unsigned first, end;
    struct net_program *from[NET_QUEUE_MAX]; /* by queue; what stays the same equals @to */
};

static struct net_program *queue_program(const struct net_device *device, unsigned queue)
{
    /* Acquire: pairs with the release in queue_set_program(); its fields come first. */
    return (struct net_program *)__atomic_load_n(&device->queues[queue].program, __ATOMIC_ACQUIRE);
}

static void queue_set_program(struct net_device *device, unsigned queue,
                              const struct net_program *program)
{
    /* Release: pairs with the acquire in receive_stamped(); without it the poll thread could run a
     * program before it sees the data that were made ready for it. */
    __atomic_store_n(&device->queues[queue].program, program, __ATOMIC_RELEASE);
}

/* Reads what is there. Returns how many queues are to change. */
static unsigned change_prepare(struct queue_change *change, struct net_device *device,
                               uint32_t queue, struct net_program *to)
{
    unsigned differ = 0;

    *change = (struct queue_change){.device = device, .to = to, .end = device->queue_count};
    if (queue != NET_PROGRAM_ALL_QUEUES) {
        change->first = queue;
        change->end = queue + 1;
    }
    for (unsigned i = change->first; i < change->end; i++) {
        change->from[i] = queue_program(device, i);
        differ += change->from[i] != to;
    }
    return differ;
}

/* Tells the queues, and counts the users of the programs replaced. */
static void change_publish(const struct queue_change *change)
{
    for (unsigned i = change->first; i < change->end; i++) {
        if (change->from[i] != change->to) {
            queue_set_program(change->device, i, change->to);
            if (change->from[i] != NULL) {
                change->from[i]->users--;
            }
        }
    }
}

static void change_take_back(const struct queue_change *change)
{
    for (unsigned i = change->first; i < change->end; i++) {
        if (change->from[i] != change->to) {
            queue_set_program(change->device, i, change->from[i]);
            if (change->from[i] != NULL) {
                change->from[i]->users++;
            }
            if (change->to != NULL) {
                change->to->users--;
            }
        }
    }
    program_settle_all();
}

/* Whether a queue has a program that is replaced, and is the first with that one. */
static bool is_replaced(const struct queue_change *change, unsigned queue)
{
    const struct net_program *program = change->from[queue];

    for (unsigned i = change->first; i < queue; i++) {
        if (change->from[i] == program) {
            return false;
        }
    }
    return program != NULL && program != change->to;
}

/* Takes the replaced programs out of the dispatcher. On return nobody is in one of them. */
static enum patch_status change_finish(const struct queue_change *change, struct patch_error *error)
{
    bool needs_grace = false;
    enum patch_status status = PATCH_OK;

    for (unsigned i = change->first; i < change->end && status == PATCH_OK; i++) {
        bool has_left = false;

        if (is_replaced(change, i)) {
            status = program_release(change->from[i], &has_left, error);
            /* An entry that has gone took a grace period along, after all that was published. One
             * that stays, for another queue or because it never was there, does not. */
            needs_grace = !has_left;
        }
    }
    return status == PATCH_OK && needs_grace ? program_wait_outside(error) : status;
}

static bool is_change_made(enum patch_status status)
{
    return status == PATCH_OK || status == PATCH_ERR_STILL_INSIDE;
}

/* The new program's references are there; does the rest, or takes them back. */
static enum patch_status change_make(const struct queue_change *change, struct patch_error *error)
{
    enum patch_status status;

    change_publish(change);
    status = change_finish(change, error);
    if (!is_change_made(status)) {
        change_take_back(change);
        if (program_wait_outside(NULL) != PATCH_OK) {
            log_error("%s: a frame may still be in a program that was not attached",
                      change->device->name);
        }
        return status;
    }
    program_settle_all();
    return status;
}

static enum net_program_status attach_locked(struct net_device *device, uint32_t queue,
                                             struct net_program *program, struct patch_error *error)
{
    struct queue_change change;
    unsigned more = change_prepare(&change, device, queue, program);

    if (more == 0) {
        return NET_PROGRAM_SAME;
    }
    program->users += more;

    enum patch_status status = program_settle(program, NULL, error);

    if (status != PATCH_OK && status != PATCH_ERR_NO_SLOT) {
        program->users -= more;
        program_settle_all();
        return NET_PROGRAM_PATCH;
    }
    if (change_make(&change, error) != PATCH_OK) {
        return NET_PROGRAM_PATCH;
    }
    if (program_is_outside(program)) {
        log_warning("program %s on %s runs through the fallback: the dispatcher is full",
                    program->xdp.name, device->name);
        return NET_PROGRAM_FULL;
    }
    return NET_PROGRAM_OK;
}

static enum net_program_status detach_locked(struct net_device *device, uint32_t queue,
                                             struct patch_error *error)
{
    struct queue_change change;

    if (change_prepare(&change, device, queue, NULL) == 0) {
        return NET_PROGRAM_NONE;
    }
    return change_make(&change, error) == PATCH_OK ? NET_PROGRAM_OK : NET_PROGRAM_PATCH;
}

static bool has_queue(const struct net_device *device, uint32_t queue)
{
    return queue == NET_PROGRAM_ALL_QUEUES || queue < device->queue_count;
}

enum net_program_status net_program_attach(struct net_device *device, uint32_t queue,
                                           struct net_program *program, struct patch_error *error)
{
    enum net_program_status status;

    if (!has_queue(device, queue)) {
        return NET_PROGRAM_NO_QUEUE;
    }
    program_lock();
    status = attach_locked(device, queue, program, error);
    program_unlock();
    return status;
}

enum net_program_status net_program_detach(struct net_device *device, uint32_t queue,
                                           struct patch_error *error)
{
    enum net_program_status status;

    if (!has_queue(device, queue)) {
        return NET_PROGRAM_NO_QUEUE;
    }
    program_lock();
    status = detach_locked(device, queue, error);
    program_unlock();
    return status;
}

void net_program_detach_all(struct net_device *device)
{
    struct patch_error error = {0};

    if (net_program_detach(device, NET_PROGRAM_ALL_QUEUES, &error) == NET_PROGRAM_PATCH) {
        log_error("%s: its programs were not detached: %s", device->name,
                  patch_status_text(error.status));
    }
}

struct net_program *net_program_of(const struct net_device *device, uint32_t queue)
{
    return queue < device->queue_count ? queue_program(device, queue) : NULL;
}

static enum net_program_status enter_locked(struct net_program *program, struct patch_error *error)
{
    enum patch_status status;

    if (program->is_entered) {
        return NET_PROGRAM_SAME;
    }
    program->users++;
    status = program_settle(program, NULL, error);
    if (status != PATCH_OK && status != PATCH_ERR_NO_SLOT) {
        program->users--;
        program_settle_all();
        return NET_PROGRAM_PATCH;
    }
    program->is_entered = true;
    return status == PATCH_OK ? NET_PROGRAM_OK : NET_PROGRAM_FULL;
}

enum net_program_status net_program_enter(struct net_program *program, struct patch_error *error)
{
    enum net_program_status status;

    program_lock();
    status = enter_locked(program, error);
    program_unlock();
    return status;
}

static enum net_program_status leave_locked(struct net_program *program, struct patch_error *error)
{
    enum patch_status status;

    if (!program->is_entered) {
        return NET_PROGRAM_NONE;
    }
    program->users--;
    status = program_release(program, NULL, error);
    if (!is_change_made(status)) {
        program->users++;
        program_settle_all();
        return NET_PROGRAM_PATCH;
    }
    program->is_entered = false;
    program_settle_all();
    return status == PATCH_OK ? NET_PROGRAM_OK : NET_PROGRAM_PATCH;
}

enum net_program_status net_program_leave(struct net_program *program, struct patch_error *error)
{
    enum net_program_status status;

    program_lock();
    status = leave_locked(program, error);
    program_unlock();
    return status;
}

void net_program_initialize(struct net_program *program, const char *name,
                            dispatched_function *function, const void *instructions)
{
    *program = (struct net_program){
        .xdp = {.name = name, .function = function, .instructions = instructions},
        .summary = "made by a test or a bench",
    };
}
