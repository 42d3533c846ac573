# SPDX-License-Identifier: MIT
# `make silicon`: patching on this machine's real CPU (README.md). SILICON='-j --quick' passes
# options. Included by the root Makefile, behind tests/host/host.mk, whose objects it links;
# `make -f tests/silicon/silicon.mk silicon` works alone.
# Invariant: nothing is written outside $(BUILD)/silicon and $(BUILD)/host.

ifndef HOST
include tests/host/host.mk
endif

SILICON_BUILD := $(BUILD)/silicon
SILICON_OBJECTS := $(patsubst tests/silicon/%.c,$(SILICON_BUILD)/%.o,$(wildcard tests/silicon/*.c))

.PHONY: silicon silicon-program
silicon: $(SILICON_BUILD)/silicon
	@$< $(SILICON)
silicon-program: $(SILICON_BUILD)/silicon

$(SILICON_BUILD)/%.o: tests/silicon/%.c tests/host/host.mk tests/silicon/silicon.mk
	@mkdir -p $(@D)
	@$(CC) $(HOST_CFLAGS) -MMD -MP -c $< -o $@

# The benches' loops around calls: indirect ones through the thunks of patching/, functions that
# can be traced, static calls found by the link-time pass.
SILICON_LOOPS := $(addprefix $(SILICON_BUILD)/bench/,bench_call_loops.o bench_call_targets.o \
    bench_dispatch_loops.o bench_dispatch_traffic.o bench_dyncall_loops.o bench_dyncall_sequence.o)
SILICON_LOOPS_CFLAGS := -fpatchable-function-entry=5 $(if $(findstring clang,$(CC)), \
    -mretpoline -mretpoline-external-thunk,\
    -mindirect-branch=thunk-extern -mindirect-branch-register)
SILICON_SECTIONS := $(HOST_KEY_SECTIONS) $(HOST_CALL_SECTIONS) \
    $(call section_bounds,lazy_calls dispatchers dynamic_calls dynamic_call_sites) \
    -Wl,--defsym=function_entries_start=__start___patchable_function_entries \
    -Wl,--defsym=function_entries_end=__stop___patchable_function_entries

$(SILICON_BUILD)/bench/%.o: bench/%.c tests/host/host.mk tests/silicon/silicon.mk
	@mkdir -p $(@D)
	@$(CC) $(HOST_CFLAGS) $(SILICON_LOOPS_CFLAGS) -MMD -MP -c $< -o $@

$(SILICON_BUILD)/loops.partial.o: $(SILICON_LOOPS) partial.ld
	@$(LD) -r -z noexecstack --fatal-warnings -T partial.ld $(SILICON_LOOPS) -o $@

$(SILICON_BUILD)/loops.call_sites.asm: $(SILICON_BUILD)/loops.partial.o $(CALL_SITES)
	@$(CALL_SITES) $< -o $@

$(SILICON_BUILD)/loops.call_sites.o: $(SILICON_BUILD)/loops.call_sites.asm
	@$(NASM) -f elf64 -Werror $< -o $@

$(SILICON_BUILD)/silicon: $(SILICON_OBJECTS) $(SILICON_BUILD)/loops.partial.o \
    $(SILICON_BUILD)/loops.call_sites.o $(HOST_LIVE) $(HOST)/libpatching.a
	@$(CC) $(HOST_CFLAGS) -no-pie $(SILICON_SECTIONS) $^ -o $@

-include $(wildcard $(SILICON_BUILD)/*.d $(SILICON_BUILD)/bench/*.d)
