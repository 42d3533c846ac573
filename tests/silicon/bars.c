// SPDX-License-Identifier: MIT
/* The project's bars, beside what was measured. Invariant: a bar that was not measured is not said
 * to hold. See measure.h. */
#include "tests/silicon/measure.h"

#include "tests/silicon/report.h"

#define FLAT_PERCENT_MOST 20.0
#define QWORD_RATIO_LEAST 2.5
#define UPDATES_LEAST     10000000ull

struct bars bars;

static void bar_row(const char *bar, const char *limit, double value, bool holds)
{
    report_text("bar", bar);
    report_text("limit", limit);
    report_real("measured", value);
    report_truth("holds", holds);
    report_row();
}

void bars_report(void)
{
    if (bars.batch_was_measured || bars.naive_was_measured || bars.batch_updates > 0 ||
        bars.qword_updates > 0) {
        report_begin("silicon.bar", "Bars");
    }
    if (bars.batch_was_measured) {
        bar_row("int3-batch, 1..256", "within 20 %", bars.flat_percent,
                bars.flat_percent <= FLAT_PERCENT_MOST);
        bar_row("qword beats int3-batch", "2.5 times", bars.qword_ratio,
                bars.qword_ratio >= QWORD_RATIO_LEAST);
    }
    if (bars.naive_was_measured) {
        bar_row("naive across a line", "fails (per million)", bars.naive_bad, bars.naive_bad > 0);
    }
    if (bars.batch_updates > 0) {
        bar_row("int3-batch, bad", "0 in 10 million", (double)bars.batch_bad,
                bars.batch_bad == 0 && bars.batch_updates >= UPDATES_LEAST);
    }
    if (bars.qword_updates > 0) {
        bar_row("qword, bad", "0 in 10 million", (double)bars.qword_bad,
                bars.qword_bad == 0 && bars.qword_updates >= UPDATES_LEAST);
    }
}
