// SPDX-License-Identifier: MIT
/* The live platform itself, before it is trusted with races: text is not writable in place, what is
 * missing on the host is named, a parked thread stands still, one that cannot be parked is named,
 * and every generated site returns what it should: old, new, and emulated while int3 stands there.
 * The last runs each site by hold points, so it does not depend on luck as test_live.c does. Could
 * miss what only happens while another CPU writes. */
#include "patching/platform.h"
#include "patching/poke.h"
#include "patching/trap_statistics.h"
#include "tests/host/host_test.h"
#include "tests/host/live.h"
#include "tests/host/live_sites.h"
#include "tests/host/live_stop.h"
#include "tests/host/live_text.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SITES_MAX = 512,
    PATCHER_CPU = 0,
    RUNNER_CPU = 1,
    PARKED_LOOK_NS = 2000000,
    SILENT_LIMIT_NS = 50000000,
};

static struct live_site sites[SITES_MAX];
static size_t site_count;
static struct patch_batch batch;

static uint64_t runner_count; /* written by the runner, read by anybody: the two functions below */
static unsigned runner_stop;  /* atomic, as the next */
static unsigned runner_mask;  /* keeps the stop signal blocked */

/* Refuses membarrier() in this process from now on, as an old kernel would. */
static int refuse_membarrier(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_COUNT(filter), .filter = filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0
               ? 0
               : -1;
}

/* Returns 0 if live_initialize() names what is missing and left text alone. */
static int initialize_without_membarrier(void)
{
    const char *why_not;

    if (refuse_membarrier() != 0) {
        return 1;
    }
    why_not = live_initialize();
    if (why_not == NULL || strstr(why_not, "membarrier(") == NULL ||
        strstr(why_not, "Linux 4.16") == NULL) {
        return 2;
    }
    return live_text_writable((const void *)(uintptr_t)initialize_without_membarrier, 1) == NULL
               ? 0
               : 3;
}

/* Called before live_initialize(), in a process of its own. */
static int missing_membarrier_status = -1;

static void try_without_membarrier(void)
{
    pid_t child = fork();

    if (child == 0) {
        _exit(initialize_without_membarrier());
    }
    if (child > 0) {
        waitpid(child, &missing_membarrier_status, 0);
    }
}

static void missing_membarrier_is_named_and_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(missing_membarrier_status, 0);
}

/* The permissions ("r-xs") of the mapping that holds @address. */
static void mapping_find(const void *address, char permissions[5])
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];

    strcpy(permissions, "none");
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long start;
        unsigned long end;
        char found[5];

        if (sscanf(line, "%lx-%lx %4s", &start, &end, found) == 3 && (uint64_t)address >= start &&
            (uint64_t)address < end) {
            memcpy(permissions, found, sizeof(found));
        }
    }
    fclose(maps);
}

static void text_is_never_writable_at_its_own_address(void **state)
{
    const void *texts[] = {(const void *)(uintptr_t)text_is_never_writable_at_its_own_address,
                           (const void *)sites[0].address};
    char permissions[5];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        mapping_find(texts[i], permissions);
        assert_string_equal(permissions, "r-xs");
        mapping_find(live_text_writable(texts[i], 1), permissions);
        assert_string_equal(permissions, "rw-s");
    }
    assert_false(platform_text_is_patchable(&batch, 1));
    assert_false(platform_text_is_patchable((const void *)sites[0].address, 1ul << 40));
}

/* Runs every site; returns how many do not return what state @state returns. */
static size_t sites_wrong(unsigned state)
{
    size_t wrong = 0;

    for (size_t i = 0; i < site_count; i++) {
        uint32_t result = sites[i].run();

        if (result != sites[i].results[state]) {
            print_message("site %zu: %#x, not %#x\n", i, result, sites[i].results[state]);
            wrong++;
        }
    }
    return wrong;
}

static void sites_add(unsigned state)
{
    patch_batch_initialize(&batch, "all sites");
    batch.protocol = PATCH_PROTOCOL_INT3_BATCH;
    for (size_t i = 0; i < site_count; i++) {
        assert_int_equal(live_site_add(&batch, &sites[i], state), PATCH_OK);
    }
}

static unsigned wanted_state;
static size_t wrong_in_hold;
static unsigned holds;

static void run_sites_in_hold(enum patch_step step, enum patch_moment moment)
{
    if (moment == PATCH_MOMENT_SYNCED && step != PATCH_STEP_FIRST) {
        holds++;
        wrong_in_hold += sites_wrong(wanted_state);
    }
}

static void every_site_is_emulated_as_its_new_instruction_while_int3_stands(void **state)
{
    (void)state;
    for (unsigned flip = 0; flip < 4; flip++) {
        uint64_t traps = patch_traps_emulated_total();

        wanted_state = 1 - flip % 2;
        holds = 0;
        assert_int_equal(sites_wrong(1 - wanted_state), 0);
        sites_add(wanted_state);
        live_set_hold(run_sites_in_hold);
        assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
        live_set_hold(NULL);
        assert_int_equal(holds, 2);
        assert_int_equal(wrong_in_hold, 0);
        assert_int_equal(patch_traps_emulated_total() - traps, 2 * site_count);
        assert_int_equal(sites_wrong(wanted_state), 0);
    }
}

