// SPDX-License-Identifier: MIT
/* Checks of paravirt ops; see paravirt_checks.h. */
#include "tests/kernel/paravirt_checks.h"

#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupt_vectors.h"
#include "arch/ipi_raw.h"
#include "arch/page_tables.h"
#include "arch/percpu.h"
#include "kernel/console.h"
#include "kernel/cross_call.h"
#include "kernel/mutex.h"
#include "kernel/page_allocator.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "tests/kernel/paravirt_probes.h"

#define ARRIVAL_NS 20000000000ull

/* A page for each CPU at the far end of the window region, and one more for all, each shown one of
 * two frames. */
#define PAGES_BASE (WINDOW_REGION_BASE + WINDOW_REGION_SIZE - (CPU_MAX + 1) * PAGE_SIZE)

static uint64_t frames[2]; /* each begins with its own number */
static unsigned vector;    /* allocated once: vectors are not given back */

static struct arrivals {
    _Alignas(64) uint64_t count; /* atomic: interrupts of the vector */
    bool ends_itself;            /* by this CPU: the handler runs the probe of eoi */
    const char *fault;           /* by this CPU: what the handler found */
} arrivals[CPU_MAX];

uint64_t paravirt_checks_arrived(unsigned cpu)
{
    return __atomic_load_n(&arrivals[cpu].count, __ATOMIC_RELAXED);
}

/* Waits until more than @before have arrived at CPU @cpu. */
static bool arrival_await(unsigned cpu, uint64_t before)
{
    uint64_t deadline = clock_now_ns() + test_patience_ns(ARRIVAL_NS);

    while (paravirt_checks_arrived(cpu) <= before) {
        if (clock_now_ns() > deadline) {
            return false;
        }
        cpu_relax();
    }
    return true;
}

/* ---- interrupt flag ---- */

/* By the instructions themselves: what is looked at are the ops (tools/check_raw.py). */
static __attribute__((noinline)) void check_flag_set(bool on)
{
    if (on) {
        raw_interrupts_enable();
    } else {
        raw_interrupts_disable();
    }
}

static __attribute__((noinline)) bool check_flag_is_set(void)
{
    return raw_interrupts_enabled();
}

/* With the flag @before the op leaves it @after; a STACKED one reports it as it was. */
static const char *flag_check(enum paravirt_op_id op, bool before, bool after)
{
    struct probe probe = {0};
    const char *lost;
    bool now;

    check_flag_set(before);
    lost = paravirt_probe(op, &probe);
    now = check_flag_is_set();
    check_flag_set(true);
    if (lost != NULL) {
        return lost;
    }
    if (op == PARAVIRT_irq_save && ((probe.top & FLAG_INTERRUPT) != 0) != before) {
        return "reads the interrupt flag wrong";
    }
    return now == after ? NULL : "leaves the interrupt flag wrong";
}

static const char *check_irq_save(void)
{
    const char *fault = flag_check(PARAVIRT_irq_save, true, true);

    return fault != NULL ? fault : flag_check(PARAVIRT_irq_save, false, false);
}

static const char *check_irq_restore(void)
{
    return flag_check(PARAVIRT_irq_restore, false, true);
}

static const char *check_irq_disable(void)
{
    const char *fault = flag_check(PARAVIRT_irq_disable, true, false);

    return fault != NULL ? fault : flag_check(PARAVIRT_irq_disable, false, false);
}

static const char *check_irq_enable(void)
{
    return flag_check(PARAVIRT_irq_enable, false, true);
}

/* An interrupt that is pending before STI ends the halt: with a gap between the two the CPU would
 * sleep through it until the next one. */
static const char *check_safe_halt(void)
{
    struct probe probe = {0};
    uint64_t before;
    const char *lost;
    bool is_on;

    check_flag_set(false);
    before = paravirt_checks_arrived(cpu_index());
    apic_interrupt_self(vector);
    lost = paravirt_probe(PARAVIRT_safe_halt, &probe);
    is_on = check_flag_is_set();
    check_flag_set(true);
    if (lost != NULL || !is_on) {
        return lost != NULL ? lost : "returns with interrupts off";
    }
    return arrival_await(cpu_index(), before) ? NULL : "does not let the interrupt in";
}

/* ---- locks ---- */

static const char *check_lock_slow(void)
{
    struct spinlock lock = {.name = "test", .next = 8, .serving = 7};
    struct probe probe = {.registers = {[PROBE_RDI] = (uint64_t)&lock, [PROBE_RSI] = 7}};
    const char *lost = paravirt_probe(PARAVIRT_lock_slow, &probe);

    if (lost == NULL && (lock.next != 8 || lock.serving != 7 || lock.halted != 0)) {
        return "changes a lock that it does not wait for";
    }
    return lost;
}

