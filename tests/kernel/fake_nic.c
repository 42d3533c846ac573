// SPDX-License-Identifier: MIT
/* A network card in memory; see fake_nic.h. Invariant: a packet is in one ring at most, and what
 * the card "reads" and "writes" it does under its queue's lock. */
#include "tests/kernel/fake_nic.h"

#include "kernel/heap.h"
#include "kernel/string.h"
#include "net/arp.h"
#include "net/net_config.h"
#include "net/receive.h"

static struct fake_nic *nic_of(struct net_device *device)
{
    return device->driver_data;
}

/* Notes that a thread is in a function that the interface lets only one into at a time. */
static void guard_enter(struct fake_nic *nic, bool *guard)
{
    if (__atomic_exchange_n(guard, true, __ATOMIC_ACQUIRE)) {
        __atomic_fetch_add(&nic->violations, 1, __ATOMIC_RELAXED);
    }
}

/* Notes that somebody is in the driver while it is reset. */
static void guard_reset(struct fake_nic *nic)
{
    if (__atomic_load_n(&nic->is_resetting, __ATOMIC_SEQ_CST)) {
        __atomic_fetch_add(&nic->violations, 1, __ATOMIC_RELAXED);
    }
}

static void guard_leave(bool *guard)
{
    __atomic_store_n(guard, false, __ATOMIC_RELEASE); /* pairs with the exchange above */
}

/* ---- receiving ---- */

static void post_locked(struct fake_queue *queue, struct packet *packet)
{
    queue->receive[queue->posted++ % FAKE_RING] = packet;
}

/* The next full buffer; a fresh one takes its place. Returns false when there is none. *@packet is
 * NULL if the pool is empty: then the frame is dropped and its buffer used again. */
static bool take_frame(struct fake_nic *nic, struct fake_queue *queue, struct packet **packet)
{
    struct packet *fresh = packet_allocate(nic->device.pool);
    uint64_t flags = spinlock_lock_save(&queue->lock);
    bool is_any = queue->taken != queue->filled;

    *packet = NULL;
    if (is_any) {
        struct packet *full = queue->receive[queue->taken++ % FAKE_RING];

        post_locked(queue, fresh != NULL ? fresh : full);
        *packet = fresh != NULL ? full : NULL;
    }
    spinlock_unlock_restore(&queue->lock, flags);
    if (!is_any && fresh != NULL) {
        packet_free(fresh);
    }
    return is_any;
}

static unsigned fake_reclaim(struct net_device *device, unsigned index);

static unsigned fake_poll(struct net_device *device, unsigned index, unsigned budget)
{
    struct fake_nic *nic = nic_of(device);
    struct fake_queue *queue = &nic->queues[index];
    struct packet *packet;
    unsigned count = 0;

    guard_enter(nic, &queue->is_polled);
    while (count < budget && take_frame(nic, queue, &packet)) {
        count++;
        if (packet == NULL) {
            device->queues[index].counters.no_buffer++;
            continue;
        }
        packet->device = device;
        packet->queue = (uint16_t)index;
        net_receive(packet);
    }
    guard_leave(&queue->is_polled);

    uint64_t flags = spinlock_lock_save(&device->queues[index].transmit_lock);

    fake_reclaim(device, index);
    spinlock_unlock_restore(&device->queues[index].transmit_lock, flags);
    return count;
}

bool fake_queue_has_frame(struct fake_queue *queue)
{
    uint64_t flags = spinlock_lock_save(&queue->lock);
    bool is_any = queue->taken != queue->filled;

    spinlock_unlock_restore(&queue->lock, flags);
    return is_any;
}

static bool fake_interrupt_on(struct net_device *device, unsigned index)
{
    struct fake_nic *nic = nic_of(device);
    struct fake_queue *queue = &nic->queues[index];

    if (nic->options.before_interrupt_on != NULL) {
        nic->options.before_interrupt_on(nic, index);
    }
    /* Full order: pairs with fake_nic_inject(), which fills a buffer and then looks at this: one of
     * the two sees the other, or the frame lies there with nobody told. */
    __atomic_store_n(&queue->interrupt_is_on, true, __ATOMIC_SEQ_CST);

    bool is_any = fake_queue_has_frame(queue);

    if (!is_any && nic->options.behind_interrupt_on != NULL) {
        nic->options.behind_interrupt_on(nic, index);
    }
    return is_any;
}

