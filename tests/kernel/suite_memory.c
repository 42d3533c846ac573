// SPDX-License-Identifier: MIT
/* Pages, heap, stacks, and W^X of everything mapped. */
#include "arch/features.h"
#include "arch/instructions.h"
#include "arch/paging.h"
#include "arch/paravirt.h"
#include "kernel/heap.h"
#include "kernel/page_allocator.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "tests/kernel/test.h"

#define MANY 64

/* Detects a frame handed out twice or not cleared: each is filled with its own number before the
 * next is taken. Could miss reuse beyond MANY frames. */
static void pages_are_distinct_and_zeroed(struct test *test)
{
    uint64_t frames[MANY];
    if (page_count().free < 2 * MANY) {
        test_skip(test, "memory is too short to take 64 frames");
        return;
    }
    for (unsigned i = 0; i < MANY; i++) {
        frames[i] = page_allocate();
        if (!EXPECT(test, frames[i] != 0)) {
            return;
        }
        uint64_t *words = physical_to_virtual(frames[i]);
        EXPECT(test, words[0] == 0 && words[511] == 0);
        memset(words, (int)i + 1, PAGE_SIZE);
    }
    for (unsigned i = 0; i < MANY; i++) {
        const uint8_t *bytes = physical_to_virtual(frames[i]);
        EXPECT(test, bytes[0] == i + 1 && bytes[4095] == i + 1);
        page_free(frames[i]);
    }
}

static void page_run_is_contiguous_and_counted(struct test *test)
{
    size_t before = page_count().free;
    uint64_t run = page_allocate_run(9);
    EXPECT(test, run != 0 && run % PAGE_SIZE == 0);
    EXPECT_EQUAL(test, before - page_count().free, 9);
    page_free_run(run, 9);
    EXPECT_EQUAL(test, page_count().free, before);
}

static void impossible_page_run_is_refused(struct test *test)
{
    size_t before = page_count().free;
    EXPECT_EQUAL(test, page_allocate_run(page_count().total + 1), 0);
    EXPECT_EQUAL(test, page_allocate_run(0), 0);
    EXPECT_EQUAL(test, page_count().free, before);
}

static void heap_blocks_do_not_overlap(struct test *test)
{
    uint8_t *blocks[MANY];
    size_t sizes[MANY];
    if (page_count().free < 2 * MANY) {
        test_skip(test, "memory is too short for 64 blocks");
        return;
    }
    for (unsigned i = 0; i < MANY; i++) {
        sizes[i] = 1 + (i * 97) % 3000; /* small classes and page runs, mixed */
        blocks[i] = heap_allocate(sizes[i]);
        if (!EXPECT(test, blocks[i] != NULL && (uint64_t)blocks[i] % 16 == 0)) {
            return;
        }
        EXPECT(test, blocks[i][0] == 0 && blocks[i][sizes[i] - 1] == 0);
        memset(blocks[i], (int)i + 1, sizes[i]);
    }
    for (unsigned i = 0; i < MANY; i++) {
        EXPECT(test, blocks[i][0] == i + 1 && blocks[i][sizes[i] - 1] == i + 1);
        heap_free(blocks[i]);
    }
    EXPECT(test, heap_allocate(0) == NULL);
    heap_free(NULL);
}

/* Every allocation fails in turn; each user must return a status and give back what it had. */
static void out_of_memory_is_a_status(struct test *test)
{
    heap_trim();
    size_t before = page_count().free;
    for (size_t successes = 0; successes < 2; successes++) {
        page_allocator_fail_after(successes);
        void *large = heap_allocate(3 * PAGE_SIZE);
        void *second = heap_allocate(3 * PAGE_SIZE);
        page_allocator_fail_after(PAGE_FAIL_NEVER);
        EXPECT(test, second == NULL);
        EXPECT_EQUAL(test, large != NULL, successes == 1);
        heap_free(large);
    }
    heap_trim();
    EXPECT_EQUAL(test, page_count().free, before);
}

