// SPDX-License-Identifier: MIT
/* See fake_registers.h. Two views of the same memory; a fault opens the driver's view for one
 * instruction, which the trap flag ends. */
#define _GNU_SOURCE /* memfd_create, REG_EFL */
#include "tests/host/fake_registers.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define TRAP_FLAG      0x100
#define FAULT_IS_WRITE 2 /* of the page fault's error code */

static uint8_t *driver_view, *device_view;
static uint32_t size;
static void (*on_access)(uint32_t offset);
static void (*on_written)(uint32_t offset);
static uint32_t offset_now;
static bool is_write;

static void fault(int number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t offset = (uint64_t)info->si_addr - (uint64_t)driver_view;

    if (driver_view == NULL || offset >= size) {
        signal(number, SIG_DFL); /* the same again, and the end */
        return;
    }
    offset_now = (uint32_t)offset;
    is_write = (registers[REG_ERR] & FAULT_IS_WRITE) != 0;
    on_access(offset_now);
    mprotect(driver_view, size, PROT_READ | PROT_WRITE);
    registers[REG_EFL] |= TRAP_FLAG;
}

static void step(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    mprotect(driver_view, size, PROT_NONE);
    if (is_write) {
        on_written(offset_now);
    }
}

void *fake_registers_make(uint32_t bytes, void (*access)(uint32_t offset),
                          void (*written)(uint32_t offset), uint8_t **device)
{
    int file = memfd_create("registers", 0);

    if (file < 0 || ftruncate(file, bytes) != 0) {
        abort();
    }
    driver_view = mmap(NULL, bytes, PROT_NONE, MAP_SHARED, file, 0);
    device_view = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (driver_view == MAP_FAILED || device_view == MAP_FAILED) {
        abort();
    }
    size = bytes;
    on_access = access;
    on_written = written;
    *device = device_view;
    return driver_view;
}

void fake_registers_listen(void)
{
    struct sigaction on_fault = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
    struct sigaction on_step = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};

    sigaction(SIGSEGV, &on_fault, NULL);
    sigaction(SIGTRAP, &on_step, NULL);
}

void fake_registers_end(void)
{
    munmap(driver_view, size);
    munmap(device_view, size);
    driver_view = NULL;
}
