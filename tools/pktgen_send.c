// SPDX-License-Identifier: MIT
/* Packet generator: the sending thread. Invariant: it never spins: what has to wait (for the rate,
 * the window, a full socket) sleeps. Caller: pktgen.c. */
#include "pktgen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define REFUSED_PAUSE_NS 50000u /* for the interface's queue to drain */

struct sender {
    struct run *run;
    uint64_t end_ns;
    uint64_t written_off; /* unanswered frames that nobody waits for any more */
    struct frame frames[BATCH];
    uint64_t first;           /* sequence number of frames[0] */
    unsigned at, frame_count; /* frames[at] is the next to send */
    uint8_t bytes[BATCH][FRAME_MAX + 2];
};

static void sleep_until(uint64_t time_ns)
{
    struct timespec time = {(time_t)(time_ns / 1000000000u), (long)(time_ns % 1000000000u)};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static uint64_t answers(const struct run *run)
{
    return count_read(&run->counts.echoed) + count_read(&run->counts.wrong);
}

/* Waits until @wanted more answers than now have come, or none for the time of --wait. Returns
 * whether any came. */
static bool wait_for_answer(struct run *run, uint64_t seen)
{
    uint64_t deadline = now_ns() + (uint64_t)(run->settings->wait * 1e9);
    struct timespec time = {(time_t)(deadline / 1000000000u), (long)(deadline % 1000000000u)};
    int error = 0;

    pthread_mutex_lock(&run->lock);
    while (answers(run) == seen && error == 0 && !atomic_load(&run->is_stopped)) {
        error = pthread_cond_timedwait(&run->answered, &run->lock, &time);
    }
    pthread_mutex_unlock(&run->lock);
    return answers(run) != seen;
}

/* How many frames may go out now; sleeps first if that is none, and may still return 0. */
static uint64_t allowance(struct sender *sender)
{
    struct run *run = sender->run;
    const struct settings *settings = run->settings;
    uint64_t built = count_read(&run->counts.built), allowed = BATCH;

    if (settings->count != 0 && settings->count - built < allowed) {
        allowed = settings->count - built;
    }
    if (settings->rate != 0) {
        uint64_t due =
            (uint64_t)((double)(now_ns() - run->begin_ns) * 1e-9 * (double)settings->rate) + 1;
        if (due <= built) {
            /* A batch at a time if frames are due more often than a sleep takes. */
            uint64_t next = built + (settings->rate > 20000 ? settings->rate / 20000 : 1);
            sleep_until(run->begin_ns + (uint64_t)((double)next * 1e9 / (double)settings->rate));
            return 0;
        }
        allowed = due - built < allowed ? due - built : allowed;
    }
    if (settings->window != 0) {
        uint64_t seen = answers(run);
        int64_t open = (int64_t)(count_read(&run->counts.sent) - seen - sender->written_off);

        if (open >= (int64_t)settings->window) {
            if (!wait_for_answer(run, seen)) {
                sender->written_off += (uint64_t)open;
            }
            return 0;
        }
        uint64_t room = settings->window - (uint64_t)(open > 0 ? open : 0);
        allowed = room < allowed ? room : allowed;
    }
    return allowed;
}

static void build_frames(struct sender *sender, unsigned count)
{
    struct run *run = sender->run;

    sender->first = count_read(&run->counts.built);
    for (unsigned i = 0; i < count; i++) {
        sender->frames[i].bytes = sender->bytes[i];
        frame_build(run->settings, sender->first + i, &sender->frames[i]);
    }
    sender->at = 0;
    sender->frame_count = count;
    count_add(&run->counts.built, count);
}

/* The times stand before the frames go: an answer may be here before sendmmsg() returns. The other
 * thread takes a time away with an exchange. */
static void note_times(struct sender *sender)
{
    uint64_t now = now_ns();

    for (unsigned i = sender->at; i < sender->frame_count; i++) {
        atomic_store_explicit(&sender->run->sent_times[(sender->first + i) % SENT_TIMES], now,
                              memory_order_relaxed);
    }
}

/* Nothing went out, and errno says why. Returns false if nothing ever will. */
static bool is_refusal_survived(struct sender *sender)
{
    struct run *run = sender->run;

    switch (errno) {
    case EAGAIN:
        link_wait_writable(run->link, 50);
        return true;
    case EINTR:
        return true;
    case ENOBUFS:
        if (run->settings->window != 0 || run->settings->count != 0) {
            sleep_until(now_ns() + REFUSED_PAUSE_NS);
            return true;
        }
        atomic_store_explicit(&run->sent_times[(sender->first + sender->at) % SENT_TIMES], 0,
                              memory_order_relaxed);
        count_add(&run->counts.refused, 1);
        sender->at++;
        return true;
    default:
        fprintf(stderr, "pktgen: sending failed: %s\n", strerror(errno));
        atomic_store(&run->has_failed, true);
        return false;
    }
}

static bool send_some(struct sender *sender)
{
    struct run *run = sender->run;

    if (sender->at == sender->frame_count) {
        uint64_t count = allowance(sender);
        if (count == 0) {
            return true;
        }
        build_frames(sender, (unsigned)count);
    }
    if (run->settings->mode == MODE_ECHO) {
        note_times(sender);
    }
    unsigned sent =
        link_send(run->link, &sender->frames[sender->at], sender->frame_count - sender->at);
    if (sent == 0) {
        return is_refusal_survived(sender);
    }
    sender->at += sent;
    count_add(&run->counts.sent, sent);
    return true;
}

/* After the last frame: until everything is answered, or nothing came for a while. */
static void wait_for_rest(struct run *run)
{
    uint64_t seen;

    while ((seen = answers(run)) < count_read(&run->counts.sent) &&
           !atomic_load(&run->is_stopped)) {
        if (!wait_for_answer(run, seen)) {
            return;
        }
    }
}

void send_all(struct run *run)
{
    static struct sender sender;
    const struct settings *settings = run->settings;

    sender.run = run;
    sender.end_ns = run->begin_ns + (uint64_t)(settings->seconds * 1e9);
    while (!atomic_load_explicit(&run->is_stopped, memory_order_relaxed) &&
           now_ns() < sender.end_ns &&
           (settings->count == 0 || sender.at < sender.frame_count ||
            count_read(&run->counts.built) < settings->count)) {
        if (!send_some(&sender)) {
            break;
        }
    }
    run->sent_ns = now_ns();
    if (settings->mode == MODE_ECHO) {
        wait_for_rest(run);
    }
}

bool resolve_remote(struct settings *settings, struct link *link)
{
    uint8_t bytes[FRAME_MAX];
    struct frame request = {.bytes = bytes}, frames[BATCH];

    for (unsigned round = 0; round < 3; round++) {
        uint64_t deadline = now_ns() + 500 * 1000000u;

        frame_build_arp_request(settings, &request);
        link_send(link, &request, 1);
        while (now_ns() < deadline) {
            int count = link_receive(link, frames, 20);
            for (int i = 0; i < count; i++) {
                if (frame_parse(settings, &frames[i]) == FRAME_ARP_ANSWER) {
                    memcpy(settings->remote.mac, frames[i].bytes + 14 + 8, 6);
                    return true;
                }
            }
        }
    }
    return false;
}
