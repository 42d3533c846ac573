// SPDX-License-Identifier: MIT
/* The project's bars, beside what was measured. Invariant: a bar that was not measured in full is
 * neither said to hold nor to fail; a bad execution fails it however few updates there were. See
 * measure.h. */
#include "tests/silicon/measure.h"

#include "tests/silicon/options.h"
#include "tests/silicon/report.h"

#include <math.h>

#define FLAT_PERCENT_MOST 20.0
#define QWORD_RATIO_LEAST 2.5
#define UPDATES_LEAST     10000000ull
#define NAIVE_LEAST       1000000ull

#define SPREAD_PERCENT_MOST    15.0
#define RETPOLINE_RATIO_LEAST  3.0
#define BEST_PERCENT_MOST      10.0
#define RETPOLINE_PERCENT_MOST 5.0
#define FULL_MISS_PERCENT_MOST 2.0

#define DIRECT_PERCENT_MOST        10.0
#define DYNAMIC_RATIO_LEAST        5.0
#define UNPREDICTABLE_PERCENT_MOST 5.0

struct bars bars;

enum verdict { FAILS, HOLDS, NOT_MEASURED };

static enum verdict verdict_of(bool holds)
{
    return holds ? HOLDS : FAILS;
}

/* Few sizes and few samples: rough figures say nothing about a limit. */
static enum verdict verdict_of_cost(bool holds)
{
    return options.quick ? NOT_MEASURED : verdict_of(holds);
}

/* Nothing bad in too few updates proves nothing, one bad execution does. */
static enum verdict verdict_of_truth(uint64_t bad, uint64_t updates)
{
    if (bad == 0 && updates < UPDATES_LEAST) {
        return NOT_MEASURED;
    }
    return verdict_of(bad == 0);
}

/* The other way round: naive must be seen to fail. */
static enum verdict verdict_of_naive(double bad, uint64_t updates)
{
    if (bad <= 0 && updates < NAIVE_LEAST) {
        return NOT_MEASURED;
    }
    return verdict_of(bad > 0);
}

static void bar_row(const char *bar, const char *limit, double value, enum verdict verdict)
{
    report_text("bar", bar);
    report_text("limit", limit);
    if (isnan(value)) {
        report_none("measured");
    } else {
        report_real("measured", value);
    }
    if (verdict == NOT_MEASURED) {
        report_no_truth("holds");
    } else {
        report_truth("holds", verdict == HOLDS);
    }
    report_row();
}

/* NAN: not known. */
static double spread_percent(double least, double most)
{
    return least > 0 ? (most / least - 1) * 100 : NAN;
}

/* @value: NAN if it is not known. */
static void dispatch_row(const char *bar, const char *limit, double value, bool holds)
{
    bool is_known = !isnan(value) && !bars.dispatch.has_gaps;

    bar_row(bar, limit, value, is_known ? verdict_of_cost(holds) : NOT_MEASURED);
}

static void spread_row(const char *bar, double least, double most)
{
    double percent = spread_percent(least, most);

    dispatch_row(bar, "within 15 %", percent, percent <= SPREAD_PERCENT_MOST);
}

static void worst_row(const char *bar, const char *limit, const struct dispatch_worst *worst,
                      double most)
{
    dispatch_row(bar, limit, worst->entries != 0 ? worst->percent : NAN, worst->percent <= most);
}

static void worst_note(const char *bar, const struct dispatch_worst *worst, double most)
{
    if (worst->percent > most) {
        report_note("%s: the worst row is %s, %u entries", bar,
                    dispatch_traffic_name(worst->traffic), worst->entries);
    }
}

