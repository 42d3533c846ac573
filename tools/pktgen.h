// SPDX-License-Identifier: MIT
/* Packet generator for the boot tests and benches: sends UDP frames to a machine in QEMU and looks
 * at what comes back. Two threads: one sends (pktgen_send.c), one receives (pktgen_receive.c).
 *
 * Invariant: a run ends, by count, by time or by a signal, and every frame is in one place of the
 * report: offered = sent + refused, sent = echoed + wrong + lost.
 *
 * An echo is right when every byte of its payload is what this sequence number was sent with, its
 * lengths agree, and its checksums are right. What is not checked: the fields of the IP header that
 * a host may choose (identification, time to live). */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BATCH            64 /* frames in one system call */
#define FRAME_MIN        60
#define FRAME_MAX        1514
#define HEADERS_BYTES    42 /* ethernet, IPv4, UDP */
#define SENT_TIMES       (1u << 20)
#define HISTOGRAM_SPLIT  32 /* buckets in one power of two */
#define HISTOGRAM_LENGTH (64 * HISTOGRAM_SPLIT)

enum mode { MODE_SEND, MODE_ECHO, MODE_RECEIVE, MODE_REFLECT };
extern const char *const mode_names[];

struct endpoint {
    uint8_t mac[6];
    uint32_t address; /* host byte order */
    uint16_t port;
};

struct settings {
    enum mode mode;
    const char *link; /* as written: tap:NAME ... */
    struct endpoint local, remote;
    bool remote_mac_given;
    unsigned size_first, size_last; /* frame sizes go round from first to last */
    unsigned flows, hosts;          /* local ports and addresses that take turns */
    uint64_t count, rate, window;   /* 0: no limit */
    double seconds, wait;
    bool json;
};

/* A way for frames: a packet socket, a datagram a frame, or a stream of lengths and frames. */
struct link {
    enum link_kind { LINK_TAP, LINK_DGRAM, LINK_STREAM } kind;
    int descriptor;
    pthread_mutex_t send_lock; /* both threads send; half a frame of one may be on its way */
    const char *local_path;    /* to unlink, or NULL */
    size_t stream_used;        /* bytes in stream_buffer that make no whole frame yet */
    size_t stream_taken;       /* of these, in frames handed out last time */
    uint8_t stream_buffer[1 << 18];
    uint8_t datagrams[BATCH][2048];
};
extern const char *const link_names[];

struct frame {
    uint8_t *bytes;
    size_t length;
};

/* Written by one thread each, read by the other; relaxed, for each is a figure of its own. */
struct counts {
    /* by the sender: */
    _Atomic uint64_t built; /* the next sequence number */
    _Atomic uint64_t sent, refused;
    /* by the receiver: */
    _Atomic uint64_t echoed, wrong, repeated, other, arp_answered;
    _Atomic uint64_t received, received_bytes;
    _Atomic uint64_t first_ns, last_ns; /* received */
};

struct run {
    const struct settings *settings;
    struct link *link;
    struct counts counts;
    _Atomic bool is_stopped;
    _Atomic bool has_failed;
    uint64_t begin_ns, sent_ns;              /* first frame, and after the last */
    uint64_t unread;                         /* frames that the host dropped before us */
    _Atomic uint64_t sent_times[SENT_TIMES]; /* of frames without an answer; 0: none */
    uint64_t histogram[HISTOGRAM_LENGTH];
    uint64_t latency_min, latency_max;
    pthread_mutex_t lock; /* with answered: the sender waits for room in the window */
    pthread_cond_t answered;
};

/* pktgen_options.c: leaves the program with status 2, naming the word, if the options are wrong. */
void options_read(struct settings *settings, int count, char **words);

/* pktgen_link.c. link_open() leaves the program with status 2 if there is no such link.
 * link_send() returns how many of the frames went out; with 0, errno says why. link_receive() waits
 * at most @timeout_ms and fills in at most BATCH frames, valid until the next call; -1: the link is
 * gone. */
void link_open(struct link *link, const char *text);
void link_close(struct link *link);
unsigned link_send(struct link *link, const struct frame *frames, unsigned count);
int link_receive(struct link *link, struct frame frames[BATCH], int timeout_ms);
void link_wait_writable(const struct link *link, int timeout_ms);
uint64_t link_unread(const struct link *link);

/* pktgen_frame.c. frame_parse() says what a frame is to us; *@sequence is set for an answer. */
enum frame_is { FRAME_OTHER, FRAME_ARP_REQUEST, FRAME_ARP_ANSWER, FRAME_UDP, FRAME_ANSWER };
void pattern_initialize(void);
unsigned frame_size(const struct settings *settings, uint64_t sequence);
void frame_build(const struct settings *settings, uint64_t sequence, struct frame *frame);
enum frame_is frame_parse(const struct settings *settings, const struct frame *frame);
bool frame_answer_is_right(const struct settings *settings, const struct frame *frame,
                           uint64_t sequence_end, uint64_t *sequence);
void frame_build_arp_request(const struct settings *settings, struct frame *frame);
void frame_make_arp_answer(const struct settings *settings, struct frame *frame);
void frame_reflect(struct frame *frame);

/* pktgen_send.c, pktgen_receive.c */
void send_all(struct run *run);
void *receive_all(void *run);
bool resolve_remote(struct settings *settings, struct link *link);

/* pktgen_report.c */
void histogram_add(struct run *run, uint64_t nanoseconds);
uint64_t histogram_percentile(const struct run *run, double fraction);
void report_print(const struct run *run);

uint64_t now_ns(void);

static inline void count_add(_Atomic uint64_t *counter, uint64_t number)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + number,
                          memory_order_relaxed);
}

static inline uint64_t count_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}