static const char *check_lock_unlock(void)
{
    struct spinlock lock = {.name = "test", .next = 8, .serving = UINT32_MAX};
    struct probe probe = {.registers = {[PROBE_RDI] = (uint64_t)&lock}};
    const char *lost = paravirt_probe(PARAVIRT_lock_unlock, &probe);

    if (lost == NULL && (lock.serving != 0 || lock.next != 8 || lock.halted != 0)) {
        return "does not serve the next ticket, and that alone";
    }
    return lost;
}

/* A kick of a CPU that does not halt does nothing. Who halts: tests/kernel/suite_lock_halt.c. */
static const char *check_lock_kick(void)
{
    struct probe probe = {.registers = {[PROBE_RDI] = cpu_index()}};

    return paravirt_probe(PARAVIRT_lock_kick, &probe);
}

/* ---- TLB ---- */

static struct mutex common_mutex = MUTEX("common page"); /* who may switch the page for all */

static uint64_t page_address(unsigned page)
{
    return PAGES_BASE + page * PAGE_SIZE;
}

static unsigned common_page(void)
{
    return cpu_present_count();
}

static uint64_t page_read(unsigned page)
{
    return *(volatile uint64_t *)page_address(page);
}

/* Shows the other frame in a page. Does not flush. Returns what is to be read there. */
static uint64_t page_switch(unsigned page)
{
    uint64_t *entry =
        page_entry_find(kernel_root, LEVEL_ROOT, LEVEL_PAGE, page_address(page), false);
    unsigned shown = (*entry & ENTRY_ADDRESS) == frames[1];

    *(volatile uint64_t *)entry = (*entry & ~ENTRY_ADDRESS) | frames[1 - shown];
    return 1 - shown;
}

/* Why it detects: the page was read just before, so its translation is in the TLB, and QEMU's TCG
 * keeps one as well. Could miss: nothing keeps the machine from dropping it by itself. */
static const char *flush_check(enum paravirt_op_id op, unsigned page)
{
    struct probe probe = {.registers = {[PROBE_RDI] = page_address(page)}};
    uint64_t expected;
    const char *lost;

    (void)page_read(page);
    expected = page_switch(page);
    lost = paravirt_probe(op, &probe);
    if (lost != NULL) {
        return lost;
    }
    return page_read(page) == expected ? NULL : "leaves a translation behind";
}

static const char *check_tlb_flush_page(void)
{
    return flush_check(PARAVIRT_tlb_flush_page, cpu_index());
}

static const char *check_tlb_flush_local(void)
{
    return flush_check(PARAVIRT_tlb_flush_local, cpu_index());
}

/* CPUs that have read the page for all, and what they have read. */
static struct common_reads {
    uint64_t count, sum; /* atomic */
} common_reads;

static void common_read(void *argument)
{
    (void)argument;
    __atomic_fetch_add(&common_reads.sum, page_read(common_page()), __ATOMIC_RELAXED);
    __atomic_fetch_add(&common_reads.count, 1, __ATOMIC_RELAXED);
}

/* Every CPU has read the page, then all read it anew. */
static const char *check_tlb_flush_all(void)
{
    const char *fault;
    uint64_t expected;

    mutex_lock(&common_mutex);
    on_each_cpu(common_read, NULL);
    fault = flush_check(PARAVIRT_tlb_flush_all, common_page());
    expected = page_read(common_page());
    common_reads = (struct common_reads){0};
    on_each_cpu(common_read, NULL);
    if (fault == NULL && common_reads.sum != common_reads.count * expected) {
        fault = "leaves a translation behind on another CPU";
    }
    mutex_unlock(&common_mutex);
    return fault;
}

/* ---- APIC ---- */

/* Whether the local APIC has an interrupt of the vector in service: "In-Service Register", Intel
 * SDM volume 3. */
static bool is_in_service(void)
{
    enum { IN_SERVICE = 0x100, IN_SERVICE_STRIDE = 0x10 };
    unsigned which = IN_SERVICE + vector / 32 * IN_SERVICE_STRIDE;

    return (apic_raw_read((enum apic_register)which) >> vector % 32 & 1) != 0;
}

/* Interrupt. Ends it at the probe; the end that follows behind every handler then finds nothing in
 * service: the interrupted thread was none. */
static __attribute__((noinline)) const char *check_eoi_here(void)
{
    struct probe probe = {.registers = {[PROBE_RDI] = apic_end_of_interrupt_register}};
    const char *lost;

    if (!is_in_service()) {
        return "begins with nothing in service";
    }
    lost = paravirt_probe(PARAVIRT_eoi, &probe);
    if (lost != NULL) {
        return lost;
    }
    return is_in_service() ? "does not end the interrupt" : NULL;
}

static void note_arrival(void *argument)
{
    struct arrivals *here = &arrivals[cpu_index()];

    (void)argument;
    if (here->ends_itself) {
        here->ends_itself = false;
        here->fault = check_eoi_here();
    }
    __atomic_fetch_add(&here->count, 1, __ATOMIC_RELAXED);
}

