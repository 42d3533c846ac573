// SPDX-License-Identifier: MIT
/* Steps dynamic calls; see dynamic_pass.h. Invariant: what was decided is logged once, and so is a
 * lack of memory, until there is some again. Called by: choice_worker.c. */
#include "kernel/dynamic_pass.h"

#include "arch/clock.h"
#include "kernel/command_line.h"
#include "kernel/dispatch_command.h"
#include "kernel/dynamic_memory.h"
#include "kernel/format.h"
#include "kernel/log.h"
#include "kernel/options.h"
#include "kernel/patch_error_text.h"
#include "patching/dynamic_auto.h"

#define LOGGED_COUNT 128 /* dynamic calls; others go on without lines */
#define TARGETS_MAX  256

/* One caller at a time: what was logged. */
static struct {
    uint64_t decisions, refusals;
} logged[LOGGED_COUNT];
static bool is_short_of_memory;

/* " f 93.8%", in the order of the scores. */
static void scores_format(char text[TARGETS_MAX], const struct dynamic_decision *decision)
{
    size_t length = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < ARRAY_COUNT(decision->scores); i++) {
        const struct dynamic_row *score = &decision->scores[i];
        char name[SYMBOL_TEXT_MAX];

        if (score->target != 0 && decision->score_total != 0 && length < TARGETS_MAX) {
            unsigned permille = (unsigned)(score->calls * 1000 / decision->score_total);

            length += format_text(text + length, TARGETS_MAX - length, " %s %u.%u%%",
                                  dispatch_target_text(score->target, name), permille / 10,
                                  permille % 10);
        }
    }
}

static void decision_log(const char *name, const struct dynamic_decision *decision)
{
    char scores[TARGETS_MAX];

    scores_format(scores, decision);
    log_debug("dyncall %s: %s -> %s (%s), %u batches, %llu us:%s", name,
              dynamic_state_name(decision->before), dynamic_state_name(decision->after),
              dynamic_reason_name(decision->reason), decision->batches,
              (unsigned long long)decision->cost_ns / 1000, scores);
}

static void news_log(struct dynamic_call *call, unsigned index)
{
    static struct dynamic_decision decision; /* one caller at a time */
    struct dynamic_auto_view view;

    dynamic_auto_look(call, &view);
    while (logged[index].decisions < view.decided) {
        if (dynamic_auto_decision(call, ++logged[index].decisions, &decision)) {
            decision_log(call->name, &decision);
        }
    }
    if (logged[index].refusals < view.refused) {
        logged[index].refusals = view.refused;
        log_warning("dyncall %s: %s; change %llu that failed", call->name,
                    patch_status_text(view.refused_with), (unsigned long long)view.refused);
    }
}

/* Whoever has no memory yet asks again at each pass. */
static void memory_give(void)
{
    unsigned without = 0;
    struct dynamic_call *call;

    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        bool has_some = __atomic_load_n(&call->counts, __ATOMIC_RELAXED) != NULL;

        without += !has_some && !dynamic_memory_give(call);
    }
    if (without != 0 && !is_short_of_memory) {
        log_warning("no memory for the counts of %u dynamic calls: they do not learn", without);
    } else if (without == 0 && is_short_of_memory) {
        log_info("memory for the counts of all dynamic calls, behind %llu refusals",
                 (unsigned long long)dynamic_memory_refusals());
    }
    is_short_of_memory = without != 0;
}

uint64_t dynamic_pass_make(uint64_t next_ns)
{
    struct dynamic_call *call;

    memory_give();
    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        uint64_t due_ns = dynamic_auto_step(call, clock_now_ns());

        next_ns = due_ns < next_ns ? due_ns : next_ns;
        if (i < LOGGED_COUNT) {
            news_log(call, i);
        }
    }
    return next_ns;
}

static void call_start(struct dynamic_call *call, bool learns, enum dynamic_compare compare)
{
    struct patch_error error = {0};
    char text[PATCH_ERROR_TEXT_MAX];
    enum patch_status status = dynamic_auto_set_compare(call, compare, &error);

    if (status == PATCH_OK && learns) {
        status = dynamic_auto_set(call, true, clock_now_ns(), &error);
    }
    if (status != PATCH_OK) {
        log_warning("dyncall %s: %s", call->name, patch_error_text(&error, text));
    }
}

void dynamic_pass_start(void)
{
    static const char *const choices[] = {"off", "auto", NULL};
    const char *forms[DYNAMIC_COMPARE_COUNT + 1] = {NULL};
    uint64_t learns = true;
    uint64_t compare = DYNAMIC_COMPARE_IMMEDIATE;
    struct dynamic_call *call;

    for (enum dynamic_compare i = 0; i < DYNAMIC_COMPARE_COUNT; i++) {
        forms[i] = dynamic_compare_name(i);
    }
    command_line_get_choice("dyncall", choices, &learns);
    command_line_get_choice("dyncall_form", forms, &compare);
    memory_give();
    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        if (!call->is_by_hand) {
            call_start(call, learns != 0, (enum dynamic_compare)compare);
        }
    }
}
