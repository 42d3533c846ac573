// SPDX-License-Identifier: MIT
/* The code of a dispatcher: compares rdx with the addresses of known targets and jumps there, else
 * to a fallback. Pure: bytes from numbers, no text is written.
 *
 * Signature of the code, that of seed 3: (rdi: context, rsi: instructions, rdx: target). It
 * clobbers the flags and nothing else, pushes nothing, and is left by a jump: to whoever called it,
 * it looks like a call of the target.
 *
 *     tree         cmp rdx, pivot; jg right; ...left...; right: ...          leaves: one target
 *     tree4        the same, leaves of up to four targets, hottest first
 *     linear       cmp rdx, a; je a; cmp rdx, b; je b; ...; jmp fallback     hottest first
 *     linear-cold  the same, hottest last
 *     hot1, hot2   linear with the one or two hottest targets alone
 *     none         jmp fallback
 *
 * Encodings: `cmp rdx, imm32` sign-extended, 7 bytes, always; `je` and `jmp` to targets and
 * fallback with rel32; `jg` inside the image rel8 where it reaches, else rel32. Jump targets inside
 * the image are aligned to 16 bytes with the fewest and longest nops. For a tree of the seed's 16
 * addresses at the seed's address this is the seed's listing, instruction for instruction.
 *
 * Invariant: for every value of rdx the code ends at the target of that address, if it is one that
 * the shape compares with, else at the fallback; no byte of it lies outside [address, address +
 * length). Callers: dispatcher.c, tests/host, tests/fuzz. */
#pragma once

#include "patching/status.h"

#include <stddef.h>
#include <stdint.h>

enum {
    DISPATCHER_ENTRY_MAX = 64,
    DISPATCHER_HALF_BYTES = 4096, /* no image is longer */
    DISPATCHER_JUMP_ALIGNMENT = 16,
};

enum dispatcher_shape {
    DISPATCHER_TREE,
    DISPATCHER_TREE4,
    DISPATCHER_LINEAR,
    DISPATCHER_LINEAR_COLD,
    DISPATCHER_HOT1,
    DISPATCHER_HOT2,
    DISPATCHER_NONE,
    DISPATCHER_SHAPE_COUNT
};

struct dispatcher_image_request {
    enum dispatcher_shape shape;
    uint32_t count;          /* of targets, up to DISPATCHER_ENTRY_MAX */
    uint64_t address;        /* where the image will run; a multiple of DISPATCHER_JUMP_ALIGNMENT */
    uint64_t fallback;       /* runs the target in rdx, whatever it is */
    const uint64_t *targets; /* distinct, ascending as signed numbers */
    const uint8_t *hottest;  /* the numbers 0 to count - 1, that of the hottest target first */
};

/* Writes the image for @request to @bytes, which has room for DISPATCHER_HALF_BYTES, and its length
 * to @length. Context: any.
 * Returns PATCH_ERR_SHAPE for an unknown shape or an address that is not aligned, PATCH_ERR_FULL
 * for too many targets, PATCH_ERR_DUPLICATE if they do not ascend or if @hottest names one twice,
 * PATCH_ERR_NO_ENTRY if it names one that is not there, PATCH_ERR_RANGE if a target is not a
 * sign-extended 32-bit number, or if it or the fallback is out of reach of a jump anywhere in the
 * half: what one shape takes, all take. Then @culprit (may be NULL) is the address concerned, or
 * the wrong number in @hottest, and @bytes mean nothing. */
PATCH_MUST_CHECK enum patch_status dispatcher_image_generate(
    const struct dispatcher_image_request *request, uint8_t *bytes, size_t *length,
    uint64_t *culprit);

/* Name of a shape ("?" if unknown), and the way back: DISPATCHER_SHAPE_COUNT if there is none of
 * that name. Context: any. */
const char *dispatcher_shape_name(enum dispatcher_shape shape);
enum dispatcher_shape dispatcher_shape_find(const char *name);
