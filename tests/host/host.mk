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
section_bounds = $(foreach section,$(1),-Wl,--defsym=$(section)_start=__start_$(section) \
    -Wl,--defsym=$(section)_end=__stop_$(section))
HOST_KEY_SECTIONS := $(call section_bounds,static_key_sites static_keys)
HOST_CALL_SECTIONS := -Wl,-z,noexecstack $(call section_bounds,static_calls call_sites)
HOST_DYNAMIC_SECTIONS := $(call section_bounds,dynamic_calls dynamic_call_sites)
# With the kernel's own table of paravirt ops, and its native ways.
HOST_PARAVIRT_SOURCES := tests/host/paravirts.c arch/paravirt_native.c
HOST_PARAVIRT_OBJECTS = $(HOST)/paravirts.o $(HOST)/arch/paravirt_native.o

HOST_PATCHING := $(patsubst patching/%.c,$(HOST)/patching/%.o,$(wildcard patching/*.c))
HOST_PATCHING_ASM := $(patsubst patching/%,$(HOST)/patching/%.o,$(wildcard patching/*.asm))
HOST_TESTS := $(patsubst tests/host/%.c,%,$(wildcard tests/host/test_*.c))
HOST_RECORDER := $(addprefix $(HOST)/,recorder.o watcher.o sites.o own_text.o single_step.o \
    updater.o)
HOST_KEYS := test_static_key test_static_key_changes test_static_call_transaction
HOST_CALLS := $(filter test_static_call%,$(HOST_TESTS))
HOST_XDP_CALLS := $(filter test_dispatcher test_dispatcher_faults test_dispatcher_auto \
    test_live_dispatcher,$(HOST_TESTS))
HOST_DYNAMIC_CALLS := $(filter test_dynamic_call% test_dynamic_auto%,$(HOST_TESTS))
HOST_DYNAMIC_SITES := $(HOST_DYNAMIC_CALLS) test_live_dynamic_call
HOST_PASSED := $(HOST_CALLS) $(HOST_XDP_CALLS) $(HOST_DYNAMIC_SITES)
HOST_LIVE_TESTS := $(filter test_live% test_static_key_races test_static_call_races,$(HOST_TESTS))
HOST_LIVE := $(addprefix $(HOST)/,live.o live_clock.o live_grace.o live_sites.o live_stop.o \
    live_text.o)

# What is linked for a program: itself, what it needs besides patching/, and sections to define.
# $(2): where objects are. Code that makes static calls goes through the link-time pass.
host_object = $(2)/$(1)$(if $(filter $(HOST_PASSED),$(1)),.partial.o $(2)/$(1).call_sites).o
host_platform = $(if $(filter $(HOST_LIVE_TESTS),$(1)),$(HOST_LIVE),$(HOST_RECORDER)) \
    $(if $(filter $(HOST_KEYS),$(1)),$(HOST)/keys.o) \
    $(if $(filter test_lazy_call%,$(1)),$(HOST)/lazies.o) \
    $(if $(filter $(HOST_DYNAMIC_CALLS),$(1)),$(HOST)/dynamics_text.o) \
    $(if $(filter test_dynamic_auto%,$(1)),$(HOST)/dynamic_world.o) \
    $(if $(filter test_dispatcher_choice test_dispatcher_basics,$(1)),$(HOST)/dispatcher_world.o) \
    $(if $(filter test_dynamic_choice% test_dynamic_scores test_dynamic_properties,$(1)), \
        $(HOST)/choice_world.o) \
    $(if $(filter test_dispatcher_image%,$(1)),$(HOST)/dispatcher_listing.o) \
    $(if $(filter test_indirect_thunk% test_dispatcher_image_calls test_dynamic_call_entry,$(1)),\
        $(HOST)/thunk_call.o) \
    $(if $(filter test_paravirt%,$(1)),$(HOST_PARAVIRT_OBJECTS))
host_sections = $(if $(filter $(HOST_KEYS) $(HOST_DYNAMIC_SITES) test_static_key% test_live,$(1)),\
    $(HOST_KEY_SECTIONS)) \
    $(if $(filter $(HOST_DYNAMIC_SITES),$(1)),$(HOST_DYNAMIC_SECTIONS)) \
    $(if $(filter $(HOST_PASSED),$(1)),$(HOST_CALL_SECTIONS)) \
    $(if $(filter $(HOST_XDP_CALLS),$(1)),$(call section_bounds,dispatchers)) \
    $(if $(findstring lazy_call,$(1)),$(call section_bounds,lazy_calls)) \
    $(if $(findstring paravirt,$(1)),$(call section_bounds,paravirt_sites)) \
    $(if $(filter test_static_call_table,$(1)),$(call section_bounds,static_call_choices))

.PHONY: check mutants host-mutants patching-mutant header-mutant
check: $(HOST_TESTS:%=$(HOST)/%)
	@$(PYTHON) tests/host/run_tests.py $^

mutants: host-mutants
host-mutants: $(HOST_TESTS:%=$(HOST)/%)
	@$(PYTHON) tests/host/mutants.py --host $(HOST) \
	    --make "$(MAKE) -rs -f tests/host/host.mk CC=$(CC) BUILD=$(BUILD)"

# For mutants.py, through kernel_tests.mk: makes program $(TEST) with the mutated file $(MUTANT), C
# or assembler. Its object stands before the library: the linker takes nothing from the original.
patching-mutant:
	@$(if $(filter %.asm,$(MUTANT)),$(HOST_NASM),$(CC) $(HOST_CFLAGS) -g0 -w -c) $(MUTANT) \
	    -o $(basename $(MUTANT)).o
	@$(CC) $(HOST_CFLAGS) -no-pie $(call host_sections,$(TEST)) \
	    $(call host_object,$(TEST),$(HOST)) $(basename $(MUTANT)).o \
	    $(filter-out $(HOST)/$(ORIGINAL:.c=.o),$(call host_platform,$(TEST))) \
	    $(HOST)/libpatching.a -lcmocka -lZydis -o $(basename $(MUTANT))

# The same with a mutated header, which stands in the place of $(ORIGINAL) for the test and for the
# sources that it shares with others.
header-mutant:
	@mkdir -p $(basename $(MUTANT))_include/$(dir $(ORIGINAL))
	@cp $(MUTANT) $(basename $(MUTANT))_include/$(ORIGINAL)
	@$(CC) -I$(basename $(MUTANT))_include $(HOST_CFLAGS) -w -no-pie \
	    $(call host_sections,$(TEST)) tests/host/$(TEST).c \
	    $(if $(filter test_paravirt%,$(TEST)),$(HOST_PARAVIRT_SOURCES)) \
	    $(filter-out $(HOST_PARAVIRT_OBJECTS),$(call host_platform,$(TEST))) \
	    $(HOST)/libpatching.a -lcmocka -lZydis -o $(basename $(MUTANT))

$(HOST)/%.o: tests/host/%.c tests/host/host.mk
	@mkdir -p $(@D)
	@$(CC) $(HOST_CFLAGS) -MMD -MP -c $< -o $@

$(HOST)/patching/%.o: patching/%.c tests/host/host.mk
	@mkdir -p $(@D)
	@$(CC) $(HOST_CFLAGS) -MMD -MP -c $< -o $@

$(HOST)/arch/%.o: arch/%.c tests/host/host.mk
	@mkdir -p $(@D)
	@$(CC) $(HOST_CFLAGS) -MMD -MP -c $< -o $@

$(HOST)/patching/%.asm.o: patching/%.asm tests/host/host.mk
	@mkdir -p $(@D)
	@$(HOST_NASM) $< -o $@

$(HOST)/libpatching.a: $(HOST_PATCHING) $(HOST_PATCHING_ASM)
	@rm -f $@
	@ar rcs $@ $^

# The link-time pass, as for the kernel; the root Makefile builds it unless this file stands alone.
ifndef CALL_SITES
CALL_SITES := $(BUILD)/tools/call_sites
$(CALL_SITES): $(wildcard tools/call_sites*.[ch])
	@mkdir -p $(@D)
	@gcc -std=gnu11 -O2 -Wall -Wextra -Werror $(filter %.c,$^) -o $@ -lelf -ldw
endif

$(BUILD)/host%.partial.o: $(BUILD)/host%.o partial.ld tests/host/host.mk
	@$(LD) -r -z noexecstack --fatal-warnings -T partial.ld $(filter %.o,$^) -o $@

$(BUILD)/host%.call_sites.asm: $(BUILD)/host%.partial.o $(CALL_SITES)
	@$(CALL_SITES) $< -o $@

$(BUILD)/host%.call_sites.o: $(BUILD)/host%.call_sites.asm
	@$(NASM) -f elf64 -Werror $< -o $@

.PRECIOUS: $(BUILD)/host%.partial.o $(BUILD)/host%.call_sites.asm $(BUILD)/host%.call_sites.o
$(patsubst %,$(HOST)/%.partial.o,$(filter-out $(HOST_LIVE_TESTS),$(HOST_CALLS))): $(HOST)/calls.o
$(patsubst %,$(HOST)/%.partial.o,$(filter test_dispatcher%,$(HOST_XDP_CALLS))): $(HOST)/dispatched.o
$(patsubst %,$(HOST)/%.partial.o,$(HOST_DYNAMIC_CALLS)): $(HOST)/dynamics.o

define host_program
$(HOST)/$(1): $(call host_object,$(1),$(HOST)) $(call host_platform,$(1)) $(HOST)/libpatching.a
	@$$(CC) $$(HOST_CFLAGS) -no-pie $(call host_sections,$(1)) $$^ -lcmocka -lZydis -o $$@
endef
$(foreach test,$(HOST_TESTS),$(eval $(call host_program,$(test))))

-include $(wildcard $(HOST)/*.d $(HOST)/arch/*.d $(HOST)/patching/*.d)

include tests/host/net_tests.mk
include tests/host/kernel_tests.mk
include tests/host/coverage.mk
include tests/host/live.mk
