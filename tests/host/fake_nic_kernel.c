// SPDX-License-Identifier: MIT
/* See fake_nic_kernel.h. */
#include "tests/host/fake_nic_kernel.h"

#include "tests/host/fake_pool.h"
#include "tests/host/host_test.h"

#include <string.h>

#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "kernel/cross_call.h"
#include "kernel/heap.h"
#include "kernel/page_allocator.h"
#include "kernel/thread.h"
#include "net/receive.h"

#define BLOCKS_MAX  128
#define VECTORS_MAX 32
#define LOOK_NS     1000000u /* each look at the clock takes: waits end after few */

__thread bool net_fake_interrupts_are_off;
__thread unsigned net_fake_cpu;
unsigned net_fake_cpu_count;
uint64_t net_fake_now_ns;
struct static_key netstamp_needed;

unsigned fake_nic_memory, fake_nic_memory_refused, fake_nic_vectors, fake_nic_handler_waits;
enum pci_interrupt_kind fake_nic_interrupt_kind;
bool fake_nic_interrupts_chosen, fake_nic_register_fails;
bool fake_nic_freed_under_device, fake_nic_freed_under_handlers;
struct net_device *fake_nic_device;
const char *fake_nic_failure;
bool (*fake_nic_is_used_by_device)(uint64_t physical, uint64_t bytes);

static void *blocks[BLOCKS_MAX];
static unsigned requests;
static struct packet_pool *pool;
static struct {
    pci_interrupt_handler *handler;
    void *argument;
} vectors[VECTORS_MAX];

void fake_nic_kernel_start(void)
{
    memset(blocks, 0, sizeof(blocks));
    memset(vectors, 0, sizeof(vectors));
    fake_nic_memory = fake_nic_memory_refused = fake_nic_handler_waits = requests = 0;
    fake_nic_interrupt_kind = PCI_INTERRUPT_MSIX;
    fake_nic_vectors = VECTORS_MAX;
    fake_nic_interrupts_chosen = fake_nic_register_fails = false;
    fake_nic_freed_under_device = fake_nic_freed_under_handlers = false;
    fake_nic_device = NULL;
    fake_nic_failure = NULL;
    fake_nic_is_used_by_device = NULL;
    net_fake_cpu_count = 4;
    pool = NULL;
}

static bool request_fails(void)
{
    return ++requests == fake_nic_memory_refused;
}

static void *block_take(size_t bytes)
{
    unsigned i = 0;

    if (request_fails()) {
        return NULL;
    }
    while (blocks[i] != NULL) {
        i++;
        assert_true(i < BLOCKS_MAX);
    }
    bytes = (bytes + 63) / 64 * 64;
    blocks[i] = aligned_alloc(bytes % PAGE_SIZE == 0 ? PAGE_SIZE : 64, bytes);
    memset(blocks[i], 0, bytes);
    fake_nic_memory++;
    return blocks[i];
}

static void block_give_back(void *block)
{
    fake_nic_freed_under_handlers |= fake_nic_interrupts_chosen;
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        if (blocks[i] == block) {
            blocks[i] = NULL;
            fake_nic_memory--;
            free(block);
            return;
        }
    }
    fail_msg("%p was never taken, or is given back twice", block);
}

void *heap_allocate(size_t bytes)
{
    return block_take(bytes);
}

void heap_free(void *block)
{
    if (block != NULL) {
        block_give_back(block);
    }
}

uint64_t page_allocate_run(size_t pages)
{
    return (uint64_t)block_take(pages * PAGE_SIZE);
}

void page_free_run(uint64_t physical, size_t pages)
{
    if (fake_nic_is_used_by_device != NULL &&
        fake_nic_is_used_by_device(physical, pages * PAGE_SIZE)) {
        fake_nic_freed_under_device = true;
    }
    block_give_back((void *)physical);
}

