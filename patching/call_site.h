// SPDX-License-Identifier: MIT
/* The table that the link-time pass (tools/call_sites) writes: every call of a patchable function.
 * Invariant: constant; grouped by function, ascending by address within one; as linked, the
 * instruction at each site goes to the function. tools/check_image.py proves it on the image, so a
 * corrupted table stops the build. Used by: static_call_table.c.
 *
 * A patchable function is a function symbol `static_call_NAME` in section .text.static_call. To
 * the compiler it is an ordinary external function: it may be called, tail called, also
 * conditionally; its address may be taken in section static_calls alone. */
#pragma once

#include <stdint.h>

enum call_site_kind {
    CALL_SITE_CALL,    /* call rel32 */
    CALL_SITE_JUMP,    /* jmp rel32: a tail call */
    CALL_SITE_JUMP_IF, /* jcc rel32: a conditional tail call */
};

struct call_site {
    uint64_t address;
    uint64_t function;
    uint32_t kind;   /* enum call_site_kind */
    uint32_t length; /* 5 or 6 bytes */
};
_Static_assert(sizeof(struct call_site) == 24, "entries of section call_sites");

/* Provided by the linker: section call_sites. */
extern const struct call_site call_sites_start[], call_sites_end[];
