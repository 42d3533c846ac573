// SPDX-License-Identifier: MIT
/* See machine.h. Called by: patching/, fuzz_batch.c. */
#include "tests/fuzz/machine.h"

#include "patching/breakpoint.h"
#include "patching/write_window.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/fetch.h"

#include <string.h>
#include <sys/mman.h>

enum { QUADWORD = sizeof(uint64_t) };

uint8_t *const arena = (uint8_t *)ARENA_ADDRESS;
struct machine machine;

static bool text_is_open, lock_is_held, change_lock_is_held, cpus_are_parked;
static bool in_trap; /* the handler runs: on another CPU, so text may be open */
static unsigned trap_cpu;
static unsigned window_writes;
static bool is_synced; /* no write since the last round */
static uint64_t ticks;

/* A block with every form: in the middle of a quadword, across two, at an odd address. */
void machine_fill(uint8_t *bytes)
{
    static const uint8_t forms[ARENA_BLOCK_SIZE] = {
        0x0f, 0x1f, 0x44, 0x00, 0x00,             /* 0: nop5 */
        0xeb, 0x02,                               /* 5: jmp rel8 */
        0xe9, 0x20, 0x00, 0x00, 0x00,             /* 7: jmp rel32, across a quadword */
        0x74, 0x04,                               /* 12: je rel8 */
        0x66, 0x90,                               /* 14: nop2 */
        0x0f, 0x85, 0x10, 0x00, 0x00, 0x00,       /* 16: jne rel32 */
        0xe8, 0x80, 0x00, 0x00, 0x00,             /* 22: call, across */
        0xc3, 0xcc, 0xcc,                         /* 27: ret3 */
        0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00,       /* 30: nop6, across */
        0x90,                                     /* 36 */
        0x2e, 0x2e, 0x2e, 0x31, 0xc0,             /* 37: return 0, across */
        0x0f, 0x1f, 0x00,                         /* 42: nop3 */
        0xc3,                                     /* 45 */
        0x0f, 0x1f, 0x40, 0x00,                   /* 46: nop4, across */
        0xc3, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,       /* 50: ret6 */
        0xe8, 0x00, 0x01, 0x00, 0x00,             /* 56: call */
        0x90, 0xc3, 0xcc,                         /* 61: nop1, ret2 */
        0x48, 0x81, 0xf8, 0,    1,    0,    0,    /* 64: cmp rax, 0x100 */
        0x0f, 0x1f, 0x80, 0,    0,    0,    0,    /* 71: nop7, across */
        0x48, 0x3b, 0x05, 0,    1,    0,    0,    /* 78: cmp rax, [rip + 0x100], across */
        0xc3, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,       /* 85: ret7, across */
        0xcc, 0x90, 0x90, 0x90, 0x90,             /* 92: nothing */
        0x48, 0x81, 0xf8, 0,    0,    0,    0x80, /* 96: cmp rax, -0x80000000 */
        0x2e, 0xe8, 0x00, 0x02, 0,    0,          /* 103: call, padded, across */
        0xff, 0x15, 0x40, 0x01, 0,    0,          /* 109: call [rip + 0x140], across; and nothing */
    };

    for (size_t i = 0; i < ARENA_FORMS_SIZE; i += sizeof(forms)) {
        memcpy(bytes + i, forms, sizeof(forms));
    }
    memset(bytes + ARENA_FORMS_SIZE, 0x90, ARENA_SIZE - ARENA_FORMS_SIZE);
}

