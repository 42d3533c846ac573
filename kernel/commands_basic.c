// SPDX-License-Identifier: MIT
/* Shell commands about the machine's life: ver, cmdline, log, exit, reboot, panic. Invariant: each
 * checks all its words before it does anything. Listed in kernel/command_table.c. */
#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/nmi.h"
#include "arch/percpu.h"
#include "drivers/debug_exit.h"
#include "drivers/machine_reset.h"
#include "drivers/uart_raw.h"
#include "kernel/command_line.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/log.h"
#include "kernel/options.h"
#include "kernel/panic.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "kernel/table.h"
#include "kernel/version.h"

#define STOP_TIMEOUT_NS 1000000000ull

/* For commands whose only option is -j. */
static bool parse_json_only(int argc, char **argv, bool *json)
{
    const struct option options[] = {OPTION_JSON(json)};

    return options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0);
}

static bool parse_nothing(int argc, char **argv)
{
    return options_parse(NULL, 0, &argc, argv, 0, 0);
}

static enum command_result ver_run(struct shell_session *session, int argc, char **argv)
{
    bool json = false;
    struct table table;

    (void)session;
    if (!parse_json_only(argc, argv, &json)) {
        return COMMAND_USAGE;
    }
    table_begin(&table, "ver", json);
    table_row(&table);
    table_text(&table, "name", 0, "livetext");
    table_text(&table, "version", 0, LIVETEXT_VERSION);
    table_number(&table, "cpus", 4, cpu_count());
    table_text(&table, "apic", 6, apic_mode_name());
    table_number(&table, "tsc_hz", 11, clock_tsc_hz());
    table_text(&table, "clock", 10, clock_source_name());
    table_text(&table, "compiler", 0, __VERSION__);
    table_end_row(&table);
    table_end(&table);
    return COMMAND_OK;
}

const struct shell_command command_ver = {
    .name = "ver",
    .summary = "version, number of CPUs, APIC mode, clock",
    .usage = "ver [-j]",
    .example = "ver -j",
    .details = "cpus counts the CPUs that came up; tsc_hz is the time stamp counter's frequency;\n"
               "clock is what it was calibrated by: cpuid15, cpuid16, hypervisor, hpet or pit.",
    .run = ver_run,
};

static enum command_result cmdline_run(struct shell_session *session, int argc, char **argv)
{
    bool json = false;
    struct table table;

    (void)session;
    if (!parse_json_only(argc, argv, &json)) {
        return COMMAND_USAGE;
    }
    table_begin(&table, "cmdline", json);
    for (size_t i = 0; i < command_line_word_count(); i++) {
        const struct command_line_word *word = command_line_word(i);

        table_row(&table);
        table_text(&table, "name", 10, word->name);
        table_bool(&table, "known", 5, word->known);
        table_text(&table, "value", 0, word->value != NULL ? word->value : "");
        table_end_row(&table);
    }
    table_end(&table);
    return COMMAND_OK;
}

const struct shell_command command_cmdline = {
    .name = "cmdline",
    .summary = "the words of the kernel command line",
    .usage = "cmdline [-j]",
    .example = "cmdline",
    .details =
        "run=\"CMD; CMD\" runs commands after boot, loglevel=error|warning|info|debug is what\n"
        "the console shows of the log, cpus=N limits the CPUs that are started,\n"
        "protocol=NAME is the patch protocol to begin with, mitigation=NAME the body of the\n"
        "thunks, idle=halt|poll what a CPU does that has nothing to run, sync_timeout_ms=N\n"
        "how long a flip waits for a CPU that does not answer before it is given up (10000),\n"
        "grace_timeout_ms=N how long one waits for threads to leave old code (10000),\n"
        "pv=NAME and pv_form=FORM are what paravirt ops begin with (see 'help pv'),\n"
        "dispatch=auto|SHAPE how dispatchers call programs: what is fastest, or one shape,\n"
        "dyncall=off lets no dynamic call learn, dyncall_form=imm|mem is how they compare,\n"
        "ip=ADDRESS/BITS|dhcp|none is a NIC's address, with commas one of each in order,\n"
        "gw=ADDRESS the gateway.\n"
        "static_call_updates=N, dynamic_call_changes=N and paravirt_switches=N make the\n"
        "races of suites static_call, dynamic_torture and paravirt_torture that long,\n"
        "torture_ms=N is how long each case lasts that puts everything under fire.",
    .run = cmdline_run,
};