static void nothing_is_writable_and_executable(struct test *test)
{
    if (!feature_present(FEATURE_NX)) {
        test_skip(test, "this CPU has no NX");
        return;
    }
    EXPECT_EQUAL(test, paging_check_wx(NULL), 0);
    EXPECT(test, (read_cr0() & CR0_WRITE_PROTECT) != 0); /* supervisor writes obey the tables */
}

static void stacks_have_guard_pages(struct test *test)
{
    uint64_t top = stack_allocate();
    EXPECT(test, top != 0 && top % 16 == 0);
    EXPECT(test, stack_guard_contains(top - STACK_SIZE - 1));
    EXPECT(test, stack_guard_contains(top - STACK_SIZE - PAGE_SIZE));
    EXPECT(test, !stack_guard_contains(top - STACK_SIZE));
    *(volatile uint64_t *)(top - STACK_SIZE) = 1; /* the lowest word is mapped */
    stack_free(top);
}

/* ---- stacks that are given up ---- */

static const struct paravirt_way *way_below; /* what op tlb_flush_all went before */
static unsigned flushes;

static void flush_counted(void)
{
    flushes++;
    way_below->function();
}

static const struct paravirt_way way_flush_counted = {.name = "flush_counted",
                                                      .function = flush_counted};

static bool flush_goes(const struct paravirt_way *way)
{
    struct patch_change change = paravirt_change_to(&paravirt_ops[PARAVIRT_tlb_flush_all], way);
    struct patch_error error;

    return patch_transaction("test flush", &change, 1, &error) == PATCH_OK;
}

/* Returns how many flushes it cost that memory was out after @pages. */
static unsigned stack_fail_after(struct test *test, size_t pages)
{
    unsigned before = flushes;

    page_allocator_fail_after(pages);
    EXPECT_EQUAL(test, stack_allocate(), 0);
    page_allocator_fail_after(PAGE_FAIL_NEVER);
    return flushes - before;
}

/* Every page of a new stack is missing in turn. Detects frames that are given back while another
 * CPU may still translate to them, for want of a flush. Would miss one that comes too late, and one
 * that does not reach a CPU: that is shown in suite paravirt. */
static void half_mapped_stack_is_flushed_everywhere(struct test *test)
{
    uint64_t taken[MANY];
    unsigned count = 0;

    while (stack_cached_count() != 0 && count < MANY) {
        taken[count++] = stack_allocate(); /* else it would give one of these */
    }
    way_below = paravirt_ops[PARAVIRT_tlb_flush_all].way;
    if (count < MANY && EXPECT(test, flush_goes(&way_flush_counted))) {
        for (unsigned i = 1; i < STACK_SIZE / PAGE_SIZE; i++) {
            stack_fail_after(test, STACK_SIZE / PAGE_SIZE - 1); /* page tables: made, and kept */
        }
        for (size_t pages = 0; pages < STACK_SIZE / PAGE_SIZE; pages++) {
            size_t before = page_count().free;

            EXPECT_EQUAL(test, stack_fail_after(test, pages), pages != 0 && cpu_count() > 1);
            EXPECT_EQUAL(test, page_count().free, before);
        }
        EXPECT(test, flush_goes(way_below));
    }
    while (count != 0) {
        stack_free(taken[--count]);
    }
}

static const struct test_case cases[] = {
    TEST_CASE(pages_are_distinct_and_zeroed),  TEST_CASE(page_run_is_contiguous_and_counted),
    TEST_CASE(impossible_page_run_is_refused), TEST_CASE(heap_blocks_do_not_overlap),
    TEST_CASE(out_of_memory_is_a_status),      TEST_CASE(nothing_is_writable_and_executable),
    TEST_CASE(stacks_have_guard_pages),        TEST_CASE(half_mapped_stack_is_flushed_everywhere),
};

const struct test_suite suite_memory = TEST_SUITE("memory", cases);
