// SPDX-License-Identifier: MIT
/* Stopping and starting the device, its address; see e1000_card.h. Invariant: the device transfers
 * only while each descriptor that it owns points to a packet of ours: it is stopped before a packet
 * leaves a ring behind its back. Called by e1000_setup.c and net_device_reset(). */
#include "arch/clock.h"
#include "arch/paging.h"
#include "arch/patience.h"
#include "drivers/e1000_card.h"
#include "kernel/cross_call.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "kernel/thread.h"

#define RESET_PATIENCE_NS  100000000ull
#define EEPROM_PATIENCE_NS 10000000ull
/* "Software Reset", "EEPROM Auto-Read": the device then reads its EEPROM for up to 5 ms, and its
 * registers must be left alone. */
#define SETTLE_NS        5000000ull
#define EEPROM_MAC_WORDS 3

/* Waits until the bits @mask of a register read as @value. Returns false, having said so, if they
 * do not in time. */
static bool register_wait(const struct e1000_card *card, uint32_t offset, uint32_t mask,
                          uint32_t value, uint64_t patience_ns)
{
    struct patience patience = patience_begin(clock_now_ns(), patience_ns);

    while ((e1000_read(card, offset) & mask) != value) {
        if (patience_spent(&patience, clock_now_ns()) > patience_ns) {
            log_error("%s at %s: register %x is %x after %llu ms, bits %x were to be %x",
                      card->net.operations->driver, card->net.location, offset,
                      e1000_read(card, offset), (unsigned long long)(patience_ns / 1000000), mask,
                      value);
            return false;
        }
        cpu_relax();
    }
    return true;
}

/* Stops interrupts and transfers, and resets the device. QEMU 7.2 takes the reset bit and does
 * nothing, so whatever matters is also written by registers_program(). Returns false, having said
 * why, if the device does not come back. */
bool e1000_device_stop(struct e1000_card *card)
{
    uint32_t control = e1000_read(card, E1000_CTRL);

    e1000_write(card, E1000_IMC, E1000_CAUSES_ALL);
    e1000_write(card, E1000_RCTL, 0);
    e1000_write(card, E1000_TCTL, 0);
    if (card->model->has_master_disable) {
        e1000_write(card, E1000_CTRL, control | E1000_CTRL_MASTER_DISABLE);
        if (!register_wait(card, E1000_STATUS, E1000_STATUS_MASTER_ENABLE, 0, RESET_PATIENCE_NS)) {
            return false;
        }
    }
    e1000_read(card, E1000_STATUS); /* the writes have arrived */
    thread_sleep_ns(SETTLE_NS);     /* transfers have ended */
    e1000_write(card, E1000_CTRL, (control & ~E1000_CTRL_MASTER_DISABLE) | E1000_CTRL_RESET);
    thread_sleep_ns(SETTLE_NS);
    if (!register_wait(card, E1000_CTRL, E1000_CTRL_RESET, 0, RESET_PATIENCE_NS)) {
        return false;
    }
    e1000_write(card, E1000_IMC, E1000_CAUSES_ALL);
    e1000_read(card, E1000_ICR); /* clears it, as nothing is unmasked */
    return true;
}

/* Reads @words words from the start of the EEPROM. */
static bool eeprom_read(struct e1000_card *card, uint16_t *data, unsigned words)
{
    for (unsigned i = 0; i < words; i++) {
        e1000_write(card, E1000_EERD, i << card->model->eeprom_address_shift | E1000_EERD_START);
        if (!register_wait(card, E1000_EERD, card->model->eeprom_done, card->model->eeprom_done,
                           EEPROM_PATIENCE_NS)) {
            return false;
        }
        data[i] = (uint16_t)(e1000_read(card, E1000_EERD) >> E1000_EERD_DATA_SHIFT);
    }
    return true;
}

static bool mac_is_usable(const uint8_t mac[MAC_BYTES])
{
    static const uint8_t none[MAC_BYTES];

    return (mac[0] & 1) == 0 && memcmp(mac, none, MAC_BYTES) != 0;
}

