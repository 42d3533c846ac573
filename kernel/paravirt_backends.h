// SPDX-License-Identifier: MIT
/* The backends there are, each in a file of its own. Invariant: which ops have one is no concern of
 * theirs: kernel/paravirt_switch.h. Included by: the registry (paravirt_backends.c), and each
 * backend's own file. */
#pragma once

#include "kernel/paravirt_switch.h"

extern const struct paravirt_backend paravirt_backend_native;  /* paravirt_backends.c */
extern const struct paravirt_backend paravirt_backend_kvm;     /* paravirt_kvm.c */
extern const struct paravirt_backend paravirt_backend_counted; /* paravirt_counted.c */
