// SPDX-License-Identifier: MIT
/* See machine.h. */
#include "tests/silicon/machine.h"

#include "tests/host/live_clock.h"
#include "tests/silicon/report.h"
#include "tests/silicon/watch.h"

#include <cpuid.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum {
    NO_CPU = -1,
    BRAND_LEAF = 0x80000002u,
    BRAND_LEAVES = 3,
    STAT_STEAL_FIELD = 8,
};

static int patcher_cpu = NO_CPU;
static int executor_cpu = NO_CPU;
static bool is_other_core;

static void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

/* True if the kernel lists @other among the threads of the core of @cpu. "0-1" and "0,1" both. */
static bool shares_core(int cpu, int other)
{
    char path[96];
    char list[256] = "";
    FILE *file;

    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
             cpu);
    file = fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    if (fgets(list, sizeof(list), file) == NULL) {
        list[0] = '\0';
    }
    fclose(file);
    for (char *part = strtok(list, ",\n"); part != NULL; part = strtok(NULL, ",\n")) {
        int first;
        int last;
        int found = sscanf(part, "%d-%d", &first, &last);

        if (found >= 1 && other >= first && other <= (found == 2 ? last : first)) {
            return true;
        }
    }
    return false;
}

static int find_second_cpu(const cpu_set_t *allowed)
{
    int any = NO_CPU;

    for (int cpu = patcher_cpu + 1; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed)) {
            if (!shares_core(patcher_cpu, cpu)) {
                is_other_core = true;
                return cpu;
            }
            any = any == NO_CPU ? cpu : any;
        }
    }
    return any;
}

const char *machine_initialize(void)
{
    cpu_set_t allowed;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return "sched_getaffinity() failed: more CPUs than this program knows of";
    }
    for (patcher_cpu = 0; !CPU_ISSET(patcher_cpu, &allowed);) {
        patcher_cpu++;
    }
    executor_cpu = find_second_cpu(&allowed);
    pin(patcher_cpu);
    return NULL;
}

unsigned machine_cpu_count(void)
{
    return executor_cpu == NO_CPU ? 1 : 2;
}

void machine_pin_executor(void)
{
    pin(executor_cpu);
}

static void read_model(char model[49])
{
    unsigned *words = (unsigned *)model;

    memset(model, 0, 49);
    for (unsigned i = 0; i < BRAND_LEAVES; i++) {
        __get_cpuid(BRAND_LEAF + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                    &words[4 * i + 3]);
    }
}

/* Family and model as the manuals of both vendors compute them. */
static void read_signature(char text[32])
{
    unsigned eax = 0;
    unsigned ebx;
    unsigned ecx = 0;
    unsigned edx;

    __get_cpuid(1, &eax, &ebx, &ecx, &edx);

    unsigned family = eax >> 8 & 15;
    unsigned model = eax >> 4 & 15;

    model |= family >= 6 ? eax >> 12 & 0xf0 : 0;
    family += family == 15 ? eax >> 20 & 255 : 0;
    snprintf(text, 32, "%#x/%#x/%u%s", family, model, eax & 15, ecx >> 31 ? ", virtual" : "");
}

void machine_report(void)
{
    char model[49];
    char signature[32];
    char cpus[64];
    struct utsname system;

    read_model(model);
    read_signature(signature);
    uname(&system);
    snprintf(cpus, sizeof(cpus), executor_cpu == NO_CPU ? "%d alone" : "%d and %d%s", patcher_cpu,
             executor_cpu, is_other_core ? "" : " (one core)");
    report_begin("silicon.machine", "This machine");
    report_text("cpu", model);
    report_text("family/model/stepping", signature);
    report_text("kernel", system.release);
    report_count("cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    report_text("used", cpus);
    report_count("tsc_khz", live_clock_hz() / 1000);
    report_truth("preemption_seen", watch_is_possible());
    report_row();
}

uint64_t machine_stolen_ms(void)
{
    unsigned long fields[STAT_STEAL_FIELD] = {0};
    FILE *file = fopen("/proc/stat", "r");

    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", &fields[0], &fields[1], &fields[2],
               &fields[3], &fields[4], &fields[5], &fields[6], &fields[7]) != STAT_STEAL_FIELD) {
        fields[STAT_STEAL_FIELD - 1] = 0;
    }
    fclose(file);
    return fields[STAT_STEAL_FIELD - 1] * 1000 / (unsigned long)sysconf(_SC_CLK_TCK);
}
