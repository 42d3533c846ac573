// SPDX-License-Identifier: MIT
/* One site of each paravirt op, alone in a function of its own: called with a canary in every
 * register. Invariant: between the canaries' loads and the look at them there is the site and
 * nothing else, so whatever is lost was lost by the op. Derived from arch/paravirt_table.h.
 * Callers: paravirt_checks.c, paravirt suites. */
#pragma once

#include "arch/paravirt.h"

#include <stdint.h>

/* In the order of the instruction set; without rsp: whoever loses that does not come back. */
enum probe_register {
    PROBE_RAX,
    PROBE_RCX,
    PROBE_RDX,
    PROBE_RBX,
    PROBE_RBP,
    PROBE_RSI,
    PROBE_RDI,
    PROBE_R8,
    PROBE_R9,
    PROBE_R10,
    PROBE_R11,
    PROBE_R12,
    PROBE_R13,
    PROBE_R14,
    PROBE_R15,
    PROBE_REGISTERS
};

struct probe {
    uint64_t registers[PROBE_REGISTERS]; /* in: rdi, rsi; out: what the site left in all */
    uint64_t top; /* out: the word on top of the stack behind the site: what a STACKED op left, or
                     PROBE_TOP */
};

#define PROBE_TOP 0x5ca1ab1eull

/* Runs the op with its operands in rdi and rsi and canaries elsewhere. Returns NULL, or names what
 * it lost though its row says it keeps it ("loses rbx"). Context: the op's, but for preemption: off
 * where the op is about this CPU. */
const char *paravirt_probe(enum paravirt_op_id op, struct probe *probe);

/* The probe's site. */
const struct paravirt_site *paravirt_probe_site(enum paravirt_op_id op);
