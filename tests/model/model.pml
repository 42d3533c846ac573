/* SPDX-License-Identifier: MIT */
/* The Spin model of livetext's patching protocols: README.md says what it shows. Invariant: one
 * text for all configurations; settings.pml names what they set. Called by: run.py. */

#include "settings.pml"
#include "machine.pml"
#include "executor.pml"
#include "patcher.pml"
