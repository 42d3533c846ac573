// SPDX-License-Identifier: MIT
/* Takes the bytes of a fuzzer's input as numbers. Invariant: every input means something; behind
 * its end it goes on with zeroes. Used by: fuzz_instruction.c, fuzz_batch.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct input {
    const uint8_t *bytes;
    size_t size;
    size_t at;
};

static inline bool input_is_empty(const struct input *input)
{
    return input->at >= input->size;
}

/* The next @size bytes as a little-endian number; @size at most 8. */
static inline uint64_t input_take(struct input *input, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size && !input_is_empty(input); i++) {
        value |= (uint64_t)input->bytes[input->at++] << (8 * i);
    }
    return value;
}

static inline void input_take_bytes(struct input *input, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)input_take(input, 1);
    }
}