/* Not during a reset, which takes the ring apart. Full order: this announces itself and looks for a
 * reset, fake_reset() does the opposite: one of the two sees the other. */
static void fake_interrupt_off(struct net_device *device, unsigned index)
{
    struct fake_nic *nic = nic_of(device);
    struct fake_queue *queue = &nic->queues[index];

    __atomic_fetch_add(&queue->being_silenced, 1, __ATOMIC_SEQ_CST);
    guard_reset(nic);
    if (nic->options.in_interrupt_off != NULL) {
        nic->options.in_interrupt_off(nic, index);
    }
    __atomic_store_n(&queue->interrupt_is_on, false, __ATOMIC_SEQ_CST);
    __atomic_fetch_sub(&queue->being_silenced, 1, __ATOMIC_SEQ_CST);
}

/* One at a time, as from one interrupt line, and not while it is off. */
static void interrupt_raise(struct fake_nic *nic, unsigned index)
{
    struct fake_queue *queue = &nic->queues[index];
    uint64_t flags = spinlock_lock_save(&queue->line);

    if (__atomic_load_n(&queue->interrupt_is_on, __ATOMIC_SEQ_CST)) {
        net_queue_interrupt(&nic->device.queues[index]);
    }
    spinlock_unlock_restore(&queue->line, flags);
}

bool fake_nic_inject(struct fake_nic *nic, unsigned index, const uint8_t *frame, uint32_t length)
{
    struct fake_queue *queue = &nic->queues[index];
    uint64_t flags = spinlock_lock_save(&queue->lock);
    bool has_buffer = queue->filled != queue->posted;

    if (has_buffer) {
        struct packet *packet = queue->receive[queue->filled++ % FAKE_RING];

        memcpy(packet->data, frame, length);
        packet->length = length;
        queue->injected++;
    } else {
        queue->lost_no_ring++;
    }
    spinlock_unlock_restore(&queue->lock, flags);
    interrupt_raise(nic, index);
    return has_buffer;
}

/* ---- sending ---- */

static void capture_locked(struct fake_nic *nic, unsigned index, const struct packet *packet)
{
    struct fake_queue *queue = &nic->queues[index];

    if (packet->length <= FRAME_BYTES_MAX) {
        memcpy(nic->last_frame, packet->data, packet->length);
        nic->last_length = packet->length;
    }
    if (nic->options.capture != NULL) {
        nic->options.capture(nic, index, packet->data, packet->length);
    }
    queue->captured_bytes += packet->length;
    /* Release: pairs with fake_nic_captured(); who counts this frame sees it in last_frame. */
    __atomic_store_n(&queue->captured, queue->captured + 1, __ATOMIC_RELEASE);
}

/* Sends all that the doorbell was rung for. */
static void send_locked(struct fake_nic *nic, unsigned index)
{
    struct fake_queue *queue = &nic->queues[index];

    while (queue->sent != queue->rung) {
        capture_locked(nic, index, queue->transmit[queue->sent++ % FAKE_RING]);
    }
}

static void reclaim_locked(struct fake_queue *queue)
{
    while (queue->reclaimed != queue->sent) {
        packet_free(queue->transmit[queue->reclaimed++ % FAKE_RING]);
    }
}

static unsigned fake_reclaim(struct net_device *device, unsigned index)
{
    struct fake_nic *nic = nic_of(device);
    struct fake_queue *queue = &nic->queues[index];

    guard_reset(nic);
    guard_enter(nic, &queue->is_transmitted_to);

    uint64_t flags = spinlock_lock_save(&queue->lock);

    reclaim_locked(queue);

    unsigned left = queue->queued - queue->reclaimed;

    spinlock_unlock_restore(&queue->lock, flags);
    guard_leave(&queue->is_transmitted_to);
    return left;
}

