// SPDX-License-Identifier: MIT
/* Threads execute paravirt ops in a loop while one thread changes their ways and forms thousands of
 * times, on the real CPU. An odd change gives both ops another way, an even one another form; the
 * ways of an op can be told apart by what they do.
 *
 *     changer                                a thread
 *                                            before = finished (acquire)
 *     started = n (relaxed)
 *     transaction number n, returns          executes an op: which way was it?
 *     finished = n (release)
 *                                            after = started (acquire)
 *                                            it must be the way of one of before .. after
 *
 * Count_up is one increment of a counter of the thread's own, which another counts beside: an op
 * that is left out, done twice or half done shows at once. Read_flags leaves its result on the
 * stack: a stand-in that does not move its return address, or returns elsewhere, ends the program.
 * All other registers hold known values. The first batches are held while int3 stands, so that
 * threads run into it on any machine. Detects a wrong stand-in or emulation, a site that is not in
 * the batch, a slot that is not written, a change that returns too early. Could miss windows of a
 * few instructions, for which there is the recorder (test_stand_in). */
#include "patching/paravirt.h"

#include "patching/breakpoint.h"
#include "patching/paravirt_thunk.h"
#include "patching/trap_statistics.h"
#include "tests/host/host_test.h"
#include "tests/host/live.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#ifndef PARAVIRT_CHANGES /* fewer under the thread sanitizer: live.mk */
#define PARAVIRT_CHANGES 50000
#endif

enum {
    CHANGES = PARAVIRT_CHANGES,
    THREADS = 3,
    CHANGER_CPU = THREADS,
    WAYS = 3,
    HELD = 60, /* batches: several of each form and way */
    HELD_US = 200,
    INT3_EVERY = 32, /* 3 syncs a site */
    STOP_EVERY = 64, /* waits until every thread has been on a CPU */
    FLAGS = 0x8d5,   /* those that arithmetic sets */
    PUSHED_WORD = 42,
    WORD_FROM_C = 43,
};

enum op { COUNT_UP, READ_FLAGS, OPS };

/* One counter for each way of count_up; one thread's own. */
struct counters {
    uint32_t fill[3];
    uint32_t counts[WAYS];
};

