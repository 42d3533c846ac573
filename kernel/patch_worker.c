// SPDX-License-Identifier: MIT
/* The worker of lazy calls, and the way to it from any context. Invariant: a request made while the
 * worker runs is followed by a pass that begins after it.
 *
 *   stub, run-queue lock held, say           this CPU, interrupts on      worker
 *   is_wanted = true
 *   interrupt to itself: pending
 *   unlocks, interrupts on  ------------->   wakes the worker  ------->   is_wanted = false
 *                                                                         a pass
 *
 * The interrupt is the sender's own: waking takes the lock of a run queue, which the caller of the
 * stub may hold. It is none of the counted IPIs between CPUs (arch/ipi.h). */
#include "kernel/patch_worker.h"

#include "arch/apic.h"
#include "arch/percpu.h"
#include "arch/traps.h"
#include "kernel/log.h"
#include "kernel/mutex.h"
#include "kernel/patch_error_text.h"
#include "kernel/thread.h"
#include "kernel/wait_queue.h"
#include "patching/lazy_call.h"
#include "patching/platform.h"

#define RETRY_NS 100000000ull /* behind a batch that failed */

static struct wait_queue worker_queue = WAIT_QUEUE("patch worker");
static struct mutex pass_mutex = MUTEX("patch worker's pass");
static bool is_running; /* atomic: set once */
static bool is_wanted;  /* atomic */

bool platform_request_work(void)
{
    /* Sequentially consistent: pairs with worker_run(). The caller's report is in its slot: either
     * the worker's first look sees it, or this sees the worker running. */
    if (!__atomic_load_n(&is_running, __ATOMIC_SEQ_CST) || !cpu_is_online(this_cpu())) {
        return false;
    }
    __atomic_store_n(&is_wanted, true, __ATOMIC_SEQ_CST);
    apic_interrupt_self(VECTOR_PATCH_WORK);
    return true;
}

static void work_interrupt(struct trap_frame *frame)
{
    (void)frame;
    wait_queue_wake_one(&worker_queue);
}

static bool work_is_wanted(void *argument)
{
    (void)argument;
    return __atomic_load_n(&is_wanted, __ATOMIC_SEQ_CST);
}

/* Returns true if another pass is worth while, later. */
static bool pass_make(void)
{
    struct lazy_pass pass;
    struct patch_error error = {0};
    enum patch_status status;

    mutex_lock(&pass_mutex);
    status = lazy_calls_patch_reported(&pass, &error);
    mutex_unlock(&pass_mutex);
    if (status != PATCH_OK) {
        char text[PATCH_ERROR_TEXT_MAX];

        log_warning("lazy calls: %s; %u sites are pending", patch_error_text(&error, text),
                    pass.pending);
    }
    return pass.pending != 0;
}

static void worker_run(void *argument)
{
    (void)argument;
    __atomic_store_n(&is_running, true, __ATOMIC_SEQ_CST);
    for (;;) {
        while (pass_make()) {
            thread_sleep_ns(RETRY_NS);
        }
        wait_queue_wait_until(&worker_queue, work_is_wanted, NULL);
        __atomic_store_n(&is_wanted, false, __ATOMIC_SEQ_CST); /* before the pass looks */
    }
}

void patch_worker_start(void)
{
    trap_register_handler(VECTOR_PATCH_WORK, work_interrupt);
    if (thread_create("patch worker", THREAD_ANY_CPU, worker_run, NULL) == NULL) {
        log_warning("no memory for the patch worker: lazy calls stay indirect");
    }
}

void patch_worker_hold(void)
{
    mutex_lock(&pass_mutex);
}

void patch_worker_release(void)
{
    mutex_unlock(&pass_mutex);
}
