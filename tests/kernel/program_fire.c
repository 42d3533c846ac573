// SPDX-License-Identifier: MIT
/* See program_fire.h. */
#include "tests/kernel/program_fire.h"

#include "tests/kernel/net_frames.h"

#define INJECTORS_MAX 8u /* dozens would be in each other's way for seconds on a few real CPUs */

unsigned program_says_drop(const void *context, const void *instructions)
{
    (void)context;
    (void)instructions;
    return NET_ACTION_DROP;
}

unsigned program_says_pass(const void *context, const void *instructions)
{
    (void)context;
    (void)instructions;
    return NET_ACTION_PASS;
}

void program_attach(struct test *test, struct fake_nic *nic, uint32_t queue,
                    struct net_program *program)
{
    EXPECT_EQUAL(test, net_program_attach(&nic->device, queue, program, NULL), NET_PROGRAM_OK);
}

/* On every CPU; but the rings are behind spinlocks, taken with interrupts off. */
static void inject(void *argument)
{
    struct program_fire *fire = argument;
    uint8_t frame[FRAME_BYTES_MIN];

    if (cpu_index() >= INJECTORS_MAX) {
        return;
    }
    while (!workers_should_stop(&fire->workers)) {
        uint32_t word = __atomic_fetch_add(&fire->word, 1, __ATOMIC_RELAXED);

        frame_make(frame, word);
        if (!fake_nic_inject_patiently(fire->nic, word % fire->nic->options.queues, frame,
                                       sizeof(frame))) {
            __atomic_fetch_add(&fire->gave_up, 1, __ATOMIC_RELAXED);
            return;
        }
    }
}

bool program_fire_begin(struct test *test, struct program_fire *fire, struct fake_nic *nic)
{
    *fire = (struct program_fire){.nic = nic};
    return EXPECT(test, workers_start(&fire->workers, true, inject, fire));
}

static uint64_t verdict_count(const struct fake_nic *nic)
{
    uint64_t sum = 0;

    for (uint32_t queue = 0; queue < nic->options.queues; queue++) {
        for (enum net_action action = 0; action < NET_ACTION_COUNT; action++) {
            sum += net_program_count(&nic->device, queue, action);
        }
    }
    return sum;
}

void program_fire_end(struct test *test, struct program_fire *fire)
{
    workers_join(&fire->workers);
    EXPECT(test, fake_nic_settle(fire->nic));
    EXPECT_EQUAL(test, fire->gave_up, 0);
    EXPECT_EQUAL(test, fake_nic_received(fire->nic), fire->word);
    EXPECT_EQUAL(test, verdict_count(fire->nic), fire->word);
}
