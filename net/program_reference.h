// SPDX-License-Identifier: MIT
/* What program.c and program_generate.c share: the lock, and the references that programs have to
 * entries of the dispatcher. Invariant: outside of the lock each program has as many references as
 * users, or none because the dispatcher is full, or is listed for the next try. Others use
 * program.h. */
#pragma once

#include "net/program.h"

void program_lock(void);
void program_unlock(void);

/* Gives a program the references that its users need, or takes away those that nobody needs any
 * more. @has_left (may be NULL) is set if an entry is gone, and with it a grace period over.
 * Context: program lock held. Returns PATCH_OK, PATCH_ERR_NO_SLOT (it stays outside), or what the
 * dispatcher returns. */
enum patch_status program_settle(struct net_program *program, bool *has_left,
                                 struct patch_error *error);

/* The same for a program that has lost users: that it stays outside is no failure. */
static inline enum patch_status program_release(struct net_program *program, bool *has_left,
                                                struct patch_error *error)
{
    enum patch_status status = program_settle(program, has_left, error);

    return status == PATCH_ERR_NO_SLOT ? PATCH_OK : status;
}

/* Tries that with all programs that have other references than they need: those that were outside
 * come in if there is room now. Says in the log what fails. Context: program lock held. */
void program_settle_all(void);

/* Waits until no thread is in a program that it found at a queue before. Context: program lock
 * held. Returns PATCH_ERR_STILL_INSIDE if one did not come out. */
enum patch_status program_wait_outside(struct patch_error *error);

/* Whether it has users and no entry. */
static inline bool program_is_outside(const struct net_program *program)
{
    return program->dispatched < program->users;
}

/* The generated program at a place of the listing; NULL: no more. Context: program lock held. */
struct net_program *program_generated_at(unsigned index);
/* The same for built-in ones. Context: any. */
struct net_program *program_builtin_at(unsigned index);