bool e1000_mac_find(struct e1000_card *card)
{
    uint32_t low = e1000_read(card, E1000_RAL);
    uint32_t high = e1000_read(card, E1000_RAH);
    uint16_t words[EEPROM_MAC_WORDS] = {(uint16_t)low, (uint16_t)(low >> 16), (uint16_t)high};

    for (unsigned tries = 0; tries < 2; tries++) {
        for (unsigned i = 0; i < EEPROM_MAC_WORDS; i++) {
            card->net.mac[2 * i] = (uint8_t)words[i];
            card->net.mac[2 * i + 1] = (uint8_t)(words[i] >> 8);
        }
        if (mac_is_usable(card->net.mac) && (tries > 0 || (high & E1000_RAH_VALID) != 0)) {
            return true;
        }
        if (tries == 0 && !eeprom_read(card, words, EEPROM_MAC_WORDS)) {
            return false;
        }
    }
    log_error("%s at %s: neither the registers nor the EEPROM hold an ethernet address",
              card->net.operations->driver, card->net.location);
    return false;
}

static void filters_program(struct e1000_card *card)
{
    const uint8_t *mac = card->net.mac;

    e1000_write(card, E1000_RAL,
                mac[0] | (uint32_t)mac[1] << 8 | (uint32_t)mac[2] << 16 | (uint32_t)mac[3] << 24);
    e1000_write(card, E1000_RAH, mac[4] | (uint32_t)mac[5] << 8 | E1000_RAH_VALID);
    for (unsigned i = 0; i < E1000_MTA_WORDS; i++) {
        e1000_write(card, E1000_MTA(i), 0);
    }
}

static void rings_program(struct e1000_card *card, unsigned queue)
{
    uint64_t receive = virtual_to_physical(card->queues[queue].receive.descriptors);
    uint64_t transmit = virtual_to_physical(card->queues[queue].transmit.descriptors);

    e1000_write(card, E1000_RDBAL(queue), (uint32_t)receive);
    e1000_write(card, E1000_RDBAH(queue), (uint32_t)(receive >> 32));
    e1000_write(card, E1000_RDLEN(queue), E1000_RECEIVE_SLOTS * E1000_DESCRIPTOR_BYTES);
    e1000_write(card, E1000_RDH(queue), 0);
    e1000_write(card, E1000_RDT(queue), 0);
    e1000_write(card, E1000_TDBAL(queue), (uint32_t)transmit);
    e1000_write(card, E1000_TDBAH(queue), (uint32_t)(transmit >> 32));
    e1000_write(card, E1000_TDLEN(queue), E1000_TRANSMIT_SLOTS * E1000_DESCRIPTOR_BYTES);
    e1000_write(card, E1000_TDH(queue), 0);
    e1000_write(card, E1000_TDT(queue), 0);
}

/* Everything but what starts it. Link by auto-negotiation, no flow control, no VLANs; no delay but
 * that of E1000_RECEIVE_INTERVAL_NS. */
static void registers_program(struct e1000_card *card)
{
    uint32_t control = e1000_read(card, E1000_CTRL);

    control &= ~(E1000_CTRL_LINK_RESET | E1000_CTRL_INVERT_LOSS | E1000_CTRL_FORCE_SPEED |
                 E1000_CTRL_FORCE_DUPLEX | E1000_CTRL_RECEIVE_FLOW | E1000_CTRL_TRANSMIT_FLOW |
                 E1000_CTRL_VLAN_MODE | E1000_CTRL_PHY_RESET | E1000_CTRL_MASTER_DISABLE);
    e1000_write(card, E1000_CTRL, control | E1000_CTRL_SET_LINK_UP | E1000_CTRL_AUTO_SPEED);
    e1000_write(card, E1000_FCAL, 0);
    e1000_write(card, E1000_FCAH, 0);
    e1000_write(card, E1000_FCT, 0);
    e1000_write(card, E1000_FCTTV, 0);
    filters_program(card);
    for (unsigned i = 0; i < card->net.queue_count; i++) {
        rings_program(card, i);
    }
    e1000_write(card, E1000_RDTR, 0);
    e1000_write(card, E1000_RADV, 0);
    e1000_write(card, E1000_TIDV, 0);
    e1000_write(card, E1000_TADV, 0);
    e1000_write(card, E1000_ITR, E1000_RECEIVE_INTERVAL_NS / E1000_INTERVAL_NS);
    card->model->configure(card);
}

