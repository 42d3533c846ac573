// SPDX-License-Identifier: MIT
/* Reads the code of a dispatcher back, one instruction at a time. Invariant: accepts exactly what
 * images are made of (dispatcher_image.h), each in the one encoding that the processor reads so;
 * it says nothing about what may be patched: that is instruction.h, which knows neither compares
 * nor long nops. Pure. Callers: `dispatch NAME --code`, the seed's rows in `bench seeds`.
 * Source: Intel SDM 325383, volume 2, instruction reference. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum image_instruction_kind {
    IMAGE_COMPARE,         /* cmp rdx, operand */
    IMAGE_JUMP_IF_EQUAL,   /* je operand */
    IMAGE_JUMP_IF_GREATER, /* jg operand */
    IMAGE_JUMP,            /* jmp operand */
    IMAGE_NOP,
    IMAGE_INT3, /* behind an image */
};

enum { IMAGE_INSTRUCTION_LONGEST = 11 }; /* a nop of 8 bytes behind three prefixes */

struct image_instruction {
    enum image_instruction_kind kind;
    uint8_t length;
    uint64_t operand; /* compare: the sign-extended number; jumps: the target; else 0 */
};

/* Describes the instruction at @bytes, which stands at @address and of which @size can be read.
 * Context: any. Returns false if it is cut off, or none of those above. */
bool image_instruction_decode(const uint8_t *bytes, size_t size, uint64_t address,
                              struct image_instruction *instruction);

bool image_instruction_is_jump(enum image_instruction_kind kind);

/* "cmp", "je", "jg", "jmp", "nop", "int3". */
const char *image_instruction_name(enum image_instruction_kind kind);