struct packet_pool *packet_pool_create(const char *name, uint32_t total)
{
    (void)name;
    assert_null(pool);
    if (!request_fails()) {
        pool = fake_pool_make(total);
        fake_nic_memory++;
    }
    return pool;
}

void packet_pool_destroy(struct packet_pool *destroyed)
{
    assert_ptr_equal(destroyed, pool);
    fake_pool_end(pool);
    pool = NULL;
    fake_nic_memory--;
}

struct packet *packet_allocate(struct packet_pool *from)
{
    struct packet *packet;

    return packet_allocate_many(from, &packet, 1) == 1 ? packet : NULL;
}

uint64_t clock_now_ns(void)
{
    net_fake_now_ns += LOOK_NS;
    return net_fake_now_ns;
}

void thread_sleep_ns(uint64_t duration_ns)
{
    net_fake_now_ns += duration_ns;
}

const char *pci_interrupt_kind_name(enum pci_interrupt_kind kind)
{
    return kind == PCI_INTERRUPT_MSIX ? "msi-x" : "another";
}

enum pci_interrupt_kind pci_interrupts_choose(struct pci_device *device, unsigned wanted,
                                              unsigned *count)
{
    (void)device;
    fake_nic_interrupts_chosen = true;
    *count = wanted < fake_nic_vectors ? wanted : fake_nic_vectors;
    return fake_nic_interrupt_kind;
}

bool pci_interrupt_route(struct pci_device *device, unsigned index, unsigned cpu,
                         pci_interrupt_handler *handler, void *argument)
{
    (void)device;
    (void)cpu;
    assert_true(index < VECTORS_MAX);
    vectors[index].handler = handler;
    vectors[index].argument = argument;
    return true;
}

void pci_interrupts_release(struct pci_device *device)
{
    (void)device;
    fake_nic_interrupts_chosen = false;
    memset(vectors, 0, sizeof(vectors));
}

/* Whoever waits for handlers has told them to keep off: an interrupt comes in that moment. */
void interrupt_handlers_wait(void)
{
    fake_nic_handler_waits++;
    for (unsigned i = 0; i < VECTORS_MAX; i++) {
        if (vectors[i].handler != NULL) {
            fake_nic_interrupt(i);
        }
    }
}

bool fake_nic_interrupt(unsigned index)
{
    return vectors[index].handler(vectors[index].argument);
}

uint32_t net_queue_choose_cpu(unsigned queues)
{
    (void)queues;
    return 1;
}

bool net_device_register(struct net_device *device)
{
    fake_nic_device = fake_nic_register_fails ? NULL : device;
    return !fake_nic_register_fails;
}

void net_queue_kick(struct net_queue *queue)
{
    (void)queue;
}

void net_queue_interrupt(struct net_queue *queue)
{
    (void)queue;
}

void net_device_set_link(struct net_device *device, bool is_up)
{
    device->link_is_up = is_up;
}

void net_device_fail(struct net_device *device, const char *why)
{
    (void)device;
    fake_nic_failure = why;
}

void net_receive(struct packet *packet)
{
    packet_free(packet);
}

int fake_nic_packets_lost(void)
{
    const struct net_device_operations *operations = fake_nic_device->operations;
    int lost = (int)(pool->total - pool->free_count);

    for (unsigned i = 0; i < fake_nic_device->queue_count; i++) {
        lost -= (int)operations->receive_ring_count(fake_nic_device, i);
        lost -= (int)operations->transmit_reclaim(fake_nic_device, i);
    }
    return lost;
}

void spinlock_report_stuck(const struct spinlock *lock)
{
    fail_msg("%s is stuck", lock->name);
    abort();
}

void spinlock_report_interrupts(const struct spinlock *lock)
{
    fail_msg("%s taken with interrupts on", lock->name);
    abort();
}

void fake_nic_kernel_end(void)
{
    if (pool != NULL) {
        for (uint32_t i = 0; i < pool->total; i++) {
            free(pool->packets[i].buffer);
        }
        free(pool->packets);
        free(pool);
        pool = NULL;
    }
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
}
