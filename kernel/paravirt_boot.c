// SPDX-License-Identifier: MIT
/* Which backend and form paravirt ops have after boot: pv= and pv_form= of the command line.
 * Invariant: a word that cannot be obeyed is named in the log, and the default stays. Called by:
 * the first thread. */
#include "kernel/command_line.h"
#include "kernel/log.h"
#include "kernel/paravirt_backends.h"

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

void paravirt_switch_initialize(void)
{
    uint64_t form = PARAVIRT_INLINE;
    struct paravirt_refusal refusal;

    backend_from_command_line();
    command_line_get_choice("pv_form", paravirt_form_names, &form);
    if (!paravirt_switch_form((enum paravirt_form)form, &refusal)) {
        log_warning("paravirt ops: %s: %s", paravirt_form_names[form], refusal.text);
    }
}
