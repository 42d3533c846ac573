// SPDX-License-Identifier: MIT
/* What the rows of the table of dispatchers say about the bars. Invariant: a row that lacks a
 * figure makes the bars "not measured", and changes none of them. See measure.h. */
#include "tests/silicon/measure.h"

enum { PREDICTABLE_ENTRIES = 16 };

static void range_take(double *least, double *most, double value)
{
    if (*least == 0 || value < *least) {
        *least = value;
    }
    if (value > *most) {
        *most = value;
    }
}

/* Targets that a branch predictor knows: always the same, or in turn. */
static void predictable_take(struct dispatch_bars *dispatch, const struct dispatch_figures *figures)
{
    double ratio = figures->retpoline / figures->automatic;

    if (figures->entries > PREDICTABLE_ENTRIES) {
        return;
    }
    if (figures->traffic == DISPATCH_TRAFFIC_FIRST || figures->traffic == DISPATCH_TRAFFIC_LAST) {
        range_take(&dispatch->constant_least, &dispatch->constant_most, figures->automatic);
    } else if (figures->traffic == DISPATCH_TRAFFIC_ROUND_ROBIN) {
        range_take(&dispatch->in_turn_least, &dispatch->in_turn_most, figures->automatic);
    } else {
        return;
    }
    if (dispatch->retpoline_ratio == 0 || ratio < dispatch->retpoline_ratio) {
        dispatch->retpoline_ratio = ratio;
    }
}

static void worst_take(struct dispatch_worst *worst, double value, double reference,
                       const struct dispatch_figures *figures)
{
    double percent = (value / reference - 1) * 100;

    if (worst->entries == 0 || percent > worst->percent) {
        *worst = (struct dispatch_worst){percent, figures->entries, figures->traffic};
    }
}

void dispatch_bars_add(const struct dispatch_figures *figures)
{
    struct dispatch_bars *dispatch = &bars.dispatch;
    bool is_whole = figures->retpoline > 0 && figures->automatic > 0 && figures->best > 0;

    dispatch->rows++;
    if (!is_whole) {
        dispatch->has_gaps = true;
        return;
    }
    predictable_take(dispatch, figures);
    worst_take(&dispatch->best, figures->automatic, figures->best, figures);
    worst_take(&dispatch->retpoline, figures->automatic, figures->retpoline, figures);
    if (figures->traffic == DISPATCH_TRAFFIC_MISS && figures->entries == DISPATCHER_ENTRY_MAX) {
        worst_take(&dispatch->full_miss, figures->automatic, figures->retpoline, figures);
    }
}
