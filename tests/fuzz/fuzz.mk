# SPDX-License-Identifier: MIT
# Fuzzing with clang's libFuzzer: `make fuzz` for FUZZ_SECONDS, `make fuzz-check` as CI does it,
# `make fuzz-mutants` shows that the fuzzers find bugs. Included by the root Makefile;
# `make -f tests/fuzz/fuzz.mk fuzz` works alone. Without a clang that can link a fuzzer: skipped.
# Invariant: nothing is written outside $(BUILD)/fuzz and $(BUILD)/mutants.

BUILD ?= build
PYTHON ?= /usr/bin/python3
FUZZ_CC ?= clang
NASM ?= nasm
FUZZ_SECONDS ?= 600
# In CI the fuzzers share the machine with the boot tests: this is half a minute of both CPUs.
FUZZ_CHECK_SECONDS ?= 45

FUZZ := $(BUILD)/fuzz
FUZZ_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Werror -I. -D_GNU_SOURCE \
    -fsanitize=address,undefined -fno-sanitize-recover=all
# What libFuzzer is to explore: patching/ and the interpreters of its inputs, not the oracles.
FUZZ_EXPLORED := -fsanitize=fuzzer-no-link
# A batch takes thousands of comparisons that say nothing about the input.
FUZZ_BATCH_EXPLORED := $(FUZZ_EXPLORED) -fno-sanitize-coverage=trace-cmp

FUZZ_TARGETS := fuzz_instruction fuzz_batch fuzz_packet fuzz_dispatcher fuzz_dynamic_call
# Users of batches, with tables of their own that a linker fills, and dispatchers.
FUZZ_BATCH_USERS := $(addprefix patching/,function_trace% static_key% static_call% indirect_thunk% \
    lazy_% dispatcher% dynamic_% image_text% generated_text% paravirt% trial.%)
fuzz_instruction_OBJECTS := $(addprefix $(FUZZ)/,fuzz_instruction.o oracle.o) \
    $(FUZZ)/patching/instruction.o
fuzz_dispatcher_OBJECTS := $(addprefix $(FUZZ)/,fuzz_dispatcher.o dispatcher_listing.o) \
    $(addprefix $(FUZZ)/patching/,dispatcher_image.o instruction.o)
