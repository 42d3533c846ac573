# SPDX-License-Identifier: MIT
# The live programs under the sanitizers: `make live-sanitized` builds them a second and a third
# time, in $(BUILD)/host-asan (address and undefined behaviour) and $(BUILD)/host-tsan (threads),
# and runs each with all of its flips; but a tenth or less of the flips and of the updates of static
# calls, dispatchers, dynamic calls and paravirt ops in the second. Included by host.mk.
# Invariant: any report of a sanitizer ends its program with a status that is not 0.

LIVE_TESTS := $(HOST_LIVE_TESTS)

LIVE_asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LIVE_tsan := -fsanitize=thread -DFLIPS=10000 -DSTATIC_CALL_UPDATES=10000 \
    -DDISPATCHER_UPDATES=1000 -DDYNAMIC_CALL_CHANGES=1000 -DPARAVIRT_CHANGES=2000

# The parking signal may interrupt the runtime of the sanitizer: see live_stop.c.
LIVE_UNINSTRUMENTED := live_stop

# Without randomized addresses: kernels of today spread them wider than the shadow memory of
# compilers of yesterday allows.
.PHONY: live-sanitized live-asan live-tsan
live-sanitized: live-asan live-tsan
live-asan live-tsan: live-%:
	@setarch --addr-no-randomize $(PYTHON) tests/host/run_tests.py $^
$(foreach kind,asan tsan,$(eval live-$(kind): $(LIVE_TESTS:%=$(BUILD)/host-$(kind)/%)))

define live_build
$(BUILD)/host-$(1)/%.o: tests/host/%.c tests/host/host.mk tests/host/live.mk
	@mkdir -p $$(@D)
	@$$(CC) $$(HOST_CFLAGS) $$(if $$(filter $(LIVE_UNINSTRUMENTED),$$*),,$(LIVE_$(1))) \
	    -MMD -MP -c $$< -o $$@

$(BUILD)/host-$(1)/patching/%.o: patching/%.c tests/host/host.mk tests/host/live.mk
	@mkdir -p $$(@D)
	@$$(CC) $$(HOST_CFLAGS) $(LIVE_$(1)) -MMD -MP -c $$< -o $$@

$(BUILD)/host-$(1)/libpatching.a: $(HOST_PATCHING:$(HOST)/%=$(BUILD)/host-$(1)/%) \
    $(HOST_PATCHING_ASM)
	@rm -f $$@
	@ar rcs $$@ $$^

-include $(wildcard $(BUILD)/host-$(1)/*.d $(BUILD)/host-$(1)/patching/*.d)
endef
$(foreach kind,asan tsan,$(eval $(call live_build,$(kind))))

define live_program
$(BUILD)/host-$(1)/$(2): $(call host_object,$(2),$(BUILD)/host-$(1)) \
    $(HOST_LIVE:$(HOST)/%=$(BUILD)/host-$(1)/%) $(BUILD)/host-$(1)/libpatching.a
	@$$(CC) $$(HOST_CFLAGS) $(LIVE_$(1)) -no-pie $(call host_sections,$(2)) $$^ -lcmocka -o $$@
endef
$(foreach kind,asan tsan,$(foreach test,$(LIVE_TESTS),$(eval $(call live_program,$(kind),$(test)))))