/* The out-of-line function of an instruction, and its bytes. */
#define INSTRUCTION(name, text, body)                                                              \
    PARAVIRT_ASM_FUNCTION(name, body);                                                             \
    extern const uint8_t bytes_##name[], bytes_end_##name[];                                       \
    __asm__(".pushsection .rodata\nbytes_" #name ": " text "\nbytes_end_" #name ": .popsection")
#define WAY(name, text)                                                                            \
    {                                                                                              \
#name, name, text, bytes_##name, bytes_end_##name                                          \
    }

INSTRUCTION(count_first, "incl 12(%rdi)", "incl 12(%rdi)\n\tret\n\t");
INSTRUCTION(count_second, "incl 16(%rdi)", "incl 16(%rdi)\n\tret\n\t");
INSTRUCTION(flags_pushed, "pushfq", "push (%rsp)\n\tpushfq\n\tpop 8(%rsp)\n\tret\n\t");
INSTRUCTION(word_pushed, "push $42", "push (%rsp)\n\tpush $42\n\tpop 8(%rsp)\n\tret\n\t");

void count_in_c(struct counters *counters);
uint64_t read_in_c(void);

__attribute__((used)) void count_in_c(struct counters *counters)
{
    counters->counts[2]++;
}

__attribute__((used)) uint64_t read_in_c(void)
{
    return WORD_FROM_C;
}

PARAVIRT_THUNK(count_in_c);
PARAVIRT_THUNK_STACKED(read_in_c);

static const struct paravirt_way ways[OPS][WAYS] = {
    [COUNT_UP] = {WAY(count_first, "incl 12(%rdi)"),
                  WAY(count_second, "incl 16(%rdi)"),
                  {"count_in_c", paravirt_thunk_count_in_c, NULL, NULL, NULL}},
    [READ_FLAGS] = {WAY(flags_pushed, "pushfq"),
                    WAY(word_pushed, "push $42"),
                    {"read_in_c", paravirt_thunk_read_in_c, NULL, NULL, NULL}},
};
static struct paravirt_op ops[OPS] = {
    [COUNT_UP] = {.name = "count_up", .way = &ways[COUNT_UP][0]},
    [READ_FLAGS] = {.name = "read_flags", .way = &ways[READ_FLAGS][0]},
};
paravirt_function *test_slots[OPS] = {count_first, flags_pushed};

/* Atomic, all: */
static uint64_t started, finished;
static unsigned threads_stop, threads_ready;
static uint64_t executed, settled, counted, misses, lost_registers, lost_flags;

static const char *why_not;

/* What change number @number, and all before it, have led to. */
static unsigned way_behind(uint64_t number)
{
    return (unsigned)((number + 1) / 2 % WAYS);
}

/* So that every form meets every way; at first the one that does not heed the slot. */
static unsigned form_behind(uint64_t number)
{
    uint64_t forms = number / 2;

    return (unsigned)((PARAVIRT_INLINE + forms + forms / PARAVIRT_FORM_COUNT) %
                      PARAVIRT_FORM_COUNT);
}

static bool is_way_of(unsigned way, uint64_t first, uint64_t last)
{
    bool is = last - first >= 2 * WAYS;

    for (uint64_t number = first; number <= last && !is; number++) {
        is = way_behind(number) == way;
    }
    return is;
}

/* Executes count_up with known values in the registers; returns whether they are still there. */
__attribute__((always_inline)) static inline bool count_up_behind(unsigned fill,
                                                                  struct counters *counters)
{
    uint64_t base = (uint64_t)counters | 1;
    struct counters *argument = counters;
    register uint64_t r8 __asm__("r8") = base + 8;
    register uint64_t r9 __asm__("r9") = base + 9;
    register uint64_t r10 __asm__("r10") = base + 10;
    register uint64_t r11 __asm__("r11") = base + 11;
    register uint64_t r12 __asm__("r12") = base + 12;
    register uint64_t r13 __asm__("r13") = base + 13;
    uint64_t ax = base + 1, cx = base + 2, dx = base + 3, si = base + 4;

    __asm__ volatile(".skip %c[fill], 0x90\n\t" PARAVIRT_SITE(test_slots)
                     : "+D"(argument), "+a"(ax), "+c"(cx), "+d"(dx), "+S"(si), "+r"(r8), "+r"(r9),
                       "+r"(r10), "+r"(r11), "+r"(r12), "+r"(r13)
                     : [fill] "i"(fill), [op] "i"(COUNT_UP), [offset] "i"(8 * COUNT_UP)
                     : "cc", "memory");
    return argument == counters && ax == base + 1 && cx == base + 2 && dx == base + 3 &&
           si == base + 4 && r8 == base + 8 && r9 == base + 9 && r10 == base + 10 &&
           r11 == base + 11 && r12 == base + 12 && r13 == base + 13;
}

/* Executes read_flags behind an instruction that leaves @flags. */
__attribute__((always_inline)) static inline uint64_t read_flags_behind(unsigned fill,
                                                                        uint64_t flags)
{
    uint64_t result;

    __asm__ volatile(
        ".skip %c[fill], 0x90\n\tpush %[flags]\n\tpopfq\n\t" PARAVIRT_SITE(
            test_slots) "pop %[result]"
        : [result] "=&r"(result)
        : [flags] "r"(flags), [fill] "i"(fill), [op] "i"(READ_FLAGS), [offset] "i"(8 * READ_FLAGS)
        : "cc", "memory");
    return result;
}

/* Functions with one site each, @fill bytes apart from an aligned quadword: so sites lie inside of
 * one and across two, each way that there is. */
#define PLACE(fill)                                                                                \
    __attribute__((noinline, aligned(64))) static bool count_up_##fill(struct counters *counters)  \
    {                                                                                              \
        return count_up_behind(fill, counters);                                                    \
    }                                                                                              \
    __attribute__((noinline, aligned(64))) static uint64_t read_flags_##fill(uint64_t flags)       \
    {                                                                                              \
        return read_flags_behind(fill, flags);                                                     \
    }
PLACE(1)
PLACE(2)
PLACE(3)
PLACE(4)
PLACE(5)
PLACE(6)
PLACE(7)
PLACE(8)
#define PLACE_ENTRY(fill)                                                                          \
    {                                                                                              \
        count_up_##fill, read_flags_##fill                                                         \
    }
static const struct {
    bool (*count_up)(struct counters *counters);
    uint64_t (*read_flags)(uint64_t flags);
} places[] = {PLACE_ENTRY(1), PLACE_ENTRY(2), PLACE_ENTRY(3), PLACE_ENTRY(4),
              PLACE_ENTRY(5), PLACE_ENTRY(6), PLACE_ENTRY(7), PLACE_ENTRY(8)};
enum { PLACES = ARRAY_COUNT(places) };

/* The way that has been taken: the one whose counter is not as in @before, if it is only one, and
 * one higher; else WAYS. */
static unsigned counted_way(const struct counters *before, const struct counters *after)
{
    unsigned found = WAYS;

    for (unsigned way = 0; way < WAYS; way++) {
        uint32_t more = after->counts[way] - before->counts[way];

        if (more > 1 || (more == 1 && found != WAYS)) {
            return WAYS;
        }
        found = more == 1 ? way : found;
    }
    return found;
}

static void add(uint64_t *counter, uint64_t amount)
{
    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED); /* read after the thread was joined */
}

