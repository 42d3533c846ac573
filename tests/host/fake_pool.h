// SPDX-License-Identifier: MIT
/* Packets for host tests of drivers, in place of net/packet_pool.c. Invariant: each buffer is an
 * allocation of its own, so the address sanitizer notices a byte beside one; a packet that is freed
 * twice, or not freed at the end, fails the test. A "physical" address is a pointer. */
#pragma once

#include "net/packet.h"

#include <stdint.h>

struct packet_pool *fake_pool_make(uint32_t total);

/* Frees the pool; fails the test unless each packet is back. */
void fake_pool_end(struct packet_pool *pool);
