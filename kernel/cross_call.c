// SPDX-License-Identifier: MIT
/* One request at a time, one acknowledgement word a CPU. Invariant: the request is not changed
 * until every CPU it names has acknowledged it, so a late CPU can never run the next one's function
 * with this one's argument.
 *
 *   caller (mutex held)                     CPU n
 *   request = {function, argument}
 *   round[n] = ++generation   (release)
 *   IPI                                     generation = round[n] (acquire): request visible
 *                                           function(argument)
 *   waits for done[n] == generation <------ done[n] = generation  (release): results visible */
#include "kernel/cross_call.h"

#include "arch/interrupts.h"
#include "arch/ipi.h"
#include "arch/traps.h"
#include "kernel/main.h"
#include "kernel/mutex.h"
#include "kernel/thread.h"

static struct mutex call_mutex = MUTEX("cross call");
/* under call_mutex: */
static void (*call_function)(void *argument);
static void *call_argument;
static uint64_t call_generation;

/* One cache line a CPU: `asked` is written by the caller, `done` by the CPU. */
static struct call_slot {
    _Alignas(64) uint64_t asked;
    uint64_t done;
} call_slots[CPU_MAX];

static void call_interrupt(struct trap_frame *frame)
{
    (void)frame;
    struct call_slot *slot = &call_slots[cpu_index()];
    uint64_t generation = __atomic_load_n(&slot->asked, __ATOMIC_ACQUIRE);
    if (generation != slot->done) {
        call_function(call_argument);
        __atomic_store_n(&slot->done, generation, __ATOMIC_RELEASE);
    }
}

static bool call_is_done(unsigned cpu, void *argument)
{
    (void)argument;
    struct call_slot *slot = &call_slots[cpu];
    return __atomic_load_n(&slot->done, __ATOMIC_ACQUIRE) == slot->asked;
}

static void call_ask_locked(uint32_t cpu)
{
    __atomic_store_n(&call_slots[cpu].asked, call_generation, __ATOMIC_RELEASE);
}

static void call_run_here(void (*function)(void *argument), void *argument)
{
    uint64_t flags = interrupts_save(); /* as in interrupt context: no preemption, no nesting */
    function(argument);
    interrupts_restore(flags);
}

void on_each_cpu(void (*function)(void *argument), void *argument)
{
    mutex_lock(&call_mutex);
    uint32_t self = cpu_index();
    call_function = function;
    call_argument = argument;
    call_generation++;
    for (uint32_t cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (cpu != self && cpu_index_is_online(cpu)) {
            call_ask_locked(cpu);
        }
    }
    ipi_broadcast(VECTOR_CALL);
    call_run_here(function, argument);
    ipi_wait_acknowledged("a cross call", call_is_done, NULL);
    mutex_unlock(&call_mutex);
}

bool on_cpu(uint32_t cpu, void (*function)(void *argument), void *argument)
{
    if (!cpu_index_is_online(cpu)) {
        return false;
    }
    mutex_lock(&call_mutex);
    if (cpu == cpu_index()) {
        call_run_here(function, argument);
    } else {
        call_function = function;
        call_argument = argument;
        call_generation++;
        call_ask_locked(cpu);
        ipi_send(cpu, VECTOR_CALL);
        ipi_wait_acknowledged("a cross call", call_is_done, NULL);
    }
    mutex_unlock(&call_mutex);
    return true;
}

static void nothing(void *argument)
{
    (void)argument;
}

/* Handlers run with interrupts off, so a CPU that answers has left those it was in. */
void interrupt_handlers_wait(void)
{
    on_each_cpu(nothing, NULL);
}

void cross_call_initialize(void)
{
    trap_register_handler(VECTOR_CALL, call_interrupt);
}

static void flush_here(void *argument)
{
    (void)argument;
    pv_tlb_flush_local();
}

void native_tlb_flush_all(void)
{
    on_each_cpu(flush_here, NULL);
}
