// SPDX-License-Identifier: MIT
/* The device of `bench net --memory`; see bench_net_memory.h. Invariant: at most WINDOW frames wait
 * in a socket, so that none overflows: every frame is done with as its mode wants, or the run
 * fails. The poll thread gives way to the socket's reader, which runs on the same CPU, so that
 * nobody works or waits elsewhere meanwhile. */
#include "bench/bench_net_memory.h"

#include "arch/clock.h"
#include "kernel/console.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "net/ethernet.h"
#include "net/net_config.h"
#include "net/receive.h"
#include "net/udp.h"
#include "net/wire.h"

#define PACKETS     256u
#define WINDOW      128u
#define PATIENCE_NS 60000000000ull
#define LOOK_NS     10000000ull

#define PEER_PORT 9000u
/* The payload that fills a frame. */
#define PAYLOAD (FRAME_BYTES_MIN - ETHERNET_HEADER_BYTES - IPV4_HEADER_BYTES - UDP_HEADER_BYTES)

static struct net_device memory_device;
static uint8_t frame_template[FRAME_BYTES_MIN];
static struct run {
    const struct bench_net_mode *mode;
    uint64_t queued_before;     /* mode->queued() at the start */
    uint64_t given;             /* atomic: frames received so far; written by the poll thread */
    uint64_t wanted;            /* atomic: frames to receive in all */
    uint64_t first_ns, last_ns; /* atomic: when the first came, and when the newest was done with */
} run;

static bool is_frame_due(void)
{
    uint64_t given = __atomic_load_n(&run.given, __ATOMIC_RELAXED);

    return given < __atomic_load_n(&run.wanted, __ATOMIC_ACQUIRE);
}

static bool is_window_full(void)
{
    return run.mode->queue_done != NULL &&
           run.given - (run.mode->queue_done() - run.queued_before) >= WINDOW;
}

static void frame_receive(struct net_device *device, unsigned queue, struct packet *packet)
{
    memcpy(packet_append(packet, sizeof(frame_template)), frame_template, sizeof(frame_template));
    packet->device = device;
    packet->queue = (uint16_t)queue;
    net_receive(packet);
    __atomic_store_n(&run.given, run.given + 1, __ATOMIC_RELAXED);
}

static unsigned memory_poll(struct net_device *device, unsigned queue, unsigned budget)
{
    unsigned count = 0;

    if (is_frame_due() && run.given == 0) {
        __atomic_store_n(&run.first_ns, clock_now_ns(), __ATOMIC_RELAXED);
    }
    while (count < budget && is_frame_due() && !is_window_full()) {
        struct packet *packet = packet_allocate(device->pool);

        if (packet == NULL) {
            device->queues[queue].counters.no_buffer++;
            break;
        }
        frame_receive(device, queue, packet);
        count++;
    }
    if (count > 0) {
        /* Release: whoever has read run.last_ns sees run.given and what the frames left behind. */
        __atomic_store_n(&run.last_ns, clock_now_ns(), __ATOMIC_RELEASE);
    } else if (is_frame_due()) {
        thread_yield(); /* to the reader */
    }
    return count;
}

static bool memory_interrupt_on(struct net_device *device, unsigned queue)
{
    (void)device;
    (void)queue;
    return is_frame_due();
}

static void memory_interrupt_off(struct net_device *device, unsigned queue)
{
    (void)device;
    (void)queue;
}

static bool memory_transmit(struct net_device *device, unsigned queue, struct packet *packet)
{
    (void)device;
    (void)queue;
    packet_free(packet);
    return true;
}

static void memory_transmit_start(struct net_device *device, unsigned queue)
{
    (void)device;
    (void)queue;
}

static unsigned memory_ring_count(struct net_device *device, unsigned queue)
{
    (void)device;
    (void)queue;
    return 0;
}

static bool memory_reset(struct net_device *device)
{
    (void)device;
    return true;
}

const struct net_device_operations bench_net_memory_operations = {
    .driver = "memory",
    .poll = memory_poll,
    .interrupt_on = memory_interrupt_on,
    .interrupt_off = memory_interrupt_off,
    .transmit = memory_transmit,
    .transmit_start = memory_transmit_start,
    .transmit_reclaim = memory_ring_count,
    .transmit_ring_count = memory_ring_count,
    .receive_ring_count = memory_ring_count,
    .reset = memory_reset,
};

