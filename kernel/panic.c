// SPDX-License-Identifier: MIT
/* Panic. Invariant: this file and everything it calls lies in .text.nopatch, takes no lock and does
 * not allocate; a second panic inside it prints one line and ends. Output goes to the UART itself.
 */
#include "kernel/panic.h"

#include <stdarg.h>

#include "arch/backtrace.h"
#include "arch/instructions.h"
#include "arch/nmi.h"
#include "arch/percpu.h"
#include "arch/trap_frame.h"
#include "drivers/debug_exit.h"
#include "drivers/uart_raw.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/string.h"
#include "kernel/symbols.h"
#include "kernel/thread.h"

#define STOP_TIMEOUT_NS 1000000000ull
#define BACKTRACE_MAX   32
#define NOBODY          UINT32_MAX

static uint32_t panicking_cpu = NOBODY; /* atomic: the first CPU to panic prints, alone */

static void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void print(const char *format, ...)
{
    char line[256]; /* on this CPU's stack: no shared state */
    va_list arguments;
    va_start(arguments, format);
    size_t length = format_text_va(line, sizeof(line), format, arguments);
    va_end(arguments);
    uart_raw_write(line, length < sizeof(line) ? length : sizeof(line) - 1);
}

static void print_address(const char *prefix, uint64_t address)
{
    char name[SYMBOL_TEXT_MAX];
    print("%s0x%016llx %s\n", prefix, (unsigned long long)address,
          symbol_describe(address, name, sizeof(name)));
}

static void print_backtrace(uint64_t rip, const uint64_t *frames, uint64_t count)
{
    print_address("  at ", rip);
    for (uint64_t i = 0; i < count; i++) {
        print_address("  by ", frames[i]);
    }
}

static void print_registers(const struct trap_frame *f)
{
    const struct {
        const char *name;
        uint64_t value;
    } registers[] = {
        {"rax", f->rax},     {"rbx", f->rbx},     {"rcx", f->rcx},     {"rdx", f->rdx},
        {"rsi", f->rsi},     {"rdi", f->rdi},     {"rbp", f->rbp},     {"rsp", f->rsp},
        {"r8", f->r8},       {"r9", f->r9},       {"r10", f->r10},     {"r11", f->r11},
        {"r12", f->r12},     {"r13", f->r13},     {"r14", f->r14},     {"r15", f->r15},
        {"rip", f->rip},     {"rfl", f->rflags},  {"err", f->error},   {"cr2", read_cr2()},
        {"cr3", read_cr3()}, {"cr0", read_cr0()}, {"cr4", read_cr4()},
    };
    const unsigned count = sizeof(registers) / sizeof(registers[0]);
    for (unsigned i = 0; i < count; i++) {
        print(" %3s=%016llx%s", registers[i].name, (unsigned long long)registers[i].value,
              i % 4 == 3 || i == count - 1 ? "\n" : "");
    }
}

static const char *current_thread_name(void)
{
    return this_cpu()->current != NULL ? this_cpu()->current->name : "(boot)";
}

/* Returns only to the CPU that may print, when the others have been told to stop: whoever goes on
 * would write between the lines. Any other CPU that panics waits for the NMI that stops it. */
static void panic_enter(void)
{
    uint32_t nobody = NOBODY;
    raw_interrupts_disable();
    if (__atomic_compare_exchange_n(&panicking_cpu, &nobody, cpu_index(), false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
        console_panic_enter();
        nmi_stop_others(STOP_TIMEOUT_NS);
        return;
    }
    if (nobody == cpu_index()) {
        static const char text[] = "\npanic inside panic\n";
        uart_raw_write(text, sizeof(text) - 1);
        debug_exit(DEBUG_EXIT_FAILURE);
    }
    for (;;) {
        cpu_relax();
    }
}

static void print_others(void)
{
    for (unsigned i = 0; i < cpu_present_count(); i++) {
        struct cpu *cpu = cpu_by_index(i);
        if (cpu == this_cpu() || !cpu_is_online(cpu)) {
            continue;
        }
        if (!nmi_is_stopped(i)) {
            print("cpu %u did not answer the NMI\n", i);
            continue;
        }
        print("cpu %u stopped, thread %s\n", i,
              cpu->current != NULL ? cpu->current->name : "(boot)");
        print_backtrace(cpu->snapshot.rip, cpu->snapshot.frames, cpu->snapshot.frame_count);
    }
}

static _Noreturn void panic_end(void)
{
    print("panic: end; the machine is stopped\n");
    uart_raw_drain();
    debug_exit(DEBUG_EXIT_FAILURE);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

void panic(const char *format, ...)
{
    char message[512];
    va_list arguments;
    panic_enter();
    va_start(arguments, format);
    format_text_va(message, sizeof(message), format, arguments);
    va_end(arguments);
    print("\npanic: %s\ncpu %u, thread %s\n", message, cpu_index(), current_thread_name());
    struct trap_frame frame = {.rip = (uint64_t)__builtin_return_address(0),
                               .rbp = (uint64_t)__builtin_frame_address(0),
                               .rsp = (uint64_t)__builtin_frame_address(0)};
    __asm__ volatile("mov %%rbx, %0" : "=m"(frame.rbx));
    __asm__ volatile("mov %%r12, %0" : "=m"(frame.r12));
    __asm__ volatile("mov %%r13, %0" : "=m"(frame.r13));
    __asm__ volatile("mov %%r14, %0" : "=m"(frame.r14));
    __asm__ volatile("mov %%r15, %0" : "=m"(frame.r15));
    print_registers(&frame);
    uint64_t frames[BACKTRACE_MAX];
    unsigned count = backtrace_walk(frame.rbp, frames, BACKTRACE_MAX);
    /* The innermost return address is where panic() was called: shown as the place itself. */
    print_backtrace(frame.rip, frames + (count != 0), count != 0 ? count - 1 : 0);
    print_others();
    panic_end();
}

void panic_from_trap(const struct trap_frame *frame, const char *what)
{
    panic_enter();
    print("\npanic: %s (vector %llu, error 0x%llx)\ncpu %u, thread %s\n", what,
          (unsigned long long)frame->vector, (unsigned long long)frame->error, cpu_index(),
          current_thread_name());
    print_registers(frame);
    uint64_t frames[BACKTRACE_MAX];
    unsigned count = backtrace_walk(frame->rbp, frames, BACKTRACE_MAX);
    print_backtrace(frame->rip, frames, count);
    print_others();
    panic_end();
}