/* Acquire: pairs with the releases in change_many(). */
static uint64_t number_of(const uint64_t *number)
{
    return __atomic_load_n(number, __ATOMIC_ACQUIRE);
}

static void check_count_up(struct counters *counters, uint64_t turn)
{
    struct counters earlier = *counters;
    uint64_t before = number_of(&finished);
    bool kept = places[turn % PLACES].count_up(counters);
    uint64_t after = number_of(&started);
    unsigned way = counted_way(&earlier, counters);

    add(&settled, before == after);
    add(&lost_registers, !kept);
    add(&misses, way == WAYS || !is_way_of(way, before, after));
}

static void check_read_flags(uint64_t turn)
{
    uint64_t flags = (turn * 0x9e3779b97f4a7c15 >> 32 & FLAGS) | 2;
    uint64_t before = number_of(&finished);
    uint64_t result = places[turn % PLACES].read_flags(flags);
    uint64_t after = number_of(&started);
    unsigned way = result == PUSHED_WORD ? 1 : result == WORD_FROM_C ? 2 : 0;

    add(&lost_flags, way == 0 && (result & FLAGS) != (flags & FLAGS));
    add(&misses, !is_way_of(way, before, after));
}

static void *execute_all_the_time(void *argument)
{
    struct counters counters = {0};
    uint64_t turn = 0;

    (void)argument;
    live_enter_cpu(__atomic_fetch_add(&threads_ready, 1, __ATOMIC_RELAXED));
    for (; !__atomic_load_n(&threads_stop, __ATOMIC_RELAXED); turn++) {
        check_count_up(&counters, turn);
        check_read_flags(turn);
    }
    live_leave_cpu();
    add(&executed, turn);
    add(&counted, (uint64_t)counters.counts[0] + counters.counts[1] + counters.counts[2]);
    return NULL;
}

/* Called with the patch lock held, which orders the count. */
static unsigned held;

static void hold_first_batches(enum patch_step step, enum patch_moment moment)
{
    if (step == PATCH_STEP_INT3 && moment == PATCH_MOMENT_SYNCED && held < HELD) {
        held++;
        usleep(HELD_US);
    }
}

