// SPDX-License-Identifier: MIT
/* Polled output to the 16550. Invariant: where interrupts are off (panic, NMI, traps), a
 * transmitter that does not move costs one long wait, then one look a character until it moves
 * again. Where they are on, output waits for its reader as long as the UART answers; a UART that is
 * missing, that goes away or that never sent anything does not hang its callers. What is dropped
 * all the same is counted. */
#include "drivers/uart_raw.h"

#include <stdbool.h>

#include "arch/instructions.h"

/* Five to ten seconds of TSC: the reader of an emulated UART may pause. */
#define WAIT_TICKS    20000000000ull
#define ANSWER_TICKS  1000000000ull /* between two looks whether the UART is still there */
#define SCRATCH_VALUE 0x5a

/* written once at boot: */
static unsigned burst = 1;
static bool detected;
/* Races between CPUs only cost or save a wait: */
static bool has_moved; /* the transmitter has been ready at least once */
static bool stalled;
/* Counted with atomic adds, relaxed: no other data hangs on it. */
static uint64_t dropped;

static bool answers(void)
{
    out8(UART_PORT + UART_SCRATCH, SCRATCH_VALUE);
    return in8(UART_PORT + UART_SCRATCH) == SCRATCH_VALUE;
}

/* Whether a wait of @ticks is too long for the caller. *@asked is when the UART last answered. */
static bool gives_up(uint64_t ticks, uint64_t *asked)
{
    if (!detected || !has_moved || !raw_interrupts_enabled()) {
        return stalled || ticks >= WAIT_TICKS;
    }
    if (ticks - *asked < ANSWER_TICKS) {
        return false;
    }
    *asked = ticks;
    return !answers();
}

static bool wait_for(uint8_t status)
{
    uint64_t start = read_tsc();
    uint64_t asked = 0;

    do {
        if ((in8(UART_PORT + UART_LINE_STATUS) & status) != 0) {
            stalled = false;
            has_moved = true;
            return true;
        }
        cpu_relax();
    } while (!gives_up(read_tsc() - start, &asked));
    stalled = true;
    return false;
}

/* @room: how many characters the transmitter still takes without being asked. */
static void put_byte(char byte, unsigned *room)
{
    if (*room == 0 && wait_for(UART_STATUS_TRANSMIT_READY)) {
        *room = burst;
    }
    if (*room > 0) {
        out8(UART_PORT + UART_DATA, (uint8_t)byte);
        (*room)--;
    } else {
        __atomic_fetch_add(&dropped, 1, __ATOMIC_RELAXED);
    }
}

void uart_raw_write(const char *text, size_t length)
{
    unsigned room = 0;

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n') {
            put_byte('\r', &room);
        }
        put_byte(text[i], &room);
    }
}

void uart_raw_drain(void)
{
    wait_for(UART_STATUS_TRANSMIT_IDLE);
}

uint64_t uart_raw_dropped(void)
{
    return __atomic_load_n(&dropped, __ATOMIC_RELAXED);
}

bool uart_raw_is_ready(void)
{
    return (in8(UART_PORT + UART_LINE_STATUS) & UART_STATUS_TRANSMIT_READY) != 0;
}

void uart_raw_set_detected(void)
{
    detected = true;
}

void uart_raw_set_burst(unsigned characters)
{
    burst = characters;
}