/* Assembler, because ThreadSanitizer's atomics take locks of its own, and a thread may be parked
 * while it holds one. */
static void runner_count_increment(void)
{
    __asm__ volatile("incq %0" : "+m"(runner_count)::"cc");
}

static uint64_t runner_count_read(void)
{
    uint64_t count;

    __asm__ volatile("mov %1, %0" : "=r"(count) : "m"(runner_count));
    return count;
}

static void *run_and_count(void *argument)
{
    sigset_t mask;

    (void)argument;
    sigemptyset(&mask);
    sigaddset(&mask, LIVE_STOP_SIGNAL);
    if (__atomic_load_n(&runner_mask, __ATOMIC_ACQUIRE)) {
        pthread_sigmask(SIG_BLOCK, &mask, NULL);
    }
    live_enter_cpu(RUNNER_CPU);
    while (!__atomic_load_n(&runner_stop, __ATOMIC_ACQUIRE)) {
        sites[0].run();
        runner_count_increment();
    }
    if (__atomic_load_n(&runner_mask, __ATOMIC_ACQUIRE)) {
        pthread_sigmask(SIG_UNBLOCK, &mask, NULL); /* the late signal comes here */
    }
    live_leave_cpu();
    return NULL;
}

static void wait_until_it_runs(void)
{
    uint64_t count = runner_count_read();

    while (runner_count_read() == count) {
        sched_yield();
    }
}

static pthread_t runner_start(bool is_deaf)
{
    pthread_t runner;

    __atomic_store_n(&runner_mask, is_deaf, __ATOMIC_RELEASE);
    __atomic_store_n(&runner_stop, 0, __ATOMIC_RELEASE);
    assert_int_equal(pthread_create(&runner, NULL, run_and_count, NULL), 0);
    wait_until_it_runs();
    return runner;
}

static void runner_end(pthread_t runner)
{
    __atomic_store_n(&runner_stop, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(runner, NULL), 0);
}

static uint64_t moved_while_parked;

static void watch_runner(enum patch_step step, enum patch_moment moment)
{
    const struct timespec pause = {.tv_nsec = PARKED_LOOK_NS};
    uint64_t before = runner_count_read();

    (void)step;
    (void)moment;
    nanosleep(&pause, NULL);
    moved_while_parked += runner_count_read() - before;
}

static enum patch_status stop_and_flip(unsigned state)
{
    patch_batch_initialize(&batch, "stop");
    batch.protocol = PATCH_PROTOCOL_STOP;
    assert_int_equal(live_site_add(&batch, &sites[0], state), PATCH_OK);
    return patch_batch_apply(&batch);
}

static void parked_thread_executes_nothing_until_it_is_released(void **state)
{
    pthread_t runner = runner_start(false);

    (void)state;
    live_set_hold(watch_runner);
    for (unsigned flip = 0; flip < 20; flip++) {
        assert_int_equal(stop_and_flip(1 - flip % 2), PATCH_OK);
        assert_int_equal(batch.record.rounds, 1);
        assert_int_equal(batch.record.ipis, 1);
        wait_until_it_runs();
    }
    live_set_hold(NULL);
    runner_end(runner);
    assert_int_equal(moved_while_parked, 0);
}

static void thread_that_cannot_be_parked_is_named_and_nobody_stays_parked(void **state)
{
    pthread_t runner = runner_start(true);

    (void)state;
    live_stop_set_limit(SILENT_LIMIT_NS);
    assert_int_equal(stop_and_flip(1), PATCH_ERR_SILENT_CPU);
    assert_int_equal(batch.error.cpu, RUNNER_CPU);
    assert_int_equal(sites[0].run(), sites[0].results[0]);
    wait_until_it_runs();
    runner_end(runner); /* it takes the late signal, and ends all the same */
}

static int group_setup(void **state)
{
    const char *why_not;

    (void)state;
    try_without_membarrier();
    why_not = live_initialize();
    if (why_not == NULL) {
        why_not = live_sites_initialize();
    }
    if (why_not != NULL) {
        print_message("%s\n", why_not);
        return -1;
    }
    live_enter_cpu(PATCHER_CPU);
    site_count = live_sites_make_all(sites, SITES_MAX);
    return site_count > 0 ? 0 : -1;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(missing_membarrier_is_named_and_changes_nothing),
    cmocka_unit_test(text_is_never_writable_at_its_own_address),
    cmocka_unit_test(every_site_is_emulated_as_its_new_instruction_while_int3_stands),
    cmocka_unit_test(parked_thread_executes_nothing_until_it_is_released),
    cmocka_unit_test(thread_that_cannot_be_parked_is_named_and_nobody_stays_parked),
};

HOST_TEST_MAIN(tests, group_setup)
