// SPDX-License-Identifier: MIT
/* CPU features by name; see features.h. Invariant: one table says where CPUID keeps each bit. */

#include "arch/features.h"

#include "arch/instructions.h"
#include "kernel/string.h"

#define CPUID_HYPERVISOR 0x40000000u

enum cpuid_register { EAX, EBX, ECX, EDX };

static const struct feature_place {
    const char *name;
    uint32_t leaf;
    enum cpuid_register where;
    unsigned bit;
    uint64_t cr4; /* what turns it on */
} feature_places[FEATURE_COUNT] = {
    [FEATURE_NX] = {"NX", 0x80000001, EDX, 20, 0},
    [FEATURE_SMEP] = {"SMEP", 7, EBX, 7, CR4_SMEP},
    [FEATURE_SMAP] = {"SMAP", 7, EBX, 20, CR4_SMAP},
    [FEATURE_UMIP] = {"UMIP", 7, ECX, 2, CR4_UMIP},
    [FEATURE_PGE] = {"PGE", 1, EDX, 13, CR4_PAGE_GLOBAL},
    [FEATURE_MCE] = {"MCE", 1, EDX, 7, CR4_MACHINE_CHECK},
    [FEATURE_X2APIC] = {"X2APIC", 1, ECX, 21, 0},
    [FEATURE_TSC_DEADLINE] = {"TSC_DEADLINE", 1, ECX, 24, 0},
    [FEATURE_INVARIANT_TSC] = {"INVARIANT_TSC", 0x80000007, EDX, 8, 0},
    [FEATURE_RDTSCP] = {"RDTSCP", 0x80000001, EDX, 27, 0},
    [FEATURE_SERIALIZE] = {"SERIALIZE", 7, EDX, 14, 0},
    [FEATURE_PAGE_1G] = {"PAGE_1G", 0x80000001, EDX, 26, 0},
    [FEATURE_HYPERVISOR] = {"HYPERVISOR", 1, ECX, 31, 0},
};

static bool present[FEATURE_COUNT];
static char vendor[13];
static char brand[49];
static bool emulated;

/* Registers of @leaf in the order EAX, EBX, ECX, EDX; zeros if the CPU does not have the leaf. */
static void leaf_read(uint32_t leaf, uint32_t registers[4])
{
    struct cpuid_result result;

    cpuid(leaf & 0x80000000, 0, &result);
    if (result.eax < leaf) {
        memset(registers, 0, 4 * sizeof(*registers));
        return;
    }
    cpuid(leaf, 0, &result);
    registers[EAX] = result.eax;
    registers[EBX] = result.ebx;
    registers[ECX] = result.ecx;
    registers[EDX] = result.edx;
}

static void names_read(void)
{
    uint32_t registers[4];

    leaf_read(0, registers);
    memcpy(vendor, &registers[EBX], 4);
    memcpy(vendor + 4, &registers[EDX], 4);
    memcpy(vendor + 8, &registers[ECX], 4);
    for (uint32_t part = 0; part < 3; part++) {
        leaf_read(0x80000002 + part, registers);
        memcpy(brand + part * sizeof(registers), registers, sizeof(registers));
    }
}

/* True if a hypervisor is there and its 12 characters in EBX, ECX, EDX are @signature. */
static bool signature_is(uint32_t leaf, const char *signature)
{
    struct cpuid_result result;

    if (!present[FEATURE_HYPERVISOR]) {
        return false;
    }
    cpuid(leaf, 0, &result);
    return memcmp(&result.ebx, signature, 4) == 0 && memcmp(&result.ecx, signature + 4, 4) == 0 &&
           memcmp(&result.edx, signature + 8, 4) == 0;
}

void features_initialize(void)
{
    for (unsigned i = 0; i < FEATURE_COUNT; i++) {
        uint32_t registers[4];

        leaf_read(feature_places[i].leaf, registers);
        present[i] = registers[feature_places[i].where] >> feature_places[i].bit & 1;
    }
    names_read();
    emulated = signature_is(CPUID_HYPERVISOR, "TCGTCGTCGTCG");
}

void features_enable_cpu(void)
{
    uint64_t cr4 = read_cr4();

    for (unsigned i = 0; i < FEATURE_COUNT; i++) {
        cr4 |= present[i] ? feature_places[i].cr4 : 0;
    }
    write_cr4(cr4);
}

bool feature_present(enum feature feature)
{
    return present[feature];
}

const char *feature_name(enum feature feature)
{
    return feature_places[feature].name;
}

bool cpu_is_emulated(void)
{
    return emulated;
}

const char *cpu_vendor(void)
{
    return vendor;
}

const char *cpu_brand(void)
{
    return brand;
}
