// SPDX-License-Identifier: MIT
/* See loops.h. */
#include "tests/silicon/loops.h"

#include "patching/platform.h"
#include "tests/host/live_clock.h"
#include "tests/silicon/report.h"
#include "tests/silicon/samples.h"

enum {
    ITERATIONS = 2000,
    LOOPS_MOST = 3000,
};

static struct samples samples;
static struct samples empties;
static double cycle_ns;

/* The loop's own instructions run beside them. */
void loops_chain(uint64_t iterations)
{
    uint64_t value = 1;

    for (; iterations > 0; iterations--) {
        __asm__ volatile(".rept %c1\n\t"
                         "add %0, %0\n\t"
                         ".endr"
                         : "+r"(value)
                         : "i"(LOOPS_CHAIN)
                         : "cc");
    }
}

static void nothing(uint64_t iterations)
{
    (void)iterations;
}

/* ns an iteration. */
static double time_once(void (*loop)(uint64_t))
{
    uint64_t start = platform_time_ticks();

    loop(ITERATIONS);
    return live_clock_ns((double)(platform_time_ticks() - start)) / ITERATIONS;
}

/* Fills samples with ns a part of an iteration, of which it has @parts. */
static void time_net(void (*loop)(uint64_t), void (*empty)(uint64_t), unsigned parts)
{
    time_once(loop); /* learns its branches */
    samples_begin(&samples);
    samples_begin(&empties);
    while (samples_wanted(&samples, LOOPS_MOST)) {
        samples_start(&samples);

        double without = time_once(empty) / parts;

        samples_keep(&samples, time_once(loop) / parts);
        if (samples_accept(&samples)) {
            samples_add(&empties, without);
        }
    }
    samples_subtract(&samples, samples_quantile(&empties, 500));
}

void loops_begin(const char *kind, const char *title)
{
    report_progress("%s: the length of a cycle", kind);
    time_net(loops_chain, nothing, LOOPS_CHAIN);
    cycle_ns = samples_quantile(&samples, 500);
    report_begin(kind, title);
}

void loops_row(const char *what, void (*loop)(uint64_t), void (*empty)(uint64_t))
{
    loops_row_of_parts(what, loop, empty, 1);
}

void loops_row_of_parts(const char *what, void (*loop)(uint64_t), void (*empty)(uint64_t),
                        unsigned parts)
{
    report_progress("%s", what);
    time_net(loop, empty, parts);
    report_text("what", what);
    samples_report_ns(&samples);
    samples_report_derived(&samples, "p50_cycles", samples_quantile(&samples, 500) / cycle_ns);
    report_row();
}
