// SPDX-License-Identifier: MIT
/* Platform functions, faults and log of the recorder; what a CPU may fetch is in watcher.c.
 * Invariant: one thread; text changes only between open and close. */
#include "tests/host/recorder.h"

#include "patching/platform.h"
#include "tests/host/host_test.h"
#include "tests/host/watcher.h"

#include <string.h>

enum { LOG_SIZE = 64 * 1024 };

uint8_t recorder_arena[RECORDER_ARENA_SIZE] __attribute__((aligned(4096)));
struct recorder recorder;

static char log_text[LOG_SIZE];
static size_t log_length;
static bool text_is_open;
static bool lock_is_held;
static bool change_lock_is_held;
static bool cpus_are_stopped;
static uint64_t ticks;

static void log_call(char call)
{
    assert_true(log_length + 1 < LOG_SIZE);
    log_text[log_length++] = call;
    log_text[log_length] = '\0';
}

const char *recorder_log(void)
{
    return log_text;
}

void recorder_reset(void)
{
    memset(&recorder, 0, sizeof(recorder));
    recorder.may_patch = true;
    recorder.cpus = 4;
    recorder.text_start = (uint64_t)recorder_arena;
    recorder.text_end = recorder.text_start + sizeof(recorder_arena);
    memset(recorder_arena, 0xf4, sizeof(recorder_arena));
    memset(patch_trap_cpus, 0, sizeof(patch_trap_cpus));
    log_length = 0;
    log_text[0] = '\0';
    text_is_open = false;
    lock_is_held = false;
    change_lock_is_held = false;
    cpus_are_stopped = false;
    watcher_reset();
}

bool recorder_trap(unsigned cpu, uint64_t address, struct patch_registers *registers)
{
    unsigned interrupted_cpu = recorder.cpu;

    recorder.cpu = cpu;
    registers->ip = address + 1;

    bool resolved = patch_breakpoint_handle(registers);

    recorder.cpu = interrupted_cpu;
    return resolved;
}

bool recorder_trap_signal(unsigned cpu, ucontext_t *context)
{
    greg_t *machine = context->uc_mcontext.gregs;
    struct patch_registers registers = {
        .sp = (uint64_t)machine[REG_RSP],
        .flags = (uint64_t)machine[REG_EFL],
        .ax = (uint64_t)machine[REG_RAX],
    };
    bool resolved = recorder_trap(cpu, (uint64_t)machine[REG_RIP] - 1, &registers);

    machine[REG_RIP] = (greg_t)registers.ip;
    machine[REG_RSP] = (greg_t)registers.sp;
    machine[REG_EFL] = (greg_t)registers.flags;
    machine[REG_RAX] = (greg_t)registers.ax;
    return resolved;
}

bool platform_text_is_patchable(const void *address, size_t length)
{
    uint64_t start = (uint64_t)address;

    return start >= recorder.text_start && start <= recorder.text_end &&
           length <= recorder.text_end - start;
}

void platform_text_open(void)
{
    assert_false(text_is_open);
    text_is_open = true;
    log_call('(');
    if (recorder.on_open != NULL) {
        recorder.on_open();
    }
}

void platform_text_close(void)
{
    assert_true(text_is_open);
    text_is_open = false;
    log_call(')');
}

static size_t bytes_that_arrive(size_t length, bool fails)
{
    if (!fails || recorder.fault == FAULT_ALL_WRITTEN) {
        return length;
    }
    return recorder.fault == FAULT_HALF_WRITTEN ? length / 2 : 0;
}

/* Counts a write; tells whether it is one that shall fail. */
static bool write_fails(void)
{
    unsigned number = ++recorder.writes;

    return recorder.fail_write != 0 &&
           (number == recorder.fail_write ||
            (recorder.fail_later_writes && number > recorder.fail_write));
}

bool platform_text_write(void *address, const void *bytes, size_t length)
{
    bool fails = write_fails();

    assert_true(text_is_open);
    log_call('w');
    for (size_t i = 0; i < bytes_that_arrive(length, fails); i++) {
        ((uint8_t *)address)[i] = ((const uint8_t *)bytes)[i];
        watcher_note_byte((uint64_t)address + i);
    }
    return !fails;
}

bool platform_text_write_quadword(uint64_t *address, uint64_t value)
{
    uint64_t old_value = *address;
    bool fails = write_fails();

    assert_true(text_is_open);
    assert_int_equal((uint64_t)address % sizeof(*address), 0);
    log_call('q');
    if (bytes_that_arrive(sizeof(value), fails) == sizeof(value)) { /* a store is not torn */
        *address = value;
        watcher_note_quadword((uint64_t)address, old_value);
    }
    return !fails;
}

