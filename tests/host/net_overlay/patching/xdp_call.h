// SPDX-License-Identifier: MIT
/* In the place of patching/xdp_call.h when net/ is built as a Linux program: a call through a
 * dispatcher is a call of the program. Invariant: the dispatcher of net_fake_dispatcher.c keeps
 * its entries as the real one does, so that program.c can be held to what it tells it. */
#pragma once

#include "patching/dispatcher.h"

struct xdp_program {
    const char *name;
    dispatched_function *function;
    const void *instructions;
};

#define DECLARE_XDP_CALL(call_name) extern struct dispatcher dispatcher_##call_name
#define DEFINE_XDP_CALL(call_name)  struct dispatcher dispatcher_##call_name = {.name = #call_name}

#define xdp_call(call_name, program, context)                                                      \
    ((program)->function((context), (program)->instructions))

#define xdp_call_update(call_name, from, to, error)                                                \
    xdp_call_change(&dispatcher_##call_name, (from), (to), (error))

PATCH_MUST_CHECK static inline enum patch_status xdp_call_change(struct dispatcher *dispatcher,
                                                                 const struct xdp_program *from,
                                                                 const struct xdp_program *to,
                                                                 struct patch_error *error)
{
    return dispatcher_update(dispatcher, from != NULL ? from->function : NULL,
                             to != NULL ? to->function : NULL, error);
}

#define xdp_call_stats(call_name, view) dispatcher_look(&dispatcher_##call_name, (view))