/* Long packets are off: at most E1000_FRAME_BYTES_MAX bytes are stored, which fit behind the
 * headroom although the device believes in buffers of 2048. RCTL is written last and once: QEMU's
 * e1000 takes no frame for one second after each write. */
static void transfers_start(struct e1000_card *card)
{
    for (unsigned i = 0; i < card->net.queue_count; i++) {
        e1000_write(card, E1000_RDT(i), card->queues[i].receive.tail);
    }
    e1000_write(card, E1000_TCTL,
                e1000_read(card, E1000_TCTL) | E1000_TCTL_ENABLE | E1000_TCTL_PAD_SHORT |
                    E1000_TCTL_COLLISION_TRIES | E1000_TCTL_COLLISION_SPAN);
    e1000_write(card, E1000_RCTL,
                E1000_RCTL_ENABLE | E1000_RCTL_ALL_BROADCASTS | E1000_RCTL_BUFFER_2048 |
                    E1000_RCTL_STRIP_CRC);
}

_Static_assert(PACKET_HEADROOM + E1000_FRAME_BYTES_MAX <= PACKET_BUFFER_BYTES,
               "what the device may store fits");

void e1000_rings_empty(struct e1000_card *card)
{
    for (unsigned i = 0; i < card->net.queue_count; i++) {
        e1000_receive_ring_empty(&card->queues[i].receive);
        e1000_transmit_ring_empty(&card->queues[i].transmit);
    }
}

bool e1000_device_start(struct e1000_card *card)
{
    for (unsigned i = 0; i < card->net.queue_count; i++) {
        if (!e1000_receive_ring_fill(&card->queues[i].receive)) {
            log_error("%s at %s: too few packets for its receive rings",
                      card->net.operations->driver, card->net.location);
            e1000_rings_empty(card);
            return false;
        }
    }
    registers_program(card);
    transfers_start(card);
    return true;
}

void e1000_link_watch(struct e1000_card *card)
{
    if (card->interrupt_kind != PCI_INTERRUPT_NONE) {
        e1000_write(card, E1000_IMS, card->link_causes);
    }
    e1000_link_update(card);
}

/* The registers must be left alone for 5 ms, but other devices may interrupt on a shared line. So
 * the card is silenced, then handlers are told to keep off, and those under way are waited for; in
 * this order, because a handler that keeps off does not take back an interrupt of this card. */
static void interrupts_keep_out(struct e1000_card *card)
{
    e1000_write(card, E1000_IMC, E1000_CAUSES_ALL);
    e1000_read(card, E1000_STATUS); /* it has arrived */
    __atomic_store_n(&card->is_resetting, true, __ATOMIC_SEQ_CST);
    interrupt_handlers_wait();
}

bool e1000_reset(struct net_device *device)
{
    struct e1000_card *card = e1000_card_of(device);

    interrupts_keep_out(card);
    /* A device that did not stop may still write where it was told to: its packets stay in the
     * rings, until a later reset stops it, rather than be overwritten under someone else. */
    if (!e1000_device_stop(card)) {
        return false;
    }
    e1000_rings_empty(card);
    if (!e1000_device_start(card)) {
        return false;
    }
    /* Release: pairs with e1000_is_touchable(): handlers meet registers that are programmed. */
    __atomic_store_n(&card->is_resetting, false, __ATOMIC_RELEASE);
    e1000_link_watch(card);
    return true;
}
