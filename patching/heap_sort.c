// SPDX-License-Identifier: MIT
/* Heap sort. Invariant: while it runs, no element of the heap is before one of its children, so the
 * greatest stands at the root. Called by: poke.c, static_key_table.c. */
#include "patching/heap_sort.h"

#include <stdint.h>

typedef uint64_t sort_word __attribute__((may_alias));

struct sort_array {
    char *base;
    size_t size;
    bool (*before)(const void *, const void *);
};

static void *element(const struct sort_array *array, size_t i)
{
    return array->base + i * array->size;
}

static bool is_before(const struct sort_array *array, size_t a, size_t b)
{
    return array->before(element(array, a), element(array, b));
}

static void swap(const struct sort_array *array, size_t a, size_t b)
{
    sort_word *left = element(array, a);
    sort_word *right = element(array, b);

    for (size_t i = 0; i < array->size / sizeof(sort_word); i++) {
        sort_word word = left[i];

        left[i] = right[i];
        right[i] = word;
    }
}

/* Lets the element at @root sink until neither child is greater. */
static void sift_down(const struct sort_array *array, size_t root, size_t count)
{
    for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && is_before(array, child, child + 1)) {
            child++;
        }
        if (!is_before(array, root, child)) {
            return;
        }
        swap(array, root, child);
        root = child;
    }
}

static bool is_sorted(const struct sort_array *array, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (is_before(array, i, i - 1)) {
            return false;
        }
    }
    return true;
}

void heap_sort(void *base, size_t count, size_t size, bool (*before)(const void *, const void *))
{
    const struct sort_array array = {.base = base, .size = size, .before = before};

    if (is_sorted(&array, count)) {
        return;
    }
    for (size_t root = count / 2; root-- > 0;) {
        sift_down(&array, root, count);
    }
    for (size_t last = count; last-- > 1;) {
        swap(&array, 0, last);
        sift_down(&array, 0, last);
    }
}
