// SPDX-License-Identifier: MIT
/* See lazy_report.h. Called by: lazy_call.c. */
#include "patching/lazy_report.h"

static struct {
    _Alignas(64) uint64_t slots[LAZY_REPORT_SLOTS];
} reports[PATCH_CPU_MAX];

/* An interrupt between the two passes may report the same site: the worker merges them. */
enum lazy_report_result lazy_report_add(unsigned cpu, uint64_t site)
{
    uint64_t *slots = reports[cpu].slots;

    for (unsigned i = 0; i < LAZY_REPORT_SLOTS; i++) {
        if (__atomic_load_n(&slots[i], __ATOMIC_RELAXED) == site) {
            return LAZY_REPORT_PENDING;
        }
    }
    for (unsigned i = 0; i < LAZY_REPORT_SLOTS; i++) {
        uint64_t empty = 0;

        /* Compared and exchanged: an interrupt may have taken the slot since it was seen empty. */
        if (__atomic_load_n(&slots[i], __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(&slots[i], &empty, site, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
            return LAZY_REPORT_ADDED;
        }
    }
    return LAZY_REPORT_FULL;
}

uint64_t lazy_report_take(unsigned cpu, unsigned slot)
{
    uint64_t *word = &reports[cpu].slots[slot];

    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 0) { /* do not take the line from its CPU */
        return 0;
    }
    return __atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST);
}
