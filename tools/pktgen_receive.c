// SPDX-License-Identifier: MIT
/* Packet generator: the receiving thread. Invariant: whatever the machine sends, of any length, is
 * counted in one place and read at no place beyond its end. Caller: pktgen.c. */
#include "pktgen.h"

#include <stdio.h>

#define WAIT_MS 20

static void take_answer(struct run *run, const struct frame *frame, uint64_t now)
{
    uint64_t sequence = 0, end = count_read(&run->counts.built);

    if (!frame_answer_is_right(run->settings, frame, end, &sequence)) {
        count_add(&run->counts.wrong, 1);
        return;
    }
    /* Partner: note_times(). What is older than the table is taken on trust. */
    uint64_t sent = 0;
    if (end - sequence <= SENT_TIMES - BATCH) {
        sent = atomic_exchange_explicit(&run->sent_times[sequence % SENT_TIMES], 0,
                                        memory_order_relaxed);
        if (sent == 0) {
            count_add(&run->counts.repeated, 1);
            return;
        }
        histogram_add(run, now > sent ? now - sent : 0);
    }
    count_add(&run->counts.echoed, 1);
}

static void answer_arp(struct run *run, struct frame *frame)
{
    frame_make_arp_answer(run->settings, frame);
    if (link_send(run->link, frame, 1) == 1) {
        count_add(&run->counts.arp_answered, 1);
    }
}

static void send_back(struct run *run, struct frame *frame)
{
    frame_reflect(frame);
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        if (link_send(run->link, frame, 1) == 1) {
            count_add(&run->counts.sent, 1);
            return;
        }
        link_wait_writable(run->link, 10);
    }
    count_add(&run->counts.refused, 1);
}

static void take_frame(struct run *run, struct frame *frame, uint64_t now)
{
    enum mode mode = run->settings->mode;
    enum frame_is what = frame_parse(run->settings, frame);
    bool is_udp = what == FRAME_ANSWER || what == FRAME_UDP;

    if (what == FRAME_ARP_REQUEST) {
        answer_arp(run, frame);
    } else if (what == FRAME_ANSWER && mode == MODE_ECHO) {
        take_answer(run, frame, now);
    } else if (is_udp && mode == MODE_REFLECT) {
        send_back(run, frame);
    } else if (!is_udp || mode != MODE_RECEIVE) {
        count_add(&run->counts.other, 1);
        return;
    }
    if (is_udp) {
        if (count_read(&run->counts.received) == 0) {
            atomic_store(&run->counts.first_ns, now);
        }
        atomic_store_explicit(&run->counts.last_ns, now, memory_order_relaxed);
        count_add(&run->counts.received, 1);
        count_add(&run->counts.received_bytes, frame->length);
    }
}

void *receive_all(void *argument)
{
    struct run *run = argument;
    struct frame frames[BATCH];

    while (!atomic_load_explicit(&run->is_stopped, memory_order_relaxed)) {
        int count = link_receive(run->link, frames, WAIT_MS);

        if (count < 0) {
            fprintf(stderr, "pktgen: the other end of the link is gone\n");
            atomic_store(&run->has_failed, true);
            atomic_store(&run->is_stopped, true);
        }
        uint64_t now = now_ns();
        for (int i = 0; i < count; i++) {
            take_frame(run, &frames[i], now);
        }
        if (count != 0 && run->settings->mode == MODE_ECHO) {
            pthread_mutex_lock(&run->lock); /* the sender is asleep, or has not looked yet */
            pthread_cond_signal(&run->answered);
            pthread_mutex_unlock(&run->lock);
        }
    }
    return NULL;
}