static unsigned fake_transmit_ring_count(struct net_device *device, unsigned index)
{
    struct fake_queue *queue = &nic_of(device)->queues[index];
    uint64_t flags = spinlock_lock_save(&queue->lock);
    unsigned count = queue->queued - queue->reclaimed;

    spinlock_unlock_restore(&queue->lock, flags);
    return count;
}

static bool fake_transmit(struct net_device *device, unsigned index, struct packet *packet)
{
    struct fake_nic *nic = nic_of(device);
    struct fake_queue *queue = &nic->queues[index];

    guard_enter(nic, &queue->is_transmitted_to);
    for (uint32_t i = 0; i < nic->transmit_pauses; i++) {
        cpu_relax();
    }

    uint64_t flags = spinlock_lock_save(&queue->lock);

    reclaim_locked(queue);

    bool has_room = queue->queued - queue->reclaimed < FAKE_RING;

    if (has_room) {
        queue->transmit[queue->queued++ % FAKE_RING] = packet;
    }
    spinlock_unlock_restore(&queue->lock, flags);
    guard_leave(&queue->is_transmitted_to);
    return has_room;
}

static void fake_transmit_start(struct net_device *device, unsigned index)
{
    struct fake_nic *nic = nic_of(device);
    struct fake_queue *queue = &nic->queues[index];

    guard_enter(nic, &queue->is_transmitted_to);

    uint64_t flags = spinlock_lock_save(&queue->lock);

    queue->rung = queue->queued;
    if (!__atomic_load_n(&nic->holds_transmit, __ATOMIC_RELAXED)) {
        send_locked(nic, index);
    }
    spinlock_unlock_restore(&queue->lock, flags);
    guard_leave(&queue->is_transmitted_to);
}

void fake_nic_release(struct fake_nic *nic)
{
    __atomic_store_n(&nic->holds_transmit, false, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < nic->device.queue_count; i++) {
        uint64_t flags = spinlock_lock_save(&nic->queues[i].lock);

        send_locked(nic, i);
        spinlock_unlock_restore(&nic->queues[i].lock, flags);
    }
}

/* ---- life ---- */

static unsigned fake_receive_ring_count(struct net_device *device, unsigned index)
{
    struct fake_queue *queue = &nic_of(device)->queues[index];
    uint64_t flags = spinlock_lock_save(&queue->lock);
    unsigned count = queue->posted - queue->taken;

    spinlock_unlock_restore(&queue->lock, flags);
    return count;
}

static void rings_empty(struct fake_queue *queue)
{
    uint64_t flags = spinlock_lock_save(&queue->lock);

    queue->lost_in_reset += queue->filled - queue->taken;
    while (queue->taken != queue->posted) {
        packet_free(queue->receive[queue->taken++ % FAKE_RING]);
    }
    queue->filled = queue->taken;
    queue->unsent_in_reset += queue->queued - queue->sent;
    while (queue->reclaimed != queue->queued) {
        packet_free(queue->transmit[queue->reclaimed++ % FAKE_RING]);
    }
    queue->sent = queue->rung = queue->queued;
    spinlock_unlock_restore(&queue->lock, flags);
}

static bool ring_fill(struct fake_nic *nic, struct fake_queue *queue)
{
    for (unsigned i = 0; i < FAKE_RING; i++) {
        struct packet *packet = packet_allocate(nic->device.pool);

        if (packet == NULL) {
            return i != 0;
        }

        uint64_t flags = spinlock_lock_save(&queue->lock);

        post_locked(queue, packet);
        spinlock_unlock_restore(&queue->lock, flags);
    }
    return true;
}

