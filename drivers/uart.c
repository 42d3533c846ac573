// SPDX-License-Identifier: MIT
/* The 16550: set-up and input. Invariant: a character passes from the hardware into the ring under
 * `lock`, in the order of arrival, whether an interrupt or a poll fetched it. Called by
 * kernel/console.c. */
#include "drivers/uart.h"

#include <stddef.h>

#include "arch/apic.h"
#include "arch/instructions.h"
#include "arch/traps.h"
#include "drivers/uart_raw.h"
#include "kernel/spinlock.h"

#define UART_IRQ    4
#define UART_VECTOR (VECTOR_IRQ_BASE + UART_IRQ)

#define INPUT_RING_SIZE     1024u /* a power of two */
#define INTERRUPT_CHARACTER 0x03  /* Ctrl-C */

#define DIVISOR_LATCH         0x80 /* line control: data and interrupt enable become the divisor */
#define FORMAT_8N1            0x03 /* line control */
#define DIVISOR_115200        1
#define FIFO_ENABLE_AND_CLEAR 0x07 /* interrupt at one character: most room before overrun */
#define FIFO_WORKS            0xc0 /* interrupt identity */
#define FIFO_DEPTH            16
#define DTR_RTS_OUT2          0x0b /* modem control; OUT2 gates the interrupt line */
#define INTERRUPT_ON_RECEIVE  0x01

static struct spinlock lock = SPINLOCK("uart");
/* under lock: */
static char ring[INPUT_RING_SIZE];
static uint32_t ring_head, ring_tail; /* next to write, next to read: free-running */
static uint64_t lost;
/* written once at boot: */
static bool present;
static bool interrupt_driven;
static void (*input_arrived)(bool interrupt_character);

static uint8_t read_register(enum uart_register which)
{
    return in8((uint16_t)(UART_PORT + which));
}

static void write_register(enum uart_register which, uint8_t value)
{
    out8((uint16_t)(UART_PORT + which), value);
}

static bool scratch_holds(uint8_t value)
{
    write_register(UART_SCRATCH, value);
    return read_register(UART_SCRATCH) == value;
}

bool uart_initialize(void (*on_input)(bool interrupt_character))
{
    input_arrived = on_input;
    write_register(UART_INTERRUPT_ENABLE, 0);
    write_register(UART_LINE_CONTROL, DIVISOR_LATCH);
    write_register(UART_DATA, DIVISOR_115200);
    write_register(UART_INTERRUPT_ENABLE, 0); /* the divisor's high byte */
    write_register(UART_LINE_CONTROL, FORMAT_8N1);
    write_register(UART_FIFO_CONTROL, FIFO_ENABLE_AND_CLEAR);
    write_register(UART_MODEM_CONTROL, DTR_RTS_OUT2);
    present = scratch_holds(0x5a) && scratch_holds(0xa5);
    if (present) {
        uart_raw_set_detected();
    }
    if ((read_register(UART_INTERRUPT_IDENTITY) & FIFO_WORKS) == FIFO_WORKS) {
        uart_raw_set_burst(FIFO_DEPTH);
    }
    return present;
}

/* In a full ring Ctrl-C takes the place of the newest character: it must reach the reader. */
static void ring_put_locked(char character)
{
    if (ring_head - ring_tail == INPUT_RING_SIZE) {
        lost++;
        if (character != INTERRUPT_CHARACTER) {
            return;
        }
        ring_head--;
    }
    ring[ring_head++ % INPUT_RING_SIZE] = character;
}

/* Empties the hardware into the ring. At most one ring's worth: a broken UART may pretend to have
 * data for ever. */
static void fetch_input(void)
{
    bool arrived = false;
    bool interrupt_character = false;
    uint64_t flags = spinlock_lock_save(&lock);

    for (size_t i = 0; present && i < INPUT_RING_SIZE; i++) {
        if ((read_register(UART_LINE_STATUS) & UART_STATUS_DATA_READY) == 0) {
            break;
        }
        char character = (char)read_register(UART_DATA);

        arrived = true;
        interrupt_character = interrupt_character || character == INTERRUPT_CHARACTER;
        ring_put_locked(character);
    }
    spinlock_unlock_restore(&lock, flags);
    if (arrived) {
        input_arrived(interrupt_character);
    }
}

static void handle_interrupt(struct trap_frame *frame)
{
    (void)frame;
    fetch_input();
}

bool uart_start_interrupts(void)
{
    trap_register_handler(UART_VECTOR, handle_interrupt);
    interrupt_driven = present && ioapic_route(UART_IRQ, UART_VECTOR, 0);
    if (interrupt_driven) {
        write_register(UART_INTERRUPT_ENABLE, INTERRUPT_ON_RECEIVE);
        fetch_input(); /* what came before would raise no edge */
    }
    return interrupt_driven;
}

bool uart_has_input(void)
{
    if (!interrupt_driven) {
        fetch_input();
    }
    return __atomic_load_n(&ring_head, __ATOMIC_RELAXED) != ring_tail;
}

bool uart_read_character(char *character)
{
    if (!uart_has_input()) {
        return false;
    }
    uint64_t flags = spinlock_lock_save(&lock);

    *character = ring[ring_tail++ % INPUT_RING_SIZE];
    spinlock_unlock_restore(&lock, flags);
    return true;
}

uint64_t uart_lost_characters(void)
{
    return __atomic_load_n(&lost, __ATOMIC_RELAXED);
}
