// SPDX-License-Identifier: MIT
/* Vectors of devices; see interrupt_vectors.h. All CPUs share one table: a vector means the same on
 * each of them. */
#include "arch/interrupt_vectors.h"

#include "arch/percpu.h"
#include "arch/traps.h"
#include "kernel/spinlock.h"

#define VECTORS (INTERRUPT_VECTOR_LAST - INTERRUPT_VECTOR_FIRST + 1)

#define MESSAGE_ADDRESS    0xfee00000ull
#define MESSAGE_ADDRESS_ID 12 /* shift of the destination's APIC ID */

struct vector_owner {
    void (*handler)(void *argument);
    void *argument;
};

static struct spinlock lock = SPINLOCK("interrupt vectors");
static unsigned used;                       /* under lock; vectors are not given back */
static struct vector_owner owners[VECTORS]; /* written before the vector can fire */

static void vector_interrupt(struct trap_frame *frame)
{
    const struct vector_owner *owner = &owners[frame->vector - INTERRUPT_VECTOR_FIRST];

    owner->handler(owner->argument);
}

unsigned interrupt_vector_allocate(void (*handler)(void *argument), void *argument)
{
    uint64_t flags = spinlock_lock_save(&lock);
    unsigned vector = used < VECTORS ? INTERRUPT_VECTOR_FIRST + used++ : 0;

    if (vector != 0) {
        owners[vector - INTERRUPT_VECTOR_FIRST] = (struct vector_owner){handler, argument};
        trap_register_handler(vector, vector_interrupt);
    }
    spinlock_unlock_restore(&lock, flags);
    return vector;
}

uint64_t interrupt_message_address(unsigned cpu)
{
    return MESSAGE_ADDRESS | (uint64_t)cpu_by_index(cpu)->apic_id << MESSAGE_ADDRESS_ID;
}

uint32_t interrupt_message_data(unsigned vector)
{
    return vector; /* fixed delivery, edge triggered */
}
