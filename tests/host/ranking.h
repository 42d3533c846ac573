// SPDX-License-Identifier: MIT
/* Rankings of a dispatcher's targets, at random. Used by: test_dispatcher_image*.c. */
#pragma once

#include "tests/host/host_test.h"

/* The numbers 0 to @count - 1 in an order that @random tells. */
static inline void ranking_draw(uint8_t *hottest, unsigned count, uint64_t *random)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned other = (unsigned)(next_random(random) % (i + 1));

        hottest[i] = hottest[other];
        hottest[other] = (uint8_t)i;
    }
}
