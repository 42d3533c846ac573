// SPDX-License-Identifier: MIT
/* References of programs to entries of the dispatcher; see program_reference.h. Invariant: a
 * program is in the list while it has users or references. Called by: program.c,
 * program_generate.c. */
#include "net/program_reference.h"

#include "kernel/grace_period.h"
#include "kernel/log.h"
#include "kernel/mutex.h"

DEFINE_XDP_CALL(receive);

static struct mutex program_mutex = MUTEX("programs");
static struct net_program *linked; /* under the program lock */

void program_lock(void)
{
    mutex_lock(&program_mutex);
}

void program_unlock(void)
{
    mutex_unlock(&program_mutex);
}

static void program_link(struct net_program *program)
{
    if (!program->is_linked) {
        program->is_linked = true;
        program->next = linked;
        linked = program;
    }
}

/* Forgets a program that nobody uses and that has no reference left. */
static void program_unlink_idle(struct net_program *program)
{
    struct net_program **at = &linked;

    if (program->users != 0 || program->dispatched != 0) {
        return;
    }
    while (*at != program) {
        at = &(*at)->next;
    }
    *at = program->next;
    program->is_linked = false;
}

/* Whether the dispatcher knows its function, whoever has the reference. */
static bool is_dispatched(const struct net_program *program)
{
    struct dispatcher_view view;

    xdp_call_stats(receive, &view);
    for (uint32_t i = 0; i < view.count; i++) {
        if (view.entries[i].target == (uint64_t)program->xdp.function) {
            return true;
        }
    }
    return false;
}

static enum patch_status references_add(struct net_program *program, struct patch_error *error)
{
    enum patch_status status = PATCH_OK;

    while (status == PATCH_OK && program->dispatched < program->users) {
        status = xdp_call_update(receive, NULL, &program->xdp, error);
        program->dispatched += status == PATCH_OK;
    }
    return status;
}

static enum patch_status references_remove(struct net_program *program, bool *has_left,
                                           struct patch_error *error)
{
    enum patch_status status = PATCH_OK;
    bool had_any = program->dispatched > program->users;

    while (status == PATCH_OK && program->dispatched > program->users) {
        status = xdp_call_update(receive, &program->xdp, NULL, error);
        program->dispatched -= status == PATCH_OK || status == PATCH_ERR_STILL_INSIDE;
    }
    if (status == PATCH_OK && had_any && has_left != NULL) {
        *has_left = !is_dispatched(program);
    }
    return status;
}

enum patch_status program_settle(struct net_program *program, bool *has_left,
                                 struct patch_error *error)
{
    enum patch_status status;

    program_link(program);
    if (program_is_outside(program)) {
        status = references_add(program, error);
    } else {
        status = references_remove(program, has_left, error);
    }
    program_unlink_idle(program);
    return status;
}

void program_settle_all(void)
{
    struct net_program *next;

    for (struct net_program *program = linked; program != NULL; program = next) {
        next = program->next;
        if (program->dispatched == program->users) {
            program_unlink_idle(program); /* one that was not attached after all */
            continue;
        }

        enum patch_status status = program_settle(program, NULL, NULL);

        if (status != PATCH_OK && status != PATCH_ERR_NO_SLOT) {
            log_error("program %s: %u users, %u references to the dispatcher: %s",
                      program->xdp.name, program->users, program->dispatched,
                      patch_status_text(status));
        } else if (status == PATCH_OK && program->users != 0) {
            log_info("program %s: has an entry in the dispatcher now", program->xdp.name);
        }
    }
}

enum patch_status program_wait_outside(struct patch_error *error)
{
    if (synchronize_tasks()) {
        return PATCH_OK;
    }
    if (error != NULL) {
        *error = (struct patch_error){.status = PATCH_ERR_STILL_INSIDE};
    }
    return PATCH_ERR_STILL_INSIDE;
}