void machine_reset(void)
{
    static bool is_mapped;

    if (!is_mapped) {
        void *mapped = mmap(arena, ARENA_SIZE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

        FUZZ_CHECK(mapped == arena, "no memory at %p", (void *)arena);
        is_mapped = true;
    }
    memset(&machine, 0, sizeof(machine));
    machine.may_patch = machine.fetches_quadwords = true;
    machine.cpus = 4;
    machine.possible_cpus = 6;
    machine.text_start = ARENA_ADDRESS;
    machine.text_end = ARENA_ADDRESS + ARENA_SIZE;
    machine_fill(arena);
}

void machine_begin(unsigned protocol, unsigned flags)
{
    machine.writes = machine.bytes = machine.failed_writes = 0;
    machine.rounds = machine.ipis = machine.failed_rounds = 0;
    machine.is_naive = protocol == PATCH_PROTOCOL_NAIVE;
    machine.allows_unsafe = flags & PATCH_ALLOW_UNSAFE;
    machine.end = END_NONE;
    is_synced = true;
}

void machine_finish(void)
{
    for (unsigned i = 0; i < PATCH_CPU_MAX; i++) {
        FUZZ_CHECK(machine.end != END_NONE || patch_trap_cpus[i].references == 0,
                   "CPU %u still has %u references", i, patch_trap_cpus[i].references);
        patch_trap_cpus[i].references = 0;
    }
    FUZZ_CHECK(machine.end != END_NONE ||
                   (!text_is_open && !lock_is_held && !change_lock_is_held && !cpus_are_parked),
               "left behind: text open %d, locked %d, change locked %d, parked %d", text_is_open,
               lock_is_held, change_lock_is_held, cpus_are_parked);
    text_is_open = lock_is_held = change_lock_is_held = cpus_are_parked = in_trap = false;
    machine.fail_write = machine.silent_round = 0;
}

bool machine_trap(unsigned cpu, uint64_t address, struct patch_registers *registers)
{
    registers->ip = address + 1;
    in_trap = true;
    trap_cpu = cpu;
    bool resolved = patch_breakpoint_handle(registers);
    in_trap = false;
    return resolved;
}

/* What every function but those of the text asks for. */
static void expect_text_closed(const char *function)
{
    FUZZ_CHECK(!text_is_open || in_trap, "%s while text is open", function);
}

static void expect_not_parked(const char *function)
{
    expect_text_closed(function);
    FUZZ_CHECK(!cpus_are_parked, "%s while CPUs are parked", function);
}

bool platform_text_is_patchable(const void *address, size_t length)
{
    uint64_t start = (uint64_t)address;

    expect_not_parked(__func__);
    return start >= machine.text_start && start <= machine.text_end &&
           length <= machine.text_end - start;
}

void platform_text_open(void)
{
    FUZZ_CHECK(!text_is_open && lock_is_held, "text opened: open %d, locked %d", text_is_open,
               lock_is_held);
    text_is_open = true;
    window_writes = 0;
}

void platform_text_close(void)
{
    FUZZ_CHECK(text_is_open, "text closed twice");
    text_is_open = false;
}

/* Counts a write; returns whether it is to fail. */
static bool write_fails(uint64_t address, size_t length)
{
    FUZZ_CHECK(text_is_open && ++window_writes <= PATCH_WINDOW_WRITES, "write %u, open %d",
               window_writes, text_is_open);
    FUZZ_CHECK(address >= ARENA_ADDRESS && address + length <= ARENA_ADDRESS + ARENA_SIZE,
               "write to %#llx", (unsigned long long)address);
    is_synced = false;
    machine.bytes += (unsigned)length;

    unsigned number = ++machine.writes;
    bool fails = machine.fail_write != 0 && number >= machine.fail_write &&
                 number - machine.fail_write < machine.fail_writes;

    machine.failed_writes += fails;
    return fails;
}

bool platform_text_write(void *address, const void *bytes, size_t length)
{
    uint64_t start = (uint64_t)address;
    bool fails = write_fails(start, length);
    size_t arriving = !fails || machine.fault == FAULT_ALL_WRITTEN ? length
                      : machine.fault == FAULT_HALF_WRITTEN        ? length / 2
                                                                   : 0;

    for (size_t i = 0; i < arriving; i++) {
        fetch_note_byte(start + i, ((const uint8_t *)bytes)[i], cpus_are_parked);
    }
    return !fails;
}

bool platform_text_write_quadword(uint64_t *address, uint64_t value)
{
    uint64_t start = (uint64_t)address;
    bool fails = write_fails(start, QUADWORD);

    FUZZ_CHECK(start % QUADWORD == 0, "quadword at %#llx", (unsigned long long)start);
    FUZZ_CHECK(machine.fetches_quadwords || machine.allows_unsafe,
               "quadword at %#llx, which a CPU may fetch in parts", (unsigned long long)start);
    if (!fails || machine.fault == FAULT_ALL_WRITTEN) { /* never half: one store */
        fetch_note_quadword(start, value);
    }
    return !fails;
}

bool platform_quadword_is_fetched_whole(void)
{
    expect_not_parked(__func__);
    return machine.fetches_quadwords;
}

bool platform_text_needs_refresh(void)
{
    expect_not_parked(__func__);
    return machine.needs_refresh;
}

/* Counts a round; returns whether a CPU stays silent. */
static bool round_fails(struct platform_round *round)
{
    unsigned number = ++machine.rounds;
    bool fails = machine.silent_round != 0 && number >= machine.silent_round &&
                 number - machine.silent_round < machine.silent_rounds;

    FUZZ_CHECK(lock_is_held, "round without the lock");
    round->ipis = machine.cpus - 1;
    machine.ipis += round->ipis;
    if (fails) {
        round->silent_cpu = machine.silent_cpu;
        machine.failed_rounds++;
    }
    return fails;
}

bool platform_sync_cores(struct platform_round *round)
{
    expect_not_parked(__func__);
    if (round_fails(round)) {
        return false;
    }
    fetch_note_sync();
    is_synced = true;
    return true;
}

bool platform_stop_cpus(struct platform_round *round)
{
    expect_not_parked(__func__);
    if (round_fails(round)) {
        return false;
    }
    cpus_are_parked = true;
    return true;
}

void platform_release_cpus(void)
{
    expect_text_closed(__func__);
    FUZZ_CHECK(cpus_are_parked, "CPUs released that were not parked");
    cpus_are_parked = false;
    fetch_note_sync();
}

void platform_step_reached(enum patch_step step, enum patch_moment moment)
{
    expect_text_closed(__func__);
    FUZZ_CHECK(lock_is_held && (unsigned)step < PATCH_STEPS, "step %u reached", step);
    FUZZ_CHECK(moment != PATCH_MOMENT_SYNCED || is_synced, "step %u is not synced", step);
    FUZZ_CHECK(moment != PATCH_MOMENT_WITHIN || machine.is_naive, "within a site");
    if (!cpus_are_parked && !machine.is_naive) {
        fetch_run_into_all();
    }
}

void platform_lock(void)
{
    expect_not_parked(__func__);
    FUZZ_CHECK(!lock_is_held && machine.may_patch, "lock: held %d, may patch %d", lock_is_held,
               machine.may_patch);
    lock_is_held = true;
}

void platform_unlock(void)
{
    expect_not_parked(__func__);
    FUZZ_CHECK(lock_is_held, "unlocked twice");
    lock_is_held = false;
}

bool platform_lock_is_held(void)
{
    return lock_is_held;
}

void platform_change_lock(void)
{
    expect_not_parked(__func__);
    FUZZ_CHECK(!change_lock_is_held && !lock_is_held && machine.may_patch,
               "change lock: held %d, patch lock %d, may patch %d", change_lock_is_held,
               lock_is_held, machine.may_patch);
    change_lock_is_held = true;
}

void platform_change_unlock(void)
{
    expect_not_parked(__func__);
    FUZZ_CHECK(change_lock_is_held, "change lock: unlocked twice");
    change_lock_is_held = false;
}

bool platform_change_lock_is_held(void)
{
    return change_lock_is_held;
}

/* The fuzzers' CPUs fetch and are gone: between two calls nobody stands in any code. */
bool platform_synchronize(void)
{
    expect_not_parked(__func__);
    FUZZ_CHECK(!lock_is_held && machine.may_patch, "grace period: patch lock %d, may patch %d",
               lock_is_held, machine.may_patch);
    return true;
}

bool platform_may_patch(void)
{
    expect_not_parked(__func__);
    return machine.may_patch;
}

unsigned platform_cpu_index(void)
{
    return in_trap ? trap_cpu : 0;
}

unsigned platform_cpu_count(void)
{
    return machine.cpus;
}

unsigned platform_cpu_possible(void)
{
    return machine.possible_cpus;
}

uint64_t platform_time_ticks(void)
{
    expect_not_parked(__func__);
    return ticks += 3;
}

uint64_t platform_ticks_to_ns(uint64_t count)
{
    return count;
}

uint64_t platform_wall_ns(void)
{
    return 1;
}

void platform_relax(void)
{
    FUZZ_FAIL("waits for a CPU, but none is in the handler");
}

static _Noreturn void stop(enum machine_end end, const char *what)
{
    FUZZ_CHECK(machine.on_end != NULL, "fatal outside a batch: %s", what);
    machine.end = end;
    longjmp(*machine.on_end, 1);
}

_Noreturn void platform_fatal(const char *what, const void *address, uint64_t expected,
                              uint64_t actual)
{
    (void)address;
    (void)expected;
    (void)actual;
    stop(END_FATAL, what);
}

_Noreturn void platform_fatal_silent_cpu(unsigned cpu)
{
    FUZZ_CHECK(cpu == machine.silent_cpu, "CPU %u named instead of %u", cpu, machine.silent_cpu);
    stop(END_FATAL_SILENT_CPU, "silent CPU");
}
