// SPDX-License-Identifier: MIT
/* The boot order. Each line may use what the lines above it set up, and nothing else. */
#include "kernel/main.h"

#include "arch/acpi.h"
#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/features.h"
#include "arch/instructions.h"
#include "arch/ipi.h"
#include "arch/paging.h"
#include "arch/traps.h"
#include "boot/boot_facts.h"
#include "boot/smp_start.h"
#include "drivers/nics.h"
#include "drivers/pci.h"
#include "kernel/choice_worker.h"
#include "kernel/command_line.h"
#include "kernel/console.h"
#include "kernel/cross_call.h"
#include "kernel/grace_period.h"
#include "kernel/idle.h"
#include "kernel/log.h"
#include "kernel/page_allocator.h"
#include "kernel/panic.h"
#include "kernel/paravirt_switch.h"
#include "kernel/patch_worker.h"
#include "kernel/protocol_danger.h"
#include "kernel/shell.h"
#include "kernel/text_snapshot.h"
#include "kernel/thread.h"
#include "kernel/version.h"
#include "net/net_config.h"
#include "patching/dynamic_call.h"
#include "patching/function_trace.h"
#include "patching/indirect_thunk.h"
#include "patching/lazy_call.h"
#include "patching/static_call.h"
#include "patching/static_key.h"

/* Broken tables stop the build (tools/check_image.py); this is for a broken check. */
static void require_table(const char *what, enum patch_status status,
                          const struct patch_error *error)
{
    if (status != PATCH_OK) {
        panic("%s %s, site 0x%llx: %s", what, error->name != NULL ? error->name : "?",
              (unsigned long long)error->address, patch_status_text(status));
    }
}

static void sites_initialize(void)
{
    struct patch_error error;

    require_table("static key", static_key_initialize(&error), &error);
    require_table("paravirt op", paravirt_ops_initialize(&error), &error);
    require_table("static call", static_call_initialize(&error), &error);
    require_table("dynamic call", dynamic_call_initialize(&error), &error);
    require_table("lazy call", lazy_call_initialize(&error), &error);
    require_table("entry of function", function_trace_initialize(&error), &error);
}

/* Takes protocol=, sync_timeout_ms= and grace_timeout_ms= from the command line. */
static void patching_initialize(void)
{
    const char *name = command_line_get("protocol");
    enum patch_protocol_id id = name != NULL ? patch_protocol_find(name) : patch_protocol_default();
    enum patch_status status = patch_protocol_set_default(id, 0);
    uint64_t patience_ms = IPI_PATIENCE_NS / 1000000;
    uint64_t grace_ms = GRACE_TIMEOUT_MS;

    if (status == PATCH_ERR_UNSAFE) {
        log_warning("command line: protocol=%s is refused: %s", name, protocol_danger(id));
        log_warning("using %s; the shell takes it: protocol %s --unsafe",
                    patch_protocol_name(patch_protocol_default()), name);
    } else if (status != PATCH_OK) {
        log_warning("command line: protocol=%s is not a patch protocol; using %s", name,
                    patch_protocol_name(patch_protocol_default()));
    } else if (name != NULL && protocol_danger(id) != NULL) {
        log_warning("command line: protocol=%s: %s", name, protocol_danger(id));
        log_warning(
            "%s takes the steps of int3-batch here; the shell insists: protocol %s --unsafe", name,
            name);
    }
    command_line_get_number("sync_timeout_ms", 1, 59999, &patience_ms);
    ipi_set_patience_ns(patience_ms * 1000000);
    command_line_get_number("grace_timeout_ms", 1, GRACE_TIMEOUT_MS_MAX, &grace_ms);
    grace_timeout_set_ms(grace_ms);
}

/* Takes mitigation= from the command line. Behind the text snapshot, which is what tests go back
 * to: the text as it was linked, with retpolines. */
static void mitigation_initialize(void)
{
    const char *names[MITIGATION_COUNT + 1] = {NULL};
    uint64_t choice = mitigation_current();
    struct patch_error error;

    for (enum mitigation id = 0; id < MITIGATION_COUNT; id++) {
        names[id] = mitigation_name(id);
    }
    command_line_get_choice("mitigation", names, &choice);
    if (mitigation_set((enum mitigation)choice, &error) != PATCH_OK) {
        panic("mitigation=%s: 0x%llx: %s", names[choice], (unsigned long long)error.address,
              patch_status_text(error.status));
    }
}

static void clock_compare_on_cpu(void *argument)
{
    (void)argument;
    clock_compare_sample(32);
}

static void cpus_start(void)
{
    uint64_t limit = 0; /* 0: all */
    command_line_get_number("cpus", 1, CPU_MAX, &limit);
    for (unsigned cpu = 1; cpu < cpu_present_count(); cpu++) {
        if (!thread_prepare_cpu(cpu)) {
            log_error("cpu %u and those behind it: no memory for their idle threads", cpu);
            limit = cpu;
            break;
        }
    }
    unsigned online = smp_start_all((unsigned)limit);
    on_each_cpu(clock_compare_on_cpu, NULL);
    log_info("%u of %u CPUs online, %s, TSC %llu kHz by %s, worst TSC step back %llu ns", online,
             cpu_present_count(), apic_mode_name(), (unsigned long long)clock_tsc_hz() / 1000,
             clock_source_name(),
             (unsigned long long)clock_ticks_to_ns(clock_compare_worst_ticks()));
}

/* The first thread: what needs to sleep or to wait for other CPUs, then the shell. */
static void first_thread(void *argument)
{
    (void)argument;
    if (!text_snapshot_take()) {
        log_warning("no memory for the text snapshot: tests cannot compare text with it");
    }
    mitigation_initialize();
    cpus_start();
    pci_initialize();
    nics_attach();
    patch_worker_start();
    choice_worker_start();
    paravirt_switch_initialize();
    net_initialize(command_line_get("ip"), command_line_get("gw"));
    shell_run();
}

void kernel_main(const struct boot_facts *facts)
{
    console_initialize();
    page_allocator_initialize(facts);
    paging_initialize(facts);
    sites_initialize();
    log_info("livetext %s, %s by %s, %llu MiB free", LIVETEXT_VERSION, facts->firmware,
             facts->loader, (unsigned long long)(page_count().free * PAGE_SIZE >> 20));
    if (!feature_present(FEATURE_NX)) {
        log_warning("this CPU has no NX: data is executable, W^X holds for text alone");
    }
    command_line_initialize(facts->command_line, facts->command_line_truncated);
    acpi_initialize(facts);
    apic_initialize();
    clock_initialize();
    apic_timer_initialize();
    patching_initialize();
    idle_initialize();
    thread_initialize();
    cross_call_initialize();
    console_start_input();
    if (thread_create("shell", 0, first_thread, NULL) == NULL) {
        panic("no memory for the first thread");
    }
    thread_idle_loop();
}

void kernel_main_secondary(void)
{
    thread_initialize_secondary();
    thread_idle_loop();
}