static void log_print_row(struct table *table, const struct log_record *record)
{
    table_row(table);
    table_number(table, "seq", 5, record->sequence);
    table_time(table, "time_ns", 14, record->time_ns);
    table_number(table, "cpu", 3, record->cpu);
    table_text(table, "level", 7, log_level_name((enum log_level)record->level));
    table_text(table, "text", 0, record->text);
    table_end_row(table);
}

static uint64_t log_count(uint64_t level, uint64_t end)
{
    struct log_record record;
    uint64_t sequence = 0;
    uint64_t count = 0;

    while (log_read(&sequence, &record) && record.sequence < end) {
        count += record.level <= level;
    }
    return count;
}

/* Lines that are written while we print do not count: the end is fixed first. */
static enum command_result log_run(struct shell_session *session, int argc, char **argv)
{
    bool json = false;
    uint64_t level = LOG_DEBUG;
    uint64_t lines = LOG_RING_RECORDS;
    const struct option options[] = {
        OPTION_JSON(&json),
        OPTION_CHOICE("-l", &level, log_level_names),
        OPTION_NUMBER("-n", &lines, 1, LOG_RING_RECORDS),
    };
    struct log_record record;
    struct table table;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    uint64_t end = log_next_sequence();
    uint64_t matching = log_count(level, end);
    uint64_t skip = matching > lines ? matching - lines : 0;
    uint64_t sequence = 0;

    table_begin(&table, "log", json);
    while (log_read(&sequence, &record) && record.sequence < end && !shell_interrupted(session)) {
        if (record.level > level) {
            continue;
        }
        if (skip > 0) {
            skip--;
        } else {
            log_print_row(&table, &record);
        }
    }
    table_end(&table);
    return COMMAND_OK;
}

static void log_complete(struct shell_completion *completion, int argument, char **argv)
{
    if (argv[argument - 1][0] == '-' && argv[argument - 1][1] == 'l') {
        shell_completion_offer_all(completion, log_level_names);
    }
}

const struct shell_command command_log = {
    .name = "log",
    .summary = "the newest lines of the kernel log",
    .usage = "log [-l error|warning|info|debug] [-n LINES] [-j]",
    .example = "log -l warning -n 20",
    .details =
        "-l leaves out what is less important; -n prints only the newest LINES, at most 512;\n"
        "times are since boot.",
    .run = log_run,
    .complete = log_complete,
};

/* Nothing of a finished machine runs on: other CPUs might hold on to what is being looked at. */
static _Noreturn void halt_machine(void)
{
    interrupts_disable();
    nmi_stop_others(STOP_TIMEOUT_NS);
    for (;;) {
        __asm__ volatile("hlt");
    }
}

static enum command_result exit_run(struct shell_session *session, int argc, char **argv)
{
    if (!parse_nothing(argc, argv)) {
        return COMMAND_USAGE;
    }
    uart_raw_drain();
    debug_exit(session->any_failed ? DEBUG_EXIT_FAILURE : DEBUG_EXIT_SUCCESS);
    console_print("exit: there is no debug-exit device here; halted, %s\n",
                  session->any_failed ? "some command failed" : "all commands succeeded");
    uart_raw_drain();
    halt_machine();
}

const struct shell_command command_exit = {
    .name = "exit",
    .summary = "end QEMU with the result of all commands, or halt",
    .usage = "exit",
    .example = "exit",
    .details = "QEMU's status is 33 if every command since boot succeeded, 35 if one failed.",
    .run = exit_run,
};

static enum command_result reboot_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    if (!parse_nothing(argc, argv)) {
        return COMMAND_USAGE;
    }
    console_print("rebooting\n");
    uart_raw_drain();
    machine_reset();
}

const struct shell_command command_reboot = {
    .name = "reboot",
    .summary = "reset the machine",
    .usage = "reboot",
    .example = "reboot",
    .run = reboot_run,
};

static enum command_result panic_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    if (!options_parse(NULL, 0, &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }
    panic("%s", argc > 1 ? argv[1] : "asked for by the shell");
}

const struct shell_command command_panic = {
    .name = "panic",
    .summary = "stop everything, as on an internal error",
    .usage = "panic [TEXT]",
    .example = "panic \"what it looks like\"",
    .details = "prints registers and the backtraces of all CPUs; QEMU ends with status 35.",
    .run = panic_run,
};
