// SPDX-License-Identifier: MIT
/* Steps all dispatchers and all dynamic calls, one after the other, and sleeps until the first of
 * them has something to do. Invariant: it looks at each of them every LOOK_NS at the latest:
 * nothing wakes it when entries come or learning is switched on, which may be done anywhere. As it
 * never sleeps for long, it also tries again what a switch of paravirt ops left, and looks for
 * locks that CPUs halt for and nobody releases. Called by: main.c; see choice_worker.h. */
#include "kernel/choice_worker.h"

#include "arch/clock.h"
#include "kernel/command_line.h"
#include "kernel/dynamic_pass.h"
#include "kernel/format.h"
#include "kernel/lock_halt.h"
#include "kernel/log.h"
#include "kernel/mutex.h"
#include "kernel/paravirt_switch.h"
#include "kernel/patch_error_text.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "patching/dispatcher_auto.h"

#define LOOK_NS      250000000ull
#define LOCK_LOOK_NS 5000000000ull /* times LOCK_HALT_LOOKS: two minutes */
#define BREATH_NS    100000ull     /* between two steps, so that a loop of them stops nobody */
#define COSTS_MAX    128
#define LOGGED_COUNT 16 /* dispatchers; others go on without lines */

static struct mutex pass_mutex = MUTEX("choice worker's pass");

/* under pass_mutex: what was logged */
static struct {
    uint64_t decisions, refusals;
} logged[LOGGED_COUNT];

/* A cost in ns, with a tenth where that tells something. */
static size_t cost_format(char *text, size_t size, const char *shape, uint64_t cost)
{
    unsigned tenths = (unsigned)(clock_ticks_to_ns(cost * 10) / TRIAL_COST_UNIT);

    return tenths < 1000 ? format_text(text, size, " %s %u.%u", shape, tenths / 10, tenths % 10)
                         : format_text(text, size, " %s %u", shape, tenths / 10);
}

static void decision_log(const char *name, const struct dispatcher_decision *decision)
{
    char costs[COSTS_MAX] = "";
    size_t length = 0;

    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        if (decision->costs[shape] != 0 && length < sizeof(costs)) {
            length += cost_format(costs + length, sizeof(costs) - length,
                                  dispatcher_shape_name(shape), decision->costs[shape]);
        }
    }
    log_debug("dispatch %s: %s -> %s (%s), %u entries, CPU %u, %u patches:%s ns", name,
              dispatcher_shape_name(decision->before), dispatcher_shape_name(decision->after),
              dispatcher_reason_name(decision->reason), decision->entries, decision->cpu,
              decision->patches, costs);
}

static void news_log(struct dispatcher *dispatcher, unsigned index)
{
    static struct dispatcher_decision decision; /* under pass_mutex */
    struct dispatcher_auto_view view;

    dispatcher_auto_look(dispatcher, &view);
    while (logged[index].decisions < view.decided) {
        if (dispatcher_auto_decision(dispatcher, ++logged[index].decisions, &decision)) {
            decision_log(dispatcher->name, &decision);
        }
    }
    if (logged[index].refusals < view.refused) {
        logged[index].refusals = view.refused;
        log_warning("dispatch %s: choosing a shape: %s; patch %llu that failed", dispatcher->name,
                    patch_status_text(view.refused_with), (unsigned long long)view.refused);
    }
}

/* Returns when something is to be done. */
static uint64_t pass_make(void)
{
    uint64_t next_ns = clock_now_ns() + LOOK_NS;
    struct dispatcher *dispatcher;

    mutex_lock(&pass_mutex);
    for (unsigned i = 0; (dispatcher = dispatcher_at(i)) != NULL; i++) {
        uint64_t due_ns = dispatcher_auto_step(dispatcher, clock_now_ns());

        next_ns = due_ns < next_ns ? due_ns : next_ns;
        if (i < LOGGED_COUNT) {
            news_log(dispatcher, i);
        }
    }
    next_ns = dynamic_pass_make(next_ns);
    paravirt_leftovers_step();
    mutex_unlock(&pass_mutex);
    return next_ns;
}

/* A CPU that halts for a lock cannot say itself that the lock is never released. */
static void locks_look(uint64_t now_ns)
{
    static struct lock_halt_watch watch;
    static uint64_t last_ns;

    if (now_ns - last_ns >= LOCK_LOOK_NS) {
        const struct spinlock *stuck = lock_halt_look(&watch);

        last_ns = now_ns;
        if (stuck != NULL) {
            spinlock_report_stuck(stuck);
        }
    }
}

static void worker_run(void *argument)
{
    (void)argument;
    for (;;) {
        uint64_t next_ns = pass_make();
        uint64_t soonest_ns = clock_now_ns() + BREATH_NS;

        locks_look(clock_now_ns());
        thread_sleep_until_ns(next_ns > soonest_ns ? next_ns : soonest_ns);
    }
}

/* Shape DISPATCHER_SHAPE_COUNT: automatic choice. */
static void dispatchers_set(enum dispatcher_shape shape)
{
    struct dispatcher *dispatcher;
    struct patch_error error = {0};
    char text[PATCH_ERROR_TEXT_MAX];

    for (unsigned i = 0; (dispatcher = dispatcher_at(i)) != NULL; i++) {
        const struct dispatcher_form form = {.shape = shape, .generation = UINT64_MAX};
        enum patch_status status = PATCH_OK;

        if (!dispatcher->is_by_hand) {
            status = shape == DISPATCHER_SHAPE_COUNT
                         ? dispatcher_auto_set(dispatcher, true, &error)
                         : dispatcher_set_form(dispatcher, &form, &error);
        }
        if (status != PATCH_OK) {
            log_warning("dispatch %s: %s", dispatcher->name, patch_error_text(&error, text));
        }
    }
}

static void dispatch_start(void)
{
    const char *choices[DISPATCHER_SHAPE_COUNT + 2] = {NULL};
    uint64_t choice = DISPATCHER_SHAPE_COUNT;

    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        choices[shape] = dispatcher_shape_name(shape);
    }
    choices[DISPATCHER_SHAPE_COUNT] = "auto";
    command_line_get_choice("dispatch", choices, &choice);
    dispatchers_set((enum dispatcher_shape)choice);
}

void choice_worker_start(void)
{
    dispatch_start();
    dynamic_pass_start();
    if (thread_create("choice worker", THREAD_ANY_CPU, worker_run, NULL) == NULL) {
        log_warning("no memory for the choice worker: dispatchers and dynamic calls stay what they "
                    "are");
    }
}

void choice_worker_hold(void)
{
    mutex_lock(&pass_mutex);
}

void choice_worker_release(void)
{
    mutex_unlock(&pass_mutex);
}
