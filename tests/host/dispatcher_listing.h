// SPDX-License-Identifier: MIT
/* The code of a dispatcher as Zydis reads it, and what dispatcher_image.h promises about it, worked
 * out naively. Invariant: shares no code with patching/. Functions that judge return NULL, or words
 * for what is wrong. Used by: test_dispatcher_image*.c, tests/fuzz/fuzz_dispatcher.c. */
#pragma once

#include "patching/dispatcher_image.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LISTING_MAX = 512,          /* instructions */
    LISTING_JUMP_GREATER_8 = 2, /* bytes of `jg` with a displacement of a byte */
    LISTING_JUMP_GREATER_32 = 6,
};

enum listed_kind {
    LISTED_COMPARE,      /* cmp rdx, operand */
    LISTED_JUMP_EQUAL,   /* je operand */
    LISTED_JUMP_GREATER, /* jg operand */
    LISTED_JUMP,         /* jmp operand */
    LISTED_GAP,          /* nop */
};

struct listed_instruction {
    enum listed_kind kind;
    uint8_t length;
    size_t offset; /* of its first byte, from the beginning of the image */
    uint64_t operand;
};

struct listing {
    uint64_t address;
    size_t length; /* bytes */
    unsigned count;
    struct listed_instruction instructions[LISTING_MAX];
};

/* What a CPU with a value in rdx goes through, and where it leaves. */
struct listing_path {
    unsigned count;
    struct {
        uint64_t number; /* that rdx is compared with */
        bool is_pivot;   /* `jg` comes behind, not `je` */
    } compares[LISTING_MAX];
    uint64_t end;
};

/* Decodes an image that will run at @address. Complains about any instruction that does not belong
 * into one; a `jg` to anything but the beginning of an instruction, 16-byte aligned, in the image;
 * a condition without its compare; nops that do not end at such a place, or that are too many; an
 * end that is run into. */
const char *listing_read(struct listing *listing, const uint8_t *bytes, size_t length,
                         uint64_t address);

/* Goes through @listing with @value in rdx. Complains if it runs into a nop or out of the end. */
const char *listing_walk(const struct listing *listing, uint64_t value, struct listing_path *path);

/* The way that the request's shape promises for @value. */
void listing_expect(const struct dispatcher_image_request *request, uint64_t value,
                    struct listing_path *path);

/* Compares the two ways above. */
const char *listing_check_value(const struct listing *listing,
                                const struct dispatcher_image_request *request, uint64_t value);

/* Bytes of the shortest image for the request. */
size_t listing_shortest(const struct dispatcher_image_request *request);
