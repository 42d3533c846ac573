# SPDX-License-Identifier: MIT
# The host tests: patching/, and the pure parts of kernel/, as Linux programs. `make check` runs
# them in seconds, `make mutants` proves that they detect what they claim to. Included by the root
# Makefile; `make -f tests/host/host.mk check` works alone.
# Invariant: nothing is written outside $(BUILD)/host.

BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
NASM ?= nasm
PYTHON ?= /usr/bin/python3

HOST := $(BUILD)/host
# -no-pie: static-key sites hold absolute addresses; -mno-red-zone: asm here pushes flags.
HOST_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -I. -D_GNU_SOURCE -fno-pie \
    -mno-red-zone -pthread
HOST_NASM := $(NASM) -f elf64 -g -F dwarf -I. -Werror
HOST_KEY_SECTIONS := -Wl,--defsym=static_key_sites_start=__start_static_key_sites \
    -Wl,--defsym=static_key_sites_end=__stop_static_key_sites \
    -Wl,--defsym=static_keys_start=__start_static_keys \
    -Wl,--defsym=static_keys_end=__stop_static_keys

HOST_PATCHING := $(patsubst patching/%.c,$(HOST)/patching/%.o,$(wildcard patching/*.c))
HOST_PATCHING_ASM := $(patsubst patching/%,$(HOST)/patching/%.o,$(wildcard patching/*.asm))
HOST_TESTS := $(patsubst tests/host/%.c,%,$(wildcard tests/host/test_*.c))
HOST_RECORDER := $(addprefix $(HOST)/,recorder.o watcher.o sites.o own_text.o single_step.o)
HOST_KEYS := test_static_key test_static_key_changes
HOST_LIVE := $(addprefix $(HOST)/,live.o live_clock.o live_sites.o live_stop.o live_text.o)

# What a program is linked with besides itself and patching/.
host_platform = \
    $(if $(filter test_static_key_races test_live%,$(1)),$(HOST_LIVE),$(HOST_RECORDER)) \
    $(if $(filter $(HOST_KEYS),$(1)),$(HOST)/keys.o) \
    $(if $(filter test_indirect_thunk%,$(1)),$(HOST)/thunk_call.o)
host_sections = $(if $(filter test_static_key% test_live,$(1)),$(HOST_KEY_SECTIONS))

.PHONY: check mutants host-mutants mutant
check: $(HOST_TESTS:%=$(HOST)/%)
	@$(PYTHON) tests/host/run_tests.py $^

mutants: host-mutants
host-mutants: $(HOST_TESTS:%=$(HOST)/%)
	@$(PYTHON) tests/host/mutants.py --host $(HOST) \
	    --make "$(MAKE) -s -f tests/host/host.mk CC=$(CC) BUILD=$(BUILD)"

# For mutants.py: makes program $(TEST) with the mutated file $(MUTANT), C or assembler. Its object
# stands before the library, so the linker takes nothing from the original.
mutant:
	@$(if $(filter %.asm,$(MUTANT)),$(HOST_NASM),$(CC) $(HOST_CFLAGS) -w -c) $(MUTANT) \
	    -o $(basename $(MUTANT)).o
	@$(CC) $(HOST_CFLAGS) -no-pie $(call host_sections,$(TEST)) $(HOST)/$(TEST).o \
	    $(basename $(MUTANT)).o $(call host_platform,$(TEST)) $(HOST)/libpatching.a \
	    -lcmocka -lZydis -o $(basename $(MUTANT))

$(HOST)/%.o: tests/host/%.c tests/host/host.mk
	@mkdir -p $(@D)
	@$(CC) $(HOST_CFLAGS) -MMD -MP -c $< -o $@

$(HOST)/patching/%.o: patching/%.c tests/host/host.mk
	@mkdir -p $(@D)
	@$(CC) $(HOST_CFLAGS) -MMD -MP -c $< -o $@

$(HOST)/patching/%.asm.o: patching/%.asm tests/host/host.mk
	@mkdir -p $(@D)
	@$(HOST_NASM) $< -o $@

$(HOST)/libpatching.a: $(HOST_PATCHING) $(HOST_PATCHING_ASM)
	@rm -f $@
	@ar rcs $@ $^

define host_program
$(HOST)/$(1): $(HOST)/$(1).o $(call host_platform,$(1)) $(HOST)/libpatching.a
	@$$(CC) $$(HOST_CFLAGS) -no-pie $(call host_sections,$(1)) $$^ -lcmocka -lZydis -o $$@
endef
$(foreach test,$(HOST_TESTS),$(eval $(call host_program,$(test))))

-include $(wildcard $(HOST)/*.d $(HOST)/patching/*.d)

include tests/host/kernel_tests.mk
include tests/host/coverage.mk
include tests/host/live.mk