static const char *check_eoi(void)
{
    struct arrivals *here = &arrivals[cpu_index()];

    for (unsigned i = 0; i < 2; i++) { /* the second comes only if the first was ended */
        uint64_t before = paravirt_checks_arrived(cpu_index());

        __atomic_store_n(&here->ends_itself, true, __ATOMIC_RELAXED);
        apic_interrupt_self(vector);
        if (!arrival_await(cpu_index(), before)) {
            return "lets no interrupt follow";
        }
        if (here->fault != NULL) {
            return here->fault;
        }
    }
    return NULL;
}

static unsigned cpu_behind(unsigned cpu)
{
    do {
        cpu = (cpu + 1) % cpu_present_count();
    } while (!cpu_index_is_online(cpu));
    return cpu;
}

static const char *check_send_ipi(void)
{
    unsigned target = cpu_behind(cpu_index());
    uint64_t before = paravirt_checks_arrived(target);
    struct probe probe = {.registers = {[PROBE_RDI] = target, [PROBE_RSI] = vector}};
    const char *lost = paravirt_probe(PARAVIRT_send_ipi, &probe);

    if (lost != NULL) {
        return lost;
    }
    return arrival_await(target, before) ? NULL : "does not arrive";
}

static const char *check_broadcast_ipi(void)
{
    struct probe probe = {.registers = {[PROBE_RDI] = vector}};
    uint64_t before[CPU_MAX];
    const char *lost;

    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        before[cpu] = paravirt_checks_arrived(cpu);
    }
    lost = paravirt_probe(PARAVIRT_broadcast_ipi, &probe);
    for (unsigned cpu = 0; cpu < cpu_present_count() && lost == NULL; cpu++) {
        if (cpu_index_is_online(cpu) && cpu != cpu_index() && !arrival_await(cpu, before[cpu])) {
            lost = "does not reach every CPU";
        }
    }
    return lost;
}

/* ---- clock ---- */

static const char *check_clock_read(void)
{
    struct probe probe = {0};
    uint64_t before = clock_now_ns();
    const char *lost = paravirt_probe(PARAVIRT_clock_read, &probe);
    uint64_t after = clock_now_ns();

    if (lost != NULL) {
        return lost;
    }
    return probe.registers[PROBE_RAX] >= before && probe.registers[PROBE_RAX] <= after
               ? NULL
               : "does not lie between two other reads";
}

/* ---- all ---- */

#define CHECK(name, ...) [PARAVIRT_##name] = check_##name,
static const char *(*const checks[PARAVIRT_OP_COUNT])(void) = {PARAVIRT_TABLE(CHECK)};

bool paravirt_check_is_heavy(enum paravirt_op_id op)
{
    return op == PARAVIRT_broadcast_ipi || op == PARAVIRT_tlb_flush_all;
}

const char *paravirt_check(enum paravirt_op_id op)
{
    const char *fault;

    /* Others could run on this CPU between two lines. tlb_flush_all sleeps. */
    if (op == PARAVIRT_tlb_flush_all) {
        return checks[op]();
    }
    preempt_disable();
    fault = checks[op]();
    preempt_enable();
    return fault;
}

unsigned paravirt_check_all(const char *where, bool heavy)
{
    unsigned faults = 0;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        bool is_left_out = paravirt_check_is_heavy(op) && !heavy;
        const char *fault = is_left_out ? NULL : paravirt_check(op);

        if (fault != NULL) {
            console_print("    # %s, cpu %u: op %s: %s\n", where, cpu_index(),
                          paravirt_ops[op].name, fault);
            faults++;
        }
    }
    return faults;
}

/* Takes the first @count pages away. */
static void pages_unmap(unsigned count)
{
    while (count-- != 0) {
        paging_unmap(page_address(count));
    }
    pv_tlb_flush_all(); /* before the frames are anybody else's */
    for (unsigned i = 0; i < 2; i++) {
        if (frames[i] != 0) {
            page_free(frames[i]);
        }
        frames[i] = 0;
    }
}

bool paravirt_checks_begin(struct test *test)
{
    if (vector == 0) {
        vector = interrupt_vector_allocate(note_arrival, NULL);
    }
    if (!EXPECT(test, vector != 0)) {
        return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        frames[i] = page_allocate();
        if (!EXPECT(test, frames[i] != 0)) {
            pages_unmap(0);
            return false;
        }
        *(uint64_t *)physical_to_virtual(frames[i]) = i;
    }
    for (unsigned page = 0; page <= common_page(); page++) {
        if (!EXPECT(test, paging_map(page_address(page), frames[0], 1, PAGING_READ))) {
            pages_unmap(page);
            return false;
        }
    }
    return true;
}

void paravirt_checks_end(void)
{
    pages_unmap(common_page() + 1);
}
