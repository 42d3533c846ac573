// SPDX-License-Identifier: MIT
/* `silicon`: what patching costs on this machine's real CPU, and how wrong protocols break there.
 * Invariant: everything runs in this process, on the live platform of tests/host; nothing of the
 * machine is changed. Called by: `make silicon`, test_silicon.py. */
#include "tests/host/live.h"
#include "patching/dynamic_call.h"
#include "patching/function_trace.h"
#include "patching/lazy_call.h"
#include "patching/static_call.h"
#include "patching/static_key.h"
#include "tests/silicon/executor.h"
#include "tests/silicon/machine.h"
#include "tests/silicon/measure.h"
#include "tests/silicon/options.h"
#include "tests/silicon/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATCHER_CPU = 0 };

static const struct {
    const char *name;
    void (*run)(void);
} measurements[] = {
    {"sync", measure_sync},         {"batch", measure_batch},     {"calls", measure_calls},
    {"dispatch", measure_dispatch}, {"dyncall", measure_dyncall}, {"keys", measure_keys},
    {"paravirt", measure_paravirt}, {"handler", measure_handler}, {"broken", measure_broken},
};

enum { MEASUREMENTS = sizeof(measurements) / sizeof(measurements[0]) };

/* Returns NULL, or what is missing here. */
static const char *initialize(void)
{
    struct patch_error error;
    const char *why_not = machine_initialize();

    if (why_not == NULL) {
        why_not = live_initialize();
    }
    if (why_not == NULL) {
        why_not = pool_initialize();
    }
    if (why_not == NULL && static_key_initialize(NULL) != PATCH_OK) {
        why_not = "the static keys of this program cannot be initialized";
    }
    if (why_not == NULL && static_call_initialize(NULL) != PATCH_OK) {
        why_not = "the static calls of this program cannot be initialized";
    }
    if (why_not == NULL && dynamic_call_initialize(NULL) != PATCH_OK) {
        why_not = "the dynamic calls of this program cannot be initialized";
    }
    if (why_not == NULL && lazy_call_initialize(NULL) != PATCH_OK) {
        why_not = "the lazy calls of this program cannot be initialized";
    }
    if (why_not == NULL && function_trace_initialize(&error) != PATCH_OK) {
        why_not = "the function entries of this program cannot be initialized";
    }
    if (why_not == NULL && executor_initialize() != 0) {
        why_not = "no handlers for SIGILL and SIGSEGV";
    }
    return why_not;
}

static void run_all(void)
{
    uint64_t stolen = machine_stolen_ms();

    machine_report();
    if (machine_cpu_count() < 2) {
        report_note("one CPU: nobody executes the sites while they change");
    }
    for (unsigned i = 0; i < MEASUREMENTS; i++) {
        if (options.only == NULL || strcmp(options.only, measurements[i].name) == 0) {
            measurements[i].run();
        }
    }
    bars_report();
    report_begin("silicon.stolen", "Stolen by the hypervisor meanwhile, all CPUs");
    report_count("stolen_ms", machine_stolen_ms() - stolen);
    report_row();
}

int main(int count, char **words)
{
    const char *names[MEASUREMENTS + 1] = {0};
    const char *why_not;

    if (fcntl(STDOUT_FILENO, F_GETFD) < 0) { /* the next file opened would take its place */
        fprintf(stderr, "silicon: cannot write to stdout: it is closed\n");
        return 1;
    }
    for (unsigned i = 0; i < MEASUREMENTS; i++) {
        names[i] = measurements[i].name;
    }
    options_parse(count, words, names);
    why_not = initialize();
    if (why_not != NULL) {
        fprintf(stderr, "silicon: %s\n", why_not);
        return 1;
    }
    live_enter_cpu(PATCHER_CPU);
    run_all();
    report_flush();
    return 0;
}
