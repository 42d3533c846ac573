// SPDX-License-Identifier: MIT
/* Calls of packet programs through a dispatcher, as seed 3 wraps them.
 *
 *     DEFINE_XDP_CALL(receive);                             at file scope, in a .c file
 *     DECLARE_XDP_CALL(receive);                            in a header, if others call it
 *
 *     status = xdp_call_update(receive, NULL, program, &error);      (thread) program may come
 *     action = xdp_call(receive, program, packet);                   (anywhere) runs it
 *     status = xdp_call_update(receive, program, other, &error);     other instead of program
 *     xdp_call_stats(receive, &view);
 *
 * Invariant: xdp_call() runs the program it is given, always; whether it is in the dispatcher
 * decides how fast. After an update that takes a program out, nobody runs it, provided that nobody
 * passes it to xdp_call() any more. All users of one name share its entries; dispatcher.h has the
 * picture and the traps. */
#pragma once

#include "patching/dispatcher.h"

struct xdp_program {
    const char *name;
    dispatched_function *function;
    const void *instructions; /* handed to it: its own data */
};

#define DECLARE_XDP_CALL(call_name)                                                                \
    DECLARE_STATIC_CALL(call_name, __x86_indirect_thunk_rdx);                                      \
    extern struct dispatcher dispatcher_##call_name

/* Two static calls: NAME, the entry, and NAME_sampled, where a trial's sampler goes on. Both go to
 * the fallback at first. The images are int3 until they are generated. `.is_by_hand = true` may
 * follow: benches and tests do not want automatic choice. */
#define DEFINE_XDP_CALL(call_name, ...)                                                            \
    DECLARE_XDP_CALL(call_name);                                                                   \
    DEFINE_STATIC_CALL(call_name, __x86_indirect_thunk_rdx);                                       \
    DEFINE_STATIC_CALL_FORM(call_name##_sampled, __x86_indirect_thunk_rdx, STATIC_CALL_INLINE);    \
    __asm__(".pushsection .text.generated, \"ax\", @progbits\n\t"                                  \
            ".balign 4096, 0xcc\n\t"                                                               \
            "dispatcher_image_" #call_name ":\n\t"                                                 \
            ".fill 2 * 4096, 1, 0xcc\n\t"                                                          \
            ".size dispatcher_image_" #call_name ", . - dispatcher_image_" #call_name "\n\t"       \
            ".popsection");                                                                        \
    extern uint8_t dispatcher_image_##call_name[2 * DISPATCHER_HALF_BYTES];                        \
    static struct trial dispatcher_trial_##call_name = {.cpu = TRIAL_NO_CPU};                      \
    static unsigned dispatcher_sampler_##call_name(const void *context, const void *instructions,  \
                                                   dispatched_function *function)                  \
    {                                                                                              \
        trial_record(&dispatcher_trial_##call_name, (uint64_t)function);                           \
        return static_call(call_name##_sampled)(context, instructions, function);                  \
    }                                                                                              \
    struct dispatcher dispatcher_##call_name = {                                                   \
        .name = #call_name,                                                                        \
        .entry = &static_call_data_##call_name,                                                    \
        .sampled = &static_call_data_##call_name##_sampled,                                        \
        .sampler = dispatcher_sampler_##call_name,                                                 \
        .image = dispatcher_image_##call_name,                                                     \
        .trial = &dispatcher_trial_##call_name,                                                    \
        ##__VA_ARGS__,                                                                             \
    };                                                                                             \
    static struct dispatcher *const dispatcher_pointer_##call_name                                 \
        __attribute__((used, section("dispatchers"))) = &dispatcher_##call_name
_Static_assert(DISPATCHER_HALF_BYTES == 4096, "the assembler text above says so");

/* Runs @program on @context. Context: that of the program. Returns what it returns. */
#define xdp_call(call_name, program, context)                                                      \
    __extension__({                                                                                \
        const struct xdp_program *xdp_called = (program);                                          \
        static_call(call_name)((context), xdp_called->instructions, xdp_called->function);         \
    })

/* dispatcher_update() with programs, either may be NULL. */
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

/* From a caller that waits for what it calls with, between two waits: see trial_break(). */
#define xdp_call_break(call_name) trial_break(dispatcher_##call_name.trial)

/* Fills in @view, a struct dispatcher_view. */
#define xdp_call_stats(call_name, view) dispatcher_look(&dispatcher_##call_name, (view))