static void dispatch_report(const struct dispatch_bars *dispatch)
{
    static const char best[] = "auto over best shape";
    static const char retpoline[] = "auto over retpoline";
    double ratio = dispatch->retpoline_ratio;

    spread_row("hit, constant, 1..16", dispatch->constant_least, dispatch->constant_most);
    spread_row("hit, in turn, 1..16", dispatch->in_turn_least, dispatch->in_turn_most);
    dispatch_row("retpoline over both", "3 times", ratio > 0 ? ratio : NAN,
                 ratio >= RETPOLINE_RATIO_LEAST);
    worst_row(best, "at most 10 %", &dispatch->best, BEST_PERCENT_MOST);
    worst_row(retpoline, "at most 5 %", &dispatch->retpoline, RETPOLINE_PERCENT_MOST);
    worst_row("full, miss, auto", "at most 2 %", &dispatch->full_miss, FULL_MISS_PERCENT_MOST);
    worst_note(best, &dispatch->best, BEST_PERCENT_MOST);
    worst_note(retpoline, &dispatch->retpoline, RETPOLINE_PERCENT_MOST);
}

/* @value over @reference; both net ns, negative: not measured. */
static void over_row(const char *bar, const char *limit, double value, double reference,
                     double most)
{
    bool is_known = value > 0 && reference > 0;
    double percent = is_known ? (value / reference - 1) * 100 : NAN;

    bar_row(bar, limit, percent, is_known ? verdict_of_cost(percent <= most) : NOT_MEASURED);
}

static void faster_row(const char *bar, double value, double reference)
{
    bool is_known = value > 0 && reference > 0;
    double ratio = is_known ? reference / value : NAN;

    bar_row(bar, "5 times", ratio,
            is_known ? verdict_of_cost(ratio >= DYNAMIC_RATIO_LEAST) : NOT_MEASURED);
}

static void dyncall_report(const struct dyncall_figures *constant,
                           const struct dyncall_figures *random)
{
    over_row("constant, pinned over direct", "at most 10 %", constant->pinned, constant->direct,
             DIRECT_PERCENT_MOST);
    over_row("constant, auto over direct", "at most 10 %", constant->automatic, constant->direct,
             DIRECT_PERCENT_MOST);
    faster_row("constant, retpoline over pinned", constant->pinned, constant->retpoline);
    faster_row("constant, retpoline over auto", constant->automatic, constant->retpoline);
    over_row("random 8, off over retpoline", "at most 5 %", random->off, random->retpoline,
             UNPREDICTABLE_PERCENT_MOST);
    over_row("random 8, auto over retpoline", "at most 5 %", random->automatic, random->retpoline,
             UNPREDICTABLE_PERCENT_MOST);
}

void bars_report(void)
{
    if (bars.dispatch.rows > 0 || bars.dyncall_was_measured || bars.batch_was_measured ||
        bars.naive_updates > 0 || bars.batch_updates > 0 || bars.qword_updates > 0) {
        report_begin("silicon.bar", "Bars");
    }
    if (bars.dispatch.rows > 0) {
        dispatch_report(&bars.dispatch);
    }
    if (bars.dyncall_was_measured) {
        dyncall_report(&bars.dyncall_constant, &bars.dyncall_random);
    }
    if (bars.batch_was_measured) {
        bar_row("int3-batch, 1..256", "within 20 %", bars.flat_percent,
                verdict_of_cost(bars.flat_percent <= FLAT_PERCENT_MOST));
        bar_row("qword beats int3-batch", "2.5 times", bars.qword_ratio,
                verdict_of_cost(bars.qword_ratio >= QWORD_RATIO_LEAST));
    }
    if (bars.naive_updates > 0) {
        bar_row("naive across a line", "fails (per million)", bars.naive_bad,
                verdict_of_naive(bars.naive_bad, bars.naive_updates));
    }
    if (bars.batch_updates > 0) {
        bar_row("int3-batch, bad", "0 in 10 million", (double)bars.batch_bad,
                verdict_of_truth(bars.batch_bad, bars.batch_updates));
    }
    if (bars.qword_updates > 0) {
        bar_row("qword, bad", "0 in 10 million", (double)bars.qword_bad,
                verdict_of_truth(bars.qword_bad, bars.qword_updates));
    }
}
