// SPDX-License-Identifier: MIT
/* Streams of datagrams from memory; see bench_net_streams.h. Invariant: of each stream at most
 * WINDOW frames are under way, so that no socket overflows and none is lost; the poll thread gives
 * way to its reader, which runs on the same CPU. Called by: bench_seed_packets.c. */
#include "bench/bench_net_streams.h"

#include "arch/clock.h"
#include "bench/bench_net_memory.h"
#include "kernel/console.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "net/net_config.h"
#include "net/receive.h"
#include "net/udp_socket.h"

#define PACKETS     256u
#define SPARE       4u /* of the card, which takes none */
#define WINDOW      128u
#define DEPTH       1024u
#define BATCH       64u
#define LOOK_NS     100000000ull
#define SOURCE_PORT 9000u

/* Each on cache lines of its own: streams share nothing but what the packet path shares. */
struct stream {
    uint8_t frame[FRAME_BYTES_MIN];
    struct packet_pool *pool; /* the card's has a lock, which four would fight for */
    struct udp_socket *socket;
    struct thread *reader;
    _Alignas(64) uint64_t given; /* by the poll thread alone */
    _Alignas(64) uint64_t done;  /* atomic; by the reader */
};

static struct net_device device;
static struct net_device_operations operations;
static struct stream streams[BENCH_NET_STREAMS_MAX];
static bool is_flowing; /* atomic: frames come */
static bool is_ending;  /* atomic: readers are to end */

static bool flag_is_set(const bool *flag)
{
    return __atomic_load_n(flag, __ATOMIC_RELAXED);
}

static bool stream_poll_one(struct stream *stream, unsigned queue)
{
    struct packet *packet = packet_allocate(stream->pool);

    if (packet == NULL) {
        device.queues[queue].counters.no_buffer++;
        return false;
    }
    memcpy(packet_append(packet, sizeof(stream->frame)), stream->frame, sizeof(stream->frame));
    packet->device = &device;
    packet->queue = (uint16_t)queue;
    net_receive(packet);
    stream->given++;
    return true;
}

static unsigned streams_poll(struct net_device *polled, unsigned queue, unsigned budget)
{
    struct stream *stream = &streams[queue];
    unsigned count = 0;

    (void)polled;
    while (count < budget && flag_is_set(&is_flowing) &&
           stream->given - __atomic_load_n(&stream->done, __ATOMIC_RELAXED) < WINDOW &&
           stream_poll_one(stream, queue)) {
        count++;
    }
    if (count == 0 && flag_is_set(&is_flowing)) {
        thread_yield(); /* to the reader */
    }
    return count;
}

static bool streams_interrupt_on(struct net_device *polled, unsigned queue)
{
    (void)polled;
    (void)queue;
    return flag_is_set(&is_flowing);
}

static void stream_read(void *argument)
{
    struct stream *stream = argument;
    struct packet *packets[BATCH];

    while (!flag_is_set(&is_ending)) {
        unsigned count =
            udp_socket_receive_many(stream->socket, clock_now_ns() + LOOK_NS, packets, BATCH);

        packet_free_many(packets, count);
        __atomic_store_n(&stream->done, stream->done + count, __ATOMIC_RELAXED);
    }
}

static bool stream_start(unsigned number, uint16_t port)
{
    struct stream *stream = &streams[number];

    *stream = (struct stream){.pool = packet_pool_create("stream", PACKETS)};
    if (stream->pool == NULL) {
        return false;
    }
    stream->socket = udp_socket_open(port, DEPTH, false);
    if (stream->socket == NULL) {
        packet_pool_destroy(stream->pool);
        return false;
    }
    bench_net_frame_make(stream->frame, device.mac, (uint16_t)(SOURCE_PORT + number), port, 1);
    stream->reader = thread_create("bench stream", device.queues[number].cpu, stream_read, stream);
    if (stream->reader == NULL) {
        udp_socket_close(stream->socket);
        packet_pool_destroy(stream->pool);
        return false;
    }
    return true;
}

/* Ends the first @count streams, which nobody polls. */
static void streams_end(unsigned count)
{
    __atomic_store_n(&is_ending, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < count; i++) {
        thread_join(streams[i].reader);
        udp_socket_close(streams[i].socket);
        packet_pool_destroy(streams[i].pool);
    }
    __atomic_store_n(&is_ending, false, __ATOMIC_RELAXED);
}

/* On return nobody polls it; packets may still be in sockets. */
static void device_take_out(void)
{
    net_config_set_address(&device, 0, 0, NET_CONFIG_NONE);
    net_device_unregister(&device);
}

static bool device_add(unsigned count)
{
    operations = bench_net_memory_operations;
    operations.poll = streams_poll;
    operations.interrupt_on = streams_interrupt_on;
    device = (struct net_device){
        .operations = &operations,
        .mac = {0x02, 0, 0, 0, 0, 3},
        .queue_count = count,
        .pool = packet_pool_create("streams", SPARE),
        .interrupt_kind = "none",
        .location = "memory",
        .link_is_up = true,
    };
    if (device.pool == NULL) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        device.queues[i].cpu = net_queue_choose_cpu(count);
    }
    if (!net_device_register(&device)) {
        packet_pool_destroy(device.pool);
        return false;
    }
    if (!net_config_set_address(&device, BENCH_NET_OWN_ADDRESS, BENCH_NET_OWN_MASK,
                                NET_CONFIG_STATIC)) {
        net_device_unregister(&device);
        packet_pool_destroy(device.pool);
        return false;
    }
    return true;
}

struct net_device *bench_net_streams_start(const char *command, unsigned count, uint16_t port)
{
    unsigned started = 0;

    if (!device_add(count)) {
        console_print("%s: no memory for a card with %u queues, or no room for another card\n",
                      command, count);
        return NULL;
    }
    while (started < count && stream_start(started, (uint16_t)(port + started))) {
        started++;
    }
    if (started < count) {
        console_print("%s: port %u is taken, or memory is short\n", command, port + started);
        device_take_out();
        streams_end(started);
        packet_pool_destroy(device.pool);
        return NULL;
    }
    __atomic_store_n(&is_flowing, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < count; i++) {
        net_queue_kick(&device.queues[i]);
    }
    return &device;
}

void bench_net_streams_stop(void)
{
    unsigned count = device.queue_count;

    __atomic_store_n(&is_flowing, false, __ATOMIC_RELAXED);
    device_take_out();
    streams_end(count);
    packet_pool_destroy(device.pool);
}

uint64_t bench_net_streams_packets(void)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < device.queue_count; i++) {
        sum += __atomic_load_n(&streams[i].done, __ATOMIC_RELAXED);
    }
    return sum;
}

uint64_t bench_net_streams_busy_ns(void)
{
    uint64_t busy_ns = 0;

    for (uint32_t cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (cpu_index_is_online(cpu)) {
            busy_ns += clock_now_ns() - thread_cpu_idle_ns(cpu);
        }
    }
    return busy_ns;
}
