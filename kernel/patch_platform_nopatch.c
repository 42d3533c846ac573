// SPDX-License-Identifier: MIT
/* The part of patching/platform.h that the breakpoint handler and the function tracer call, and the
 * writes: text is written only here, through the temporary private mapping. Invariant:
 * .text.nopatch whole (partial.ld lists this file): no site, no call out of nopatch text. */
#include "arch/instructions.h"
#include "arch/percpu.h"
#include "arch/text_window.h"
#include "kernel/panic.h"
#include "kernel/symbols.h"
#include "patching/platform.h"

unsigned platform_cpu_index(void)
{
    return cpu_index();
}

unsigned platform_cpu_possible(void)
{
    return cpu_present_count();
}

uint64_t platform_time_ticks(void)
{
    return read_tsc();
}

void platform_relax(void)
{
    cpu_relax();
}

void platform_text_open(void)
{
    text_window_open();
}

bool platform_text_write(void *address, const void *bytes, size_t length)
{
    return text_window_write(address, bytes, length);
}

bool platform_text_write_quadword(uint64_t *address, uint64_t value)
{
    return text_window_write_quadword(address, value);
}

void platform_text_close(void)
{
    text_window_close();
}

void platform_fatal_silent_cpu(unsigned cpu)
{
    panic("patching: cpu %u takes part in no sync, and text is half changed", cpu);
}

void platform_fatal(const char *what, const void *address, uint64_t expected, uint64_t actual)
{
    char name[SYMBOL_TEXT_MAX];
    symbol_describe((uint64_t)address, name, sizeof(name));
    panic("patching: %s at %p (%s): expected 0x%llx, found 0x%llx", what, address, name,
          (unsigned long long)expected, (unsigned long long)actual);
}