/* Counts a round; tells whether all CPUs take part. */
static bool begin_round(struct platform_round *round)
{
    bool silent = ++recorder.rounds >= recorder.silent_round && recorder.silent_round != 0;

    round->ipis = recorder.cpus - 1;
    round->silent_cpu = silent ? RECORDER_SILENT_CPU : 0;
    return !silent;
}

bool platform_sync_cores(struct platform_round *round)
{
    bool all_answer = begin_round(round);

    assert_false(text_is_open || cpus_are_stopped);
    log_call('S');
    if (recorder.on_sync != NULL) {
        recorder.on_sync();
    }
    if (all_answer) {
        watcher_note_sync();
    }
    return all_answer;
}

bool platform_stop_cpus(struct platform_round *round)
{
    assert_false(text_is_open || cpus_are_stopped);
    log_call('[');
    cpus_are_stopped = begin_round(round);
    watcher_note_stop(cpus_are_stopped);
    return cpus_are_stopped;
}

void platform_release_cpus(void)
{
    assert_true(cpus_are_stopped && !text_is_open);
    log_call(']');
    cpus_are_stopped = false;
    watcher_note_stop(false);
    watcher_note_sync();
}

void platform_step_reached(enum patch_step step, enum patch_moment moment)
{
    assert_false(text_is_open);
    if (recorder.on_step != NULL) {
        recorder.on_step(step, moment);
    }
}

void recorder_expect_synced(void)
{
    watcher_expect_synced();
}

void platform_lock(void)
{
    assert_false(lock_is_held);
    assert_true(recorder.may_patch);
    if (recorder.on_lock != NULL) {
        recorder.on_lock();
    }
    lock_is_held = true;
    watcher_note_lock();
}

void platform_unlock(void)
{
    assert_true(lock_is_held);
    lock_is_held = false;
}

bool platform_lock_is_held(void)
{
    return lock_is_held;
}

void platform_change_lock(void)
{
    assert_false(change_lock_is_held);
    assert_false(lock_is_held); /* it comes before the patch lock */
    assert_true(recorder.may_patch);
    change_lock_is_held = true;
}

void platform_change_unlock(void)
{
    assert_true(change_lock_is_held);
    change_lock_is_held = false;
}

bool platform_change_lock_is_held(void)
{
    return change_lock_is_held;
}

bool platform_synchronize(void)
{
    assert_false(lock_is_held || text_is_open || cpus_are_stopped);
    assert_true(recorder.may_patch);
    recorder.synchronizes++;
    log_call('G');
    if (recorder.on_synchronize != NULL) {
        recorder.on_synchronize();
    }
    return !recorder.synchronize_fails;
}

bool platform_may_patch(void)
{
    return recorder.may_patch;
}

unsigned platform_cpu_index(void)
{
    return recorder.cpu;
}

bool platform_request_work(void)
{
    recorder.work_requests++;
    return !recorder.has_no_worker;
}

unsigned platform_cpu_count(void)
{
    return recorder.cpus;
}

unsigned platform_cpu_possible(void)
{
    return PATCH_CPU_MAX;
}

uint64_t platform_time_ticks(void)
{
    return ticks += 10;
}

void recorder_time_pass(uint64_t more)
{
    ticks += more;
}

uint64_t platform_ticks_to_ns(uint64_t count)
{
    return count * 2;
}

uint64_t platform_wall_ns(void)
{
    return 1000000;
}

bool platform_quadword_is_fetched_whole(void)
{
    return !recorder.fetches_bytewise;
}

bool platform_text_needs_refresh(void)
{
    return recorder.text_needs_refresh;
}

void platform_relax(void)
{
    recorder.relaxes++;
    assert_true(recorder.relaxes < 1000);
    if (recorder.on_relax != NULL) {
        recorder.on_relax();
    }
}

_Noreturn void platform_fatal_silent_cpu(unsigned cpu)
{
    recorder.fatal_cpu = cpu;
    platform_fatal("silent CPU", NULL, cpu, 0);
}

_Noreturn void platform_fatal(const char *what, const void *address, uint64_t expected,
                              uint64_t actual)
{
    recorder.fatal_what = what;
    recorder.fatal_address = address;
    if (recorder.on_fatal != NULL) {
        longjmp(*recorder.on_fatal, 1);
    }
    fail_msg("fatal: %s at %p: expected %#lx, actual %#lx", what, address, (unsigned long)expected,
             (unsigned long)actual);
    abort();
}
