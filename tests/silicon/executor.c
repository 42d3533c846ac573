// SPDX-License-Identifier: MIT
/* See executor.h. Whatever goes wrong inside generated code is left as its functions are: by a
 * return to the caller, with LIVE_MIXED. None of the instructions that a mixture can be moves the
 * stack pointer (live_form_detecting). */
#include "tests/silicon/executor.h"

#include "patching/platform.h"
#include "tests/host/live.h"
#include "tests/host/live_stop.h"
#include "tests/silicon/machine.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EXECUTOR_CPU = 1 };

static pthread_t thread;
static int thread_number;      /* atomic */
static unsigned stop_is_asked; /* atomic */
static uint64_t pulse;         /* atomic */
static const struct live_site *run_sites;
static size_t run_count;
static struct executor_counts counts; /* atomic; written by the executor alone */

/* Relaxed: the pulse orders them. */
static void count(uint64_t *counter, uint64_t amount)
{
    __atomic_store_n(counter, *counter + amount, __ATOMIC_RELAXED);
}

static bool leave_generated_code(ucontext_t *context)
{
    greg_t *machine = context->uc_mcontext.gregs;

    if (!live_sites_contain((uint64_t)machine[REG_RIP])) {
        return false;
    }
    count(&counts.faults, 1);
    machine[REG_RIP] = *(greg_t *)machine[REG_RSP];
    machine[REG_RSP] += (greg_t)sizeof(uint64_t);
    machine[REG_RAX] = LIVE_MIXED;
    return true;
}

static void handle_fault(int number, siginfo_t *information, void *context)
{
    (void)information;
    if (!leave_generated_code(context)) {
        platform_fatal("a signal outside generated code", NULL, 0, (uint64_t)number);
    }
}

int executor_initialize(void)
{
    live_set_stranger(leave_generated_code);
    return live_signal_install(SIGILL, handle_fault) == 0 &&
                   live_signal_install(SIGSEGV, handle_fault) == 0 &&
                   live_signal_install(SIGBUS, handle_fault) == 0
               ? 0
               : -1;
}

static void run_through_sites(void)
{
    uint64_t bad = 0;

    for (size_t i = 0; i < run_count; i++) {
        uint32_t result = run_sites[i].run();

        bad += result != run_sites[i].results[0] && result != run_sites[i].results[1];
    }
    count(&counts.executions, run_count);
    count(&counts.bad, bad);
}

static void *execute(void *argument)
{
    (void)argument;
    machine_pin_executor();
    live_enter_cpu(EXECUTOR_CPU);
    __atomic_store_n(&thread_number, (int)syscall(SYS_gettid), __ATOMIC_RELEASE);
    while (!__atomic_load_n(&stop_is_asked, __ATOMIC_RELAXED)) {
        run_through_sites();
        /* Release: who sees the pulse sees that the sites were run through. */
        __atomic_store_n(&pulse, pulse + 1, __ATOMIC_RELEASE);
    }
    live_leave_cpu();
    return NULL;
}

void executor_begin(const struct live_site *sites, size_t count)
{
    run_sites = sites;
    run_count = count;
    counts = (struct executor_counts){0};

    pulse = 0;
    stop_is_asked = 0;
    if (pthread_create(&thread, NULL, execute, NULL) != 0) {
        platform_fatal("no thread could be started", NULL, 0, 0);
    }
    while (executor_pulse() == 0) {
        sched_yield();
    }
}

struct executor_counts executor_counts_await(void)
{
    uint64_t before = executor_pulse();

    /* Twice: the one that was under way is over, and one more whole. */
    while (executor_pulse() < before + 2) {
        platform_relax();
    }
    return (struct executor_counts){
        .executions = __atomic_load_n(&counts.executions, __ATOMIC_RELAXED),
        .bad = __atomic_load_n(&counts.bad, __ATOMIC_RELAXED),
        .faults = __atomic_load_n(&counts.faults, __ATOMIC_RELAXED),
    };
}

void executor_end(void)
{
    __atomic_store_n(&stop_is_asked, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    thread_number = 0;
}

uint64_t executor_pulse(void)
{
    return __atomic_load_n(&pulse, __ATOMIC_ACQUIRE);
}

int executor_thread(void)
{
    return __atomic_load_n(&thread_number, __ATOMIC_ACQUIRE);
}
