// SPDX-License-Identifier: MIT
/* Sorting in place: no allocation, no recursion, n log n whatever the order. Invariant: the same
 * elements before and after. Used by: poke.c (sites of a batch), static_key_table.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Sorts @count elements of @size bytes (a multiple of 8) so that none stands behind one that it is
 * @before of. An array that is sorted already costs count - 1 comparisons. Context: any. */
void heap_sort(void *base, size_t count, size_t size, bool (*before)(const void *, const void *));
