// SPDX-License-Identifier: MIT
/* Packet generator: main program (pktgen.h says what it is). Invariant: status 0 means that the run
 * took place and nothing came back wrong; lost frames are figures. Callers: tests/boot,
 * tools/bench_net.py, a person. */
#include "pktgen.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

static struct run the_run;
static struct link the_link;

uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void on_signal(int signal)
{
    (void)signal;
    atomic_store(&the_run.is_stopped, true);
}

static void run_initialize(struct run *run, const struct settings *settings)
{
    pthread_condattr_t monotonic;

    run->settings = settings;
    run->link = &the_link;
    run->latency_min = UINT64_MAX;
    pthread_mutex_init(&run->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&run->answered, &monotonic);
}

/* Modes that only listen: until the count has come, the time is over, or a signal. */
static void listen_only(struct run *run)
{
    const struct settings *settings = run->settings;
    uint64_t end = now_ns() + (uint64_t)(settings->seconds * 1e9);

    while (!atomic_load(&run->is_stopped) && now_ns() < end &&
           (settings->count == 0 || count_read(&run->counts.received) < settings->count)) {
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    }
    run->sent_ns = now_ns();
}

int main(int argument_count, char **arguments)
{
    struct settings settings;
    pthread_t receiver;

    options_read(&settings, argument_count, arguments);
    run_initialize(&the_run, &settings);
    pattern_initialize();
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1000ul); /* nanoseconds: a paced sender sleeps often and shortly */
    link_open(&the_link, settings.link);

    bool sends = settings.mode == MODE_SEND || settings.mode == MODE_ECHO;
    if (sends && !settings.remote_mac_given && !resolve_remote(&settings, &the_link)) {
        fprintf(stderr, "pktgen: nobody answers ARP for the address given by --ip\n");
        link_close(&the_link);
        return 1;
    }
    int error = pthread_create(&receiver, NULL, receive_all, &the_run);
    if (error != 0) {
        fprintf(stderr, "pktgen: no thread: %s\n", strerror(error));
        return 1;
    }
    the_run.begin_ns = now_ns();
    if (sends) {
        send_all(&the_run);
    } else {
        listen_only(&the_run);
    }
    atomic_store(&the_run.is_stopped, true);
    pthread_join(receiver, NULL);
    the_run.unread = link_unread(&the_link);
    link_close(&the_link);
    report_print(&the_run);
    return the_run.has_failed || count_read(&the_run.counts.wrong) != 0 ? 1 : 0;
}
