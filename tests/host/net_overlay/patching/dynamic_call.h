// SPDX-License-Identifier: MIT
/* In the place of patching/dynamic_call.h when net/ is built as a Linux program: a dynamic call is
 * a call of the function, and is counted. Invariant: the function that is given is called, once;
 * the compiler checks its type. dynamic_calls_forget() is in net_fake_dispatcher.c. */
#pragma once

#include "patching/status.h"

#include <stddef.h>
#include <stdint.h>

struct dynamic_call {
    const char *name;
    uint64_t calls;
};

#define DECLARE_DYNAMIC_CALL(call_name, signature, slots_wanted)                                   \
    typedef __typeof__(signature) dynamic_type_##call_name;                                        \
    extern struct dynamic_call dynamic_call_##call_name

#define DEFINE_DYNAMIC_CALL(call_name, signature, slots_wanted)                                    \
    DECLARE_DYNAMIC_CALL(call_name, signature, slots_wanted);                                      \
    struct dynamic_call dynamic_call_##call_name = {.name = #call_name}

#define dynamic_call(call_name, function, ...)                                                     \
    __extension__({                                                                                \
        dynamic_type_##call_name *dynamic_called = (function);                                     \
        dynamic_call_##call_name.calls++;                                                          \
        dynamic_called(__VA_ARGS__);                                                               \
    })

enum { DYNAMIC_INSTANCES = 4, DYNAMIC_INSTANCE_NONE = DYNAMIC_INSTANCES };

/* dynamic_call_NAME[]: by instance, the last one of those that have none. */
#define DECLARE_DYNAMIC_CALL_INSTANCES(call_name, signature, slots_wanted)                         \
    typedef __typeof__(signature) dynamic_type_##call_name;                                        \
    extern uint32_t dynamic_instances_##call_name;                                                 \
    extern struct dynamic_call dynamic_call_##call_name[DYNAMIC_INSTANCES + 1]

#define DEFINE_DYNAMIC_CALL_INSTANCES(call_name, signature, slots_wanted)                          \
    DECLARE_DYNAMIC_CALL_INSTANCES(call_name, signature, slots_wanted);                            \
    uint32_t dynamic_instances_##call_name;                                                        \
    struct dynamic_call dynamic_call_##call_name[DYNAMIC_INSTANCES + 1]

#define dynamic_call_instance(call_name, instance, function, ...)                                  \
    __extension__({                                                                                \
        dynamic_type_##call_name *dynamic_called = (function);                                     \
        dynamic_call_##call_name[instance].calls++;                                                \
        dynamic_called(__VA_ARGS__);                                                               \
    })

#define dynamic_call_instance_take(call_name) dynamic_instance_take(&dynamic_instances_##call_name)
#define dynamic_call_instance_release(call_name, instance)                                         \
    dynamic_instance_release(&dynamic_instances_##call_name, (instance))

static inline unsigned dynamic_instance_take(uint32_t *taken)
{
    for (unsigned i = 0; i < DYNAMIC_INSTANCES; i++) {
        if ((*taken & 1u << i) == 0) {
            *taken |= 1u << i;
            return i;
        }
    }
    return DYNAMIC_INSTANCE_NONE;
}

static inline void dynamic_instance_release(uint32_t *taken, unsigned instance)
{
    if (instance < DYNAMIC_INSTANCES) {
        *taken &= ~(1u << instance);
    }
}

PATCH_MUST_CHECK enum patch_status dynamic_calls_forget(uint64_t target, struct patch_error *error);
