# SPDX-License-Identifier: MIT
# Branch coverage of patching/ by the host tests: the objects of the tests as they are, linked with
# a patching/ that counts. Included by tests/host/host.mk, whose `check` prints the table and fails
# under the bar; `make coverage` prints it alone, `make coverage-lines` names what was not reached.
# gcc whatever CC is: gcov reads nobody else's counts.
# Invariant: nothing is written outside $(BUILD)/host and $(BUILD)/host-coverage.

COVERAGE_BAR := 95
COVERAGE_CC := gcc
COVERAGE := $(BUILD)/host-coverage
# -O0: one branch in the object for each in the source. Atomic: some tests have threads.
COVERAGE_CFLAGS := $(filter-out -O2,$(HOST_CFLAGS)) -O0 --coverage -fprofile-update=atomic \
    -fprofile-abs-path

COVERAGE_PATCHING := $(patsubst patching/%.c,$(COVERAGE)/%.o,$(wildcard patching/*.c))
# Programs whose threads meet by chance are left out, so that the figure is the same in each run.
COVERAGE_TESTS := $(filter-out $(HOST_LIVE_TESTS),$(HOST_TESTS))
COVERAGE_PROGRAMS := $(COVERAGE_TESTS:%=$(COVERAGE)/%)
COVERAGE_RUN := $(PYTHON) tools/coverage.py --counts $(COVERAGE) --bar $(COVERAGE_BAR)

.PHONY: coverage coverage-lines
check: $(HOST)/coverage
coverage: $(COVERAGE_PROGRAMS)
	@$(COVERAGE_RUN) $^
coverage-lines: $(COVERAGE_PROGRAMS)
	@$(COVERAGE_RUN) --lines $^

# One more test program, in the eyes of run_tests.py.
$(HOST)/coverage: $(COVERAGE_PROGRAMS) tools/coverage.py tests/host/coverage.mk
	@printf '#!/bin/sh\nexec $(COVERAGE_RUN) --tap $(COVERAGE_PROGRAMS)\n' >$@
	@chmod +x $@

$(COVERAGE)/%.o: patching/%.c tests/host/host.mk tests/host/coverage.mk
	@mkdir -p $(@D)
	@$(COVERAGE_CC) $(COVERAGE_CFLAGS) -MMD -MP -c $< -o $@

# What gcov would still find of a file that is gone goes with the library.
$(COVERAGE)/libpatching.a: $(COVERAGE_PATCHING) $(HOST_PATCHING_ASM)
	@rm -f $@ $(filter-out $(^:.o=.gcno),$(wildcard $(COVERAGE)/*.gcno))
	@ar rcs $@ $^

define coverage_program
$(COVERAGE)/$(1): $(call host_object,$(1),$(HOST)) $(call host_platform,$(1)) \
    $(COVERAGE)/libpatching.a
	@$$(COVERAGE_CC) $$(COVERAGE_CFLAGS) -no-pie $(call host_sections,$(1)) $$^ -lcmocka -lZydis -o $$@
endef
$(foreach test,$(COVERAGE_TESTS),$(eval $(call coverage_program,$(test))))

-include $(wildcard $(COVERAGE)/*.d)
