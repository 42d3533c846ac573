// SPDX-License-Identifier: MIT
/* From the #BP entry to the patching library; see breakpoint.h. Invariant: .text.nopatch. */

#include "arch/breakpoint.h"

#include "arch/percpu.h"
#include "kernel/panic.h"
#include "patching/breakpoint.h"

void breakpoint_handle(struct trap_frame *frame)
{
    struct patch_registers registers = {
        .ip = frame->rip,
        .sp = frame->rsp,
        .flags = frame->rflags,
        .ax = frame->rax,
    };

    this_cpu()->counters.breakpoints++;
    if (!patch_breakpoint_handle(&registers)) {
        panic_from_trap(frame, "breakpoint that nobody set");
    }
    frame->rip = registers.ip;
    frame->rsp = registers.sp;
    frame->rflags = registers.flags;
    frame->rax = registers.ax;
}