static bool fake_reset(struct net_device *device)
{
    struct fake_nic *nic = nic_of(device);
    bool is_filled = true;

    __atomic_store_n(&nic->is_resetting, true, __ATOMIC_SEQ_CST);
    if (nic->options.in_reset != NULL) {
        nic->options.in_reset(nic);
    }
    for (unsigned i = 0; i < device->queue_count; i++) {
        guard_enter(nic, &nic->queues[i].is_polled);
        guard_enter(nic, &nic->queues[i].is_transmitted_to);
        if (__atomic_load_n(&nic->queues[i].being_silenced, __ATOMIC_SEQ_CST) != 0) {
            __atomic_fetch_add(&nic->violations, 1, __ATOMIC_RELAXED);
        }
        __atomic_store_n(&nic->queues[i].interrupt_is_on, false, __ATOMIC_SEQ_CST);
        rings_empty(&nic->queues[i]);
        is_filled &= ring_fill(nic, &nic->queues[i]);
        guard_leave(&nic->queues[i].is_transmitted_to);
        guard_leave(&nic->queues[i].is_polled);
    }
    __atomic_store_n(&nic->is_resetting, false, __ATOMIC_SEQ_CST);
    return is_filled && !__atomic_load_n(&nic->refuses_reset, __ATOMIC_RELAXED);
}

static const struct net_device_operations fake_operations = {
    .driver = "fake",
    .poll = fake_poll,
    .interrupt_on = fake_interrupt_on,
    .interrupt_off = fake_interrupt_off,
    .transmit = fake_transmit,
    .transmit_start = fake_transmit_start,
    .transmit_reclaim = fake_reclaim,
    .transmit_ring_count = fake_transmit_ring_count,
    .receive_ring_count = fake_receive_ring_count,
    .reset = fake_reset,
};

static void fake_nic_free(struct fake_nic *nic)
{
    for (unsigned i = 0; i < nic->options.queues; i++) {
        rings_empty(&nic->queues[i]);
    }
    packet_pool_destroy(nic->device.pool);
    heap_free(nic);
}

/* Everything but the registration. Returns NULL when memory is short. */
static struct fake_nic *fake_nic_make(const struct fake_nic_options *options)
{
    static uint8_t made; /* so that no two have the same address */
    struct fake_nic *nic = heap_allocate(sizeof(*nic));

    if (nic == NULL) {
        return NULL;
    }
    nic->options = *options;
    nic->device = (struct net_device){
        .operations = &fake_operations,
        .driver_data = nic,
        .mac = {0x02, 0, 0, 0, 0, made++},
        .queue_count = options->queues,
        .pool = packet_pool_create("fake", options->packets != 0 ? options->packets : FAKE_PACKETS),
        .interrupt_kind = "fake",
        .location = "memory",
        .link_is_up = true,
    };
    if (nic->device.pool == NULL) {
        heap_free(nic);
        return NULL;
    }
    for (unsigned i = 0; i < options->queues; i++) {
        nic->queues[i].lock = (struct spinlock)SPINLOCK("fake card");
        nic->queues[i].line = (struct spinlock)SPINLOCK("fake interrupt");
        nic->device.queues[i].cpu = net_queue_choose_cpu(options->queues);
        if (!ring_fill(nic, &nic->queues[i])) {
            fake_nic_free(nic);
            return NULL;
        }
    }
    return nic;
}

struct fake_nic *fake_nic_add(const struct fake_nic_options *options)
{
    struct fake_nic *nic = fake_nic_make(options);

    if (nic != NULL && !net_device_register(&nic->device)) {
        fake_nic_free(nic);
        nic = NULL;
    }
    return nic;
}

void fake_nic_remove(struct test *test, struct fake_nic *nic)
{
    fake_nic_release(nic);
    net_config_set_address(&nic->device, 0, 0, NET_CONFIG_NONE);
    arp_forget(&nic->device);

    bool is_whole = EXPECT(test, fake_nic_settle(nic));

    EXPECT_EQUAL(test, nic->violations, 0);
    EXPECT_EQUAL(test, net_device_census(&nic->device).elsewhere, 0);
    net_device_unregister(&nic->device);
    if (is_whole) { /* otherwise somebody may still write to a packet: it stays, and is reported */
        fake_nic_free(nic);
    }
}
