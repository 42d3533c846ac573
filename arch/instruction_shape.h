// SPDX-License-Identifier: MIT
/* How long an instruction is, and whether it branches: of those that compilers and our assembler
 * files put into the path of a call. Invariant: what is not known for certain is refused, never
 * guessed. Pure: no state, no call. Called by: the bench that steps through calls.
 * Source: Intel SDM 325383, volume 2, "Instruction Format" and "Opcode Map". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { INSTRUCTION_SHAPE_LONGEST = 15 };

enum instruction_flow {
    INSTRUCTION_FLOW_ON,       /* the next instruction follows it */
    INSTRUCTION_FLOW_DIRECT,   /* call, jmp, jcc to an address in the instruction */
    INSTRUCTION_FLOW_COMPUTED, /* ret, and call and jmp through a register or memory */
};

struct instruction_shape {
    uint8_t length;
    enum instruction_flow flow;
    bool holds_off_traps; /* sti: until behind the next instruction, on some machines */
    int32_t displacement; /* DIRECT: from its end to its target */
};

/* Describes the instruction at @bytes, of which @size can be read. Context: any.
 * Returns false for one that is refused: unknown, cut off, or with a life of its own in single
 * steps (rep string instructions, popf). Bytes that are no instruction at all may get a shape. */
bool instruction_shape(const uint8_t *bytes, unsigned size, struct instruction_shape *shape);

/* Whether @next can be executed after the instruction of that shape at @address. */
static inline bool instruction_shape_leads_to(const struct instruction_shape *shape,
                                              uint64_t address, uint64_t next)
{
    uint64_t behind = address + shape->length;

    switch (shape->flow) {
    case INSTRUCTION_FLOW_ON:
        return next == behind;
    case INSTRUCTION_FLOW_DIRECT:
        return next == behind || next == behind + (uint64_t)(int64_t)shape->displacement;
    default:
        return true;
    }
}