static enum patch_protocol_id protocol_of(uint64_t number)
{
    if (number > HELD && number % INT3_EVERY == 0) {
        return PATCH_PROTOCOL_INT3;
    }
    if (number > HELD && number % STOP_EVERY == 1) {
        return PATCH_PROTOCOL_STOP;
    }
    return number <= HELD || number / 2 % 2 == 0 ? PATCH_PROTOCOL_INT3_BATCH : PATCH_PROTOCOL_QWORD;
}

static enum patch_status change(uint64_t number)
{
    struct patch_change changes[OPS];
    struct patch_error error;

    for (unsigned op = 0; op < OPS; op++) {
        changes[op] =
            number % 2 == 1
                ? paravirt_change_to(&ops[op], &ways[op][way_behind(number)])
                : paravirt_form_change_to(&ops[op], (enum paravirt_form)form_behind(number));
    }
    if (patch_protocol_set_default(protocol_of(number), 0) != PATCH_OK) {
        return PATCH_ERR_PROTOCOL;
    }
    return patch_transaction("ops", changes, OPS, &error);
}

static void change_many(void)
{
    uint64_t failures = 0;

    for (uint64_t number = 1; number <= CHANGES; number++) {
        /* Release: whoever reads it knows the changes before. */
        __atomic_store_n(&started, number, __ATOMIC_RELEASE);
        failures += change(number) != PATCH_OK;
        /* Release: whoever reads it is ordered behind the change. */
        __atomic_store_n(&finished, number, __ATOMIC_RELEASE);
    }
    assert_int_equal(failures, 0);
}

static void skip_unless_live(void)
{
    if (why_not != NULL) {
        print_message("SKIP: %s\n", why_not);
        skip();
    }
}

/* Every site shows the form that the last change gave it; of a way that is no instruction, a call
 * in the place of that. */
static void expect_sites_to_show(uint64_t number)
{
    unsigned form = form_behind(number);
    bool is_instruction = paravirt_way_is_instruction(ops[COUNT_UP].way);
    unsigned count = 0;

    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++, count++) {
        assert_int_equal(paravirt_site_shows(&ops[site->op], site),
                         form == PARAVIRT_INLINE && !is_instruction ? PARAVIRT_DIRECT : form);
    }
    assert_int_equal(count, OPS * PLACES);
}

static void ops_are_done_once_and_whole_through_all_changes(void **state)
{
    pthread_t threads[THREADS];
    uint64_t traps = patch_traps_emulated_total();

    (void)state;
    skip_unless_live();
    live_enter_cpu(CHANGER_CPU);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, execute_all_the_time, NULL), 0);
    }
    while (__atomic_load_n(&threads_ready, __ATOMIC_RELAXED) < THREADS) {
        sched_yield();
    }
    live_set_hold(hold_first_batches);
    change_many();
    live_set_hold(NULL);
    __atomic_store_n(&threads_stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    live_leave_cpu();
    traps = patch_traps_emulated_total() - traps;
    if (getenv("VERBOSE") != NULL) {
        print_message("%d changes, %lu turns, %lu of them settled, %lu traps\n", CHANGES, executed,
                      settled, traps);
    }
    assert_int_equal(counted, executed);
    assert_int_equal(misses, 0);
    assert_int_equal(lost_registers, 0);
    assert_int_equal(lost_flags, 0);
    assert_in_range(executed, CHANGES / 100, UINT64_MAX);
    assert_in_range(settled, 1, UINT64_MAX);
    assert_in_range(traps, 1, UINT64_MAX);
    expect_sites_to_show(CHANGES);
}

static int group_setup(void **state)
{
    (void)state;
    why_not = live_initialize();
    return why_not == NULL &&
                   paravirt_initialize(ops, OPS, test_slots, form_behind(0), NULL) != PATCH_OK
               ? -1
               : 0;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(ops_are_done_once_and_whole_through_all_changes),
};

HOST_TEST_MAIN(tests, group_setup)
