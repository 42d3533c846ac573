// SPDX-License-Identifier: MIT
/* Which backend and form paravirt ops have after boot: pv= and pv_form= of the command line; under
 * a KVM that emulates, the protocol, too. Invariant: a word that cannot be obeyed is named in the
 * log, and the default stays. Called by: the first thread. */
#include "arch/kvm.h"
#include "kernel/command_line.h"
#include "kernel/format.h"
#include "kernel/log.h"
#include "kernel/log_ring.h"
#include "kernel/paravirt_backends.h"
#include "patching/poke.h"

/* Without pv=: kvm where it has something to offer, which takes CPUID's word. */
static const struct paravirt_backend *backend_default(void)
{
    const struct paravirt_backend *kvm = paravirt_backend_find("kvm");

    for (enum paravirt_op_id op = 0; kvm != NULL && op < PARAVIRT_OP_COUNT; op++) {
        if (paravirt_backend_tied_obstacle(kvm, op, NULL) == NULL) {
            return kvm;
        }
    }
    return &paravirt_backend_native;
}

static void backend_use(const struct paravirt_backend *backend)
{
    struct paravirt_refusal refusal;

    if (!paravirt_switch_all(backend, &refusal)) {
        log_warning("paravirt ops: %s", refusal.text);
    }
}

/* A layer is put over what stands there without pv=. */
static void backend_from_command_line(void)
{
    const char *names[PARAVIRT_BACKENDS_MAX + 1];
    uint64_t choice = PARAVIRT_BACKENDS_MAX;
    const struct paravirt_backend *backend;

    paravirt_backend_names(names);
    command_line_get_choice("pv", names, &choice);
    backend = paravirt_backend_at((unsigned)choice);
    if (backend == NULL || backend->is_layer) {
        backend_use(backend_default());
    }
    if (backend != NULL) {
        backend_use(backend);
    }
}

/* A KVM that refuses hypercalls emulates instructions, and may stop at an int3. */
static bool kvm_may_stop_at_int3(void)
{
    return kvm_is_host() && !kvm_hypercalls_work();
}

/* With all CPUs parked meanwhile, so that none meets an int3, under KVM: a backend that nobody has
 * asked for must not stop the machine. Nor must calls that learn by themselves: so, where an int3
 * is dangerous, that protocol stays unless the user has named one. */
static void backend_choose(void)
{
    enum patch_protocol_id protocol = patch_protocol_default();
    unsigned flags = patch_protocol_default_flags();
    enum patch_status status = PATCH_OK;

    if (kvm_is_host()) {
        status = patch_protocol_set_default(PATCH_PROTOCOL_STOP, 0);
    }
    backend_from_command_line();
    if (status == PATCH_OK && (!kvm_may_stop_at_int3() || command_line_get("protocol") != NULL)) {
        status = patch_protocol_set_default(protocol, flags);
    }
    if (status != PATCH_OK) {
        log_warning("paravirt ops: protocol: %s", patch_status_text(status));
    }
}

/* What the log says under KVM: which ops its host has taken over. */
static void kvm_report(void)
{
    const struct paravirt_backend *kvm = paravirt_backend_find("kvm");
    char ops[LOG_TEXT_MAX / 2] = "";
    size_t length = 0;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        if (paravirt_backend_of(op) == kvm && length < sizeof(ops)) {
            length += format_text(ops + length, sizeof(ops) - length, "%s%s",
                                  length == 0 ? "" : ", ", paravirt_ops[op].name);
        }
    }
    log_info("paravirt: %s %s to kvm", length == 0 ? "no op" : ops, length == 0 ? "goes" : "go");
    if (kvm_may_stop_at_int3()) {
        log_warning("this KVM refuses hypercalls and may stop the machine at an int3: the protocol "
                    "is %s",
                    patch_protocol_name(patch_protocol_default()));
    }
}

void paravirt_switch_initialize(void)
{
    uint64_t form = PARAVIRT_INLINE;
    struct paravirt_refusal refusal;

    backend_choose();
    command_line_get_choice("pv_form", paravirt_form_names, &form);
    if (!paravirt_switch_form((enum paravirt_form)form, &refusal)) {
        log_warning("paravirt ops: %s: %s", paravirt_form_names[form], refusal.text);
    }
    if (kvm_is_host()) {
        kvm_report();
    }
}
