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

$(SILICON_BUILD)/silicon: $(SILICON_OBJECTS) $(HOST_LIVE) $(HOST)/libpatching.a
	@$(CC) $(HOST_CFLAGS) -no-pie $(HOST_KEY_SECTIONS) $^ -o $@

-include $(wildcard $(SILICON_BUILD)/*.d)