fuzz_batch_OBJECTS := $(addprefix $(FUZZ)/,fuzz_batch.o oracle.o machine.o fetch.o model.o \
    outcome.o) \
    $(patsubst patching/%.c,$(FUZZ)/batch/%.o,\
        $(filter-out $(FUZZ_BATCH_USERS),$(wildcard patching/*.c)))
# Compiled dynamic calls over the recorder of tests/host, through the link-time pass; all of
# patching/ as a library, of which they take what they need.
FUZZ_SUBJECT_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -I. -D_GNU_SOURCE -fno-pie \
    -mno-red-zone
fuzz_dynamic_call_OBJECTS := $(addprefix $(FUZZ)/,fuzz_dynamic_call.o) \
    $(addprefix $(FUZZ)/subject/,dynamics.partial.o dynamics.call_sites.o dynamics_text.o \
        recorder.o watcher.o own_text.o) $(FUZZ)/libpatching.a
fuzz_bounds = -Wl,--defsym=$(1)_start=__start_$(1) -Wl,--defsym=$(1)_end=__stop_$(1)
fuzz_dynamic_call_LINK := -no-pie -lcmocka -Wl,-z,noexecstack $(foreach section,static_keys \
    static_key_sites static_calls call_sites dynamic_calls dynamic_call_sites,\
    $(call fuzz_bounds,$(section)))
# net/ over the fake kernel and card of tests/host; threads and what drives DHCP are left out.
FUZZ_NET_CFLAGS := -Itests/host/net_overlay
FUZZ_NET_FILES := $(filter-out net/net_poll.c net/housekeeping.c net/net_start.c net/dhcp.c \
    net/dhcp_client.c,\
    $(wildcard net/*.c)) kernel/format.c kernel/spinlock.c patching/status.c
fuzz_packet_OBJECTS := $(patsubst %.c,$(FUZZ)/packet/%.o,$(FUZZ_NET_FILES) \
    $(addprefix tests/fuzz/,fuzz_packet.c packet_form.c) \
    $(addprefix tests/host/,net_fake_kernel.c net_fake_device.c \
        net_fake_dispatcher.c))
FUZZ_PROGRAMS := $(FUZZ_TARGETS:%=$(FUZZ)/%)
FUZZ_MAKE := --make "$(MAKE) -s -f tests/fuzz/fuzz.mk FUZZ_CC=$(FUZZ_CC) BUILD=$(BUILD)" \
    --build $(BUILD) --clang $(FUZZ_CC)

.PHONY: fuzz fuzz-check fuzz-mutants fuzz-programs fuzz-mutant
fuzz:
	@$(PYTHON) tests/fuzz/run_fuzzers.py $(FUZZ_MAKE) --seconds="$(FUZZ_SECONDS)"
fuzz-check:
	@$(PYTHON) tests/fuzz/run_fuzzers.py $(FUZZ_MAKE) --seconds="$(FUZZ_CHECK_SECONDS)" \
	    --seed=1
mutants: fuzz-mutants
fuzz-mutants:
	@$(PYTHON) tests/fuzz/fuzz_mutants.py $(FUZZ_MAKE)

fuzz-programs: $(FUZZ_PROGRAMS)

# For fuzz_mutants.py: program $(TARGET) with the mutated file $(MUTANT).c in the place of $(FILE).
fuzz-mutant:
	@$(FUZZ_CC) $(if $(filter fuzz_packet,$(TARGET)),$(FUZZ_NET_CFLAGS)) $(FUZZ_CFLAGS) -w \
	    $(FUZZ_BATCH_EXPLORED) -c $(MUTANT).c -o $(MUTANT).o
	@$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer $(MUTANT).o \
	    $(filter-out %/$(FILE:.c=.o),$($(TARGET)_OBJECTS)) -lZydis $($(TARGET)_LINK) -o $(MUTANT)

$(FUZZ)/fuzz_%.o: tests/fuzz/fuzz_%.c tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	@$(FUZZ_CC) $(FUZZ_CFLAGS) $(FUZZ_EXPLORED) -MMD -MP -c $< -o $@

$(FUZZ)/%.o: tests/fuzz/%.c tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	@$(FUZZ_CC) $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@

# An oracle that the host tests use too.
$(FUZZ)/dispatcher_listing.o: tests/host/dispatcher_listing.c tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	@$(FUZZ_CC) $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@

$(FUZZ)/patching/%.o: patching/%.c tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	@$(FUZZ_CC) $(FUZZ_CFLAGS) $(FUZZ_EXPLORED) -MMD -MP -c $< -o $@

$(FUZZ)/batch/%.o: patching/%.c tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	@$(FUZZ_CC) $(FUZZ_CFLAGS) $(FUZZ_BATCH_EXPLORED) -MMD -MP -c $< -o $@

$(FUZZ)/packet/%.o: %.c tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	@$(FUZZ_CC) $(FUZZ_NET_CFLAGS) $(FUZZ_CFLAGS) $(FUZZ_EXPLORED) -MMD -MP -c $< -o $@

# As in tests/host/host.mk; the root Makefile builds it unless this file stands alone.
ifndef CALL_SITES
CALL_SITES := $(BUILD)/tools/call_sites
$(CALL_SITES): $(wildcard tools/call_sites*.[ch])
	@mkdir -p $(@D)
	@gcc -std=gnu11 -O2 -Wall -Wextra -Werror $(filter %.c,$^) -o $@ -lelf -ldw
endif

$(FUZZ)/subject/%.o: tests/host/%.c tests/fuzz/fuzz.mk
	@mkdir -p $(@D)
	@$(FUZZ_CC) $(FUZZ_SUBJECT_CFLAGS) -MMD -MP -c $< -o $@

$(FUZZ)/subject/%.partial.o: $(FUZZ)/subject/%.o partial.ld
	@$(LD) -r -z noexecstack --fatal-warnings -T partial.ld $< -o $@

$(FUZZ)/subject/%.call_sites.o: $(FUZZ)/subject/%.partial.o $(CALL_SITES)
	@$(CALL_SITES) $< -o $(@:.o=.asm)
	@$(NASM) -f elf64 -Werror $(@:.o=.asm) -o $@

$(FUZZ)/patching/%.asm.o: patching/%.asm
	@mkdir -p $(@D)
	@$(NASM) -f elf64 -g -F dwarf -I. -Werror $< -o $@

$(FUZZ)/libpatching.a: $(patsubst patching/%.c,$(FUZZ)/batch/%.o,$(wildcard patching/*.c)) \
    $(FUZZ)/patching/dynamic_watch_entry.asm.o
	@rm -f $@
	@ar rcs $@ $^

define fuzz_program
$(FUZZ)/$(1): $($(1)_OBJECTS)
	@$$(FUZZ_CC) $$(FUZZ_CFLAGS) -fsanitize=fuzzer $$^ -lZydis $($(1)_LINK) -o $$@
endef
$(foreach target,$(FUZZ_TARGETS),$(eval $(call fuzz_program,$(target))))

-include $(wildcard $(FUZZ)/*.d $(FUZZ)/patching/*.d $(FUZZ)/batch/*.d $(FUZZ)/packet/*/*.d \
    $(FUZZ)/packet/*/*/*.d $(FUZZ)/subject/*.d)