void bench_net_frame_make(uint8_t frame[FRAME_BYTES_MIN], const uint8_t mac[MAC_BYTES],
                          uint16_t source_port, uint16_t port, uint32_t payload)
{
    uint8_t *ip = frame + ETHERNET_HEADER_BYTES;
    uint8_t *udp = ip + IPV4_HEADER_BYTES;
    uint32_t udp_length = UDP_HEADER_BYTES + payload;
    uint32_t sum;

    memset(frame, 0, FRAME_BYTES_MIN);
    memcpy(frame, mac, MAC_BYTES);
    frame[MAC_BYTES] = 0x02;
    frame[2 * MAC_BYTES - 1] = 1;
    wire_put16(frame + 2 * MAC_BYTES, ETHERTYPE_IPV4);
    ip[0] = 0x45;
    wire_put16(ip + 2, (uint16_t)(IPV4_HEADER_BYTES + udp_length));
    ip[8] = IPV4_TTL;
    ip[9] = IPV4_PROTOCOL_UDP;
    wire_put32(ip + 12, BENCH_NET_PEER_ADDRESS);
    wire_put32(ip + 16, BENCH_NET_OWN_ADDRESS);
    wire_put16(ip + 10, checksum_finish(checksum_add(0, ip, IPV4_HEADER_BYTES)));
    wire_put16(udp, source_port);
    wire_put16(udp + 2, port);
    wire_put16(udp + 4, (uint16_t)udp_length);
    sum = ipv4_pseudo_header_sum(BENCH_NET_PEER_ADDRESS, BENCH_NET_OWN_ADDRESS, IPV4_PROTOCOL_UDP,
                                 udp_length);
    wire_put16(udp + 6, checksum_finish(checksum_add(sum, udp, udp_length)));
}

static bool device_prepare(void)
{
    memory_device = (struct net_device){
        .operations = &bench_net_memory_operations,
        .mac = {0x02, 0, 0, 0, 0, 2},
        .queue_count = 1,
        .pool = packet_pool_create("memory", PACKETS),
        .interrupt_kind = "none",
        .location = "memory",
        .link_is_up = true,
    };
    if (memory_device.pool == NULL) {
        console_print("bench net: no memory for %u packets\n", PACKETS);
        return false;
    }
    memory_device.queues[0].cpu = net_queue_choose_cpu(1);
    if (!net_device_register(&memory_device)) {
        console_print("bench net: no more network devices can be added; `log` says why\n");
        packet_pool_destroy(memory_device.pool);
        return false;
    }
    return true;
}

struct net_device *bench_net_memory_start(void)
{
    if (!device_prepare()) {
        return NULL;
    }
    if (!net_config_set_address(&memory_device, BENCH_NET_OWN_ADDRESS, BENCH_NET_OWN_MASK,
                                NET_CONFIG_STATIC)) {
        console_print("bench net: the memory device gets no address\n");
        bench_net_memory_stop(&memory_device);
        return NULL;
    }
    return &memory_device;
}

void bench_net_memory_stop(struct net_device *device)
{
    net_config_set_address(device, 0, 0, NET_CONFIG_NONE);
    net_device_unregister(device);
    packet_pool_destroy(device->pool);
}

static bool is_done(uint64_t count)
{
    if (run.mode->queue_done != NULL) {
        return run.mode->queue_done() - run.queued_before == count;
    }
    return __atomic_load_n(&run.given, __ATOMIC_RELAXED) == count;
}

bool bench_net_memory_run(struct net_device *device, const struct bench_net_request *request,
                          const struct bench_net_mode *mode, struct shell_session *session,
                          uint64_t *elapsed_ns)
{
    uint64_t end_ns = clock_now_ns() + PATIENCE_NS;
    bool done;

    bench_net_frame_make(frame_template, memory_device.mac, PEER_PORT, request->port, PAYLOAD);
    run = (struct run){.mode = mode,
                       .queued_before = mode->queue_done != NULL ? mode->queue_done() : 0};
    __atomic_store_n(&run.wanted, request->packets, __ATOMIC_RELEASE); /* partner: is_frame_due() */
    net_queue_kick(&device->queues[0]);
    do {
        thread_sleep_ns(LOOK_NS);
        done = is_done(request->packets);
    } while (!done && clock_now_ns() < end_ns && !shell_interrupted(session));
    __atomic_store_n(&run.wanted, 0, __ATOMIC_RELAXED);
    *elapsed_ns = (mode->finished_ns != NULL ? mode->finished_ns()
                                             : __atomic_load_n(&run.last_ns, __ATOMIC_ACQUIRE)) -
                  __atomic_load_n(&run.first_ns, __ATOMIC_RELAXED);
    if (!done && !shell_interrupted(session)) {
        console_print("bench net: %s: %llu of %llu frames were not done with in %llu s\n",
                      mode->name, (unsigned long long)(request->packets - run.given),
                      (unsigned long long)request->packets, PATIENCE_NS / 1000000000);
    }
    return done;
}
