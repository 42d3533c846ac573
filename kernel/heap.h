// SPDX-License-Identifier: MIT
/* Small kernel heap over the page allocator. Invariant: every block knows its size class from the
 * header at the start of its page, so heap_free() needs no size. Callers: anything that lives
 * longer than a function and is not static. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct heap_counts {
    size_t blocks; /* blocks allocated and not freed */
    size_t pages;  /* frames the heap holds, cached empty ones included */
};

/* Returns @bytes zeroed bytes, aligned to 16, and to a cache line if they are more than half of
 * one, or NULL when memory is short or @bytes is 0. Context: any but NMI. */
void *heap_allocate(size_t bytes);

/* Frees what heap_allocate() returned; NULL is allowed. A pointer that is not one of ours, or one
 * freed before, panics. Context: any but NMI. */
void heap_free(void *block);

/* Gives pages without a block in use back to the page allocator. Context: any but NMI. */
void heap_trim(void);

struct heap_counts heap_count(void);
