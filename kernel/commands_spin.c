// SPDX-License-Identifier: MIT
/* The `spin` command: keeps a CPU busy, or deaf to interrupts, for a while, so that what others do
 * meanwhile can be seen. Invariant: one spinning thread a CPU at most; it ends by itself. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "kernel/console.h"
#include "kernel/grace_period.h"
#include "kernel/options.h"
#include "kernel/shell.h"
#include "kernel/table.h"
#include "kernel/thread.h"

#define SPIN_MS_MAX 50000 /* below the 60 s after which a cross call to a deaf CPU is a panic */

static struct spin {
    struct thread *thread; /* NULL: none that was not joined */
    uint64_t end_ns;       /* written before the thread starts */
    bool no_interrupts;    /* likewise */
    bool started;          /* atomic */
    bool ended;            /* atomic */
} spins[CPU_MAX];

static void spin_thread(void *argument)
{
    struct spin *spin = argument;
    uint64_t flags = spin->no_interrupts ? interrupts_save() : 0;

    /* Release: pairs with the acquire in spin_start(): the command returns to a CPU that spins. */
    __atomic_store_n(&spin->started, true, __ATOMIC_RELEASE);
    while (clock_now_ns() < spin->end_ns) {
        thread_checkpoint();
        cpu_relax();
    }
    interrupts_restore(flags);
    __atomic_store_n(&spin->ended, true, __ATOMIC_RELEASE); /* pairs with spins_join_ended() */
}

static void spins_join_ended(void)
{
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        struct spin *spin = &spins[cpu];

        if (spin->thread != NULL && __atomic_load_n(&spin->ended, __ATOMIC_ACQUIRE)) {
            thread_join(spin->thread);
            spin->thread = NULL;
        }
    }
}

static uint64_t spin_left_ms(const struct spin *spin)
{
    uint64_t now_ns = clock_now_ns();

    return now_ns < spin->end_ns ? (spin->end_ns - now_ns) / 1000000 : 0;
}

static bool spin_start(unsigned cpu, uint64_t ms, bool no_interrupts)
{
    struct spin *spin = &spins[cpu];

    *spin = (struct spin){.end_ns = clock_now_ns() + ms * 1000000, .no_interrupts = no_interrupts};
    spin->thread = thread_create("spin", cpu, spin_thread, spin);
    if (spin->thread == NULL) {
        console_print("spin: out of memory for a thread\n");
        return false;
    }
    while (!__atomic_load_n(&spin->started, __ATOMIC_ACQUIRE)) {
        thread_sleep_ns(100000);
    }
    return true;
}

static void spins_print(bool json)
{
    struct table table;

    table_begin(&table, "spin", json);
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        if (spins[cpu].thread == NULL) {
            continue;
        }
        table_row(&table);
        table_number(&table, "cpu", 3, cpu);
        table_number(&table, "left_ms", 7, spin_left_ms(&spins[cpu]));
        table_bool(&table, "interrupts", 10, !spins[cpu].no_interrupts);
        table_end_row(&table);
    }
    table_end(&table);
}

/* Reads "CPU MS"; says which word is wrong. */
static bool read_words(char **argv, uint64_t *cpu, uint64_t *ms)
{
    if (!options_read_number(argv[1], cpu) || *cpu >= CPU_MAX || !cpu_index_is_online(*cpu)) {
        console_print("spin: '%s' is not the number of a CPU that is online (0 to %u)\n", argv[1],
                      cpu_present_count() - 1);
        return false;
    }
    if (!options_read_number(argv[2], ms) || *ms == 0 || *ms > SPIN_MS_MAX) {
        console_print("spin: '%s' is not a number of ms from 1 to %u\n", argv[2], SPIN_MS_MAX);
        return false;
    }
    return true;
}

static enum command_result spin_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    bool no_interrupts = false;
    uint64_t cpu, ms;
    const struct option options[] = {
        OPTION_JSON(&json),
        OPTION_FLAG("--no-interrupts", &no_interrupts),
    };

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 2)) {
        return COMMAND_USAGE;
    }
    if (argc == 2 || (argc == 1 && no_interrupts)) {
        console_print("spin: argument missing\n");
        return COMMAND_USAGE;
    }
    spins_join_ended();
    if (argc == 3) {
        if (!read_words(argv, &cpu, &ms)) {
            return COMMAND_USAGE;
        }
        if (spins[cpu].thread != NULL) {
            console_print("spin: cpu %u spins already, for another %llu ms\n", (unsigned)cpu,
                          (unsigned long long)spin_left_ms(&spins[cpu]));
            return COMMAND_FAILED;
        }
        if (!spin_start((unsigned)cpu, ms, no_interrupts)) {
            return COMMAND_FAILED;
        }
    }
    spins_print(json);
    return COMMAND_OK;
}

const struct shell_command command_spin = {
    .name = "spin",
    .summary = "keep a CPU busy, or deaf to interrupts, for a while",
    .usage = "spin [CPU MS [--no-interrupts]] [-j]",
    .example = "spin 1 3000 --no-interrupts; key bench_4 on",
    .details =
        "Goes on in the background; without arguments lists the CPUs that spin. A flip waits for\n"
        "a CPU with interrupts off for sync_timeout_ms= of the kernel command line (10000 if not\n"
        "given), then puts the text back and names the CPU. On the shell's own CPU the shell\n"
        "shares its time, or waits.",
    .run = spin_run,
};
