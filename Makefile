# SPDX-License-Identifier: MIT
# Builds livetext: every .c and .asm of the rooms below goes into one kernel image. `make help`
# lists the targets. Invariant: whatever influences an object (source, headers, flags, tool)
# rebuilds it.

BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
LD := ld
NASM := nasm
PYTHON := /usr/bin/python3
ROOMS := boot arch kernel patching drivers net bench tests/kernel

ELF := $(BUILD)/livetext.elf
ISO := $(BUILD)/livetext.iso

CFLAGS := -std=gnu11 -ffreestanding -O2 -g -Wall -Wextra -Werror -I. \
    -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fno-pic -fno-pie -fno-common \
    -fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
    -fcf-protection=none -fno-jump-tables
# No jump tables: an indirect jump could leave .text.nopatch (tools/check_nopatch.py refuses them).
# Indirect branches go through patching/indirect_thunk.asm.
# gcc alone turns the loop of memcpy() into a call of memcpy() and splits cold parts off functions.
ifeq (,$(findstring clang,$(CC)))
CFLAGS += -mindirect-branch=thunk-extern -mindirect-branch-register \
    -fno-tree-loop-distribute-patterns -fno-reorder-blocks-and-partition
else
CFLAGS += -mretpoline -mretpoline-external-thunk
endif
# Every function begins with five bytes of nop for patching/function_trace.c, but those that must
# not be patched: partial.ld names their objects.
ENTRY_CFLAGS := -fpatchable-function-entry=5
NOPATCH_OBJECTS := $(shell sed -n 's|^ *[*]\(.*\.o\).\.text .*|\1|p' partial.ld)
ASFLAGS := -f elf64 -g -F dwarf -I. -Werror
LDFLAGS := -nostdlib -static -z max-page-size=0x1000 -z noexecstack --build-id=none \
    --fatal-warnings -T linker.ld

C_SOURCES := $(foreach room,$(ROOMS),$(wildcard $(room)/*.c))
ASM_SOURCES := $(foreach room,$(ROOMS),$(wildcard $(room)/*.asm))
OBJECTS := $(C_SOURCES:%.c=$(BUILD)/%.o) $(ASM_SOURCES:%.asm=$(BUILD)/%.asm.o)

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: kernel
kernel: $(ELF)

# `make run` and its like take these from the command line or the environment; tools/run.sh reads
# them. A dollar sign in CMD is the kernel's, not a variable of make.
export BUILD SMP MEM NIC NETDEV ACCEL UEFI MACHINE
override export CMD := $(value CMD)

# The form of static calls that name none: inline or out-of-line (patching/static_call.h).
STATIC_CALLS ?= inline
STATIC_CALL_FORMS := inline=STATIC_CALL_INLINE out-of-line=STATIC_CALL_OUT_OF_LINE
STATIC_CALL_FORM := $(patsubst $(STATIC_CALLS)=%,%,$(filter $(STATIC_CALLS)=%,$(STATIC_CALL_FORMS)))
$(if $(STATIC_CALL_FORM),,$(error STATIC_CALLS=$(STATIC_CALLS) is neither inline nor out-of-line))
CFLAGS += -DSTATIC_CALL_FORM_DEFAULT=$(STATIC_CALL_FORM)

# A stamp holds the tools, the flags and the list of objects; it changes only when one of them does,
# not with the way in which $(BUILD) is written.
STAMP := $(BUILD)/flags.stamp
STAMP_TEXT := $(CC) $(CFLAGS) $(ENTRY_CFLAGS) $(NOPATCH_OBJECTS) / $(NASM) $(ASFLAGS) / \
    $(LD) $(LDFLAGS) / $(OBJECTS:$(BUILD)/%=%)
.PHONY: force
$(STAMP): force
	@mkdir -p $(@D)
	@echo '$(STAMP_TEXT)' | cmp -s - $@ || echo '$(STAMP_TEXT)' >$@

$(BUILD)/%.o: %.c $(STAMP)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS) $(if $(filter $*.o,$(NOPATCH_OBJECTS)),,$(ENTRY_CFLAGS)) -MMD -MP \
	    -c $< -o $@

# NASM 2.16's -MD forgets the includes, so every .asm depends on every .inc.
$(BUILD)/%.asm.o: %.asm $(STAMP) $(wildcard $(addsuffix /*.inc,$(ROOMS)))
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	@$(NASM) $(ASFLAGS) $< -o $@

-include $(patsubst %.o,%.d,$(OBJECTS))

# All objects become one, in which tools/call_sites finds the calls of patchable functions.
$(BUILD)/livetext.partial.o: $(OBJECTS) partial.ld
	@echo "  LD    $@"
	@$(LD) -r -z noexecstack --fatal-warnings -T partial.ld $(OBJECTS) -o $@

CALL_SITES := $(BUILD)/tools/call_sites

$(CALL_SITES): $(wildcard tools/call_sites*.[ch]) $(STAMP)
	@mkdir -p $(@D)
	@echo "  HOST  $@"
	@gcc -std=gnu11 -O2 -Wall -Wextra -Werror $(filter %.c,$^) -o $@ -lelf -ldw

# The generator of packets that tests and benches send to the machine.
PKTGEN := $(BUILD)/tools/pktgen

$(PKTGEN): $(wildcard tools/pktgen*.[ch]) $(STAMP)
	@mkdir -p $(@D)
	@echo "  HOST  $@"
	@gcc -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -pthread $(filter %.c,$^) -o $@

$(BUILD)/call_sites.asm: $(BUILD)/livetext.partial.o $(CALL_SITES)
	@$(CALL_SITES) $< -o $@

$(BUILD)/call_sites.o: $(BUILD)/call_sites.asm
	@$(NASM) $(ASFLAGS) $< -o $@

LINKED := $(BUILD)/livetext.partial.o $(BUILD)/call_sites.o

# Two links: the first, with an empty table, fixes the text; the second gets its symbols as a table.
$(BUILD)/symbols_empty.asm: tools/symbol_table.py $(STAMP)
	@$(PYTHON) tools/symbol_table.py -o $@

$(BUILD)/livetext.pass1: $(LINKED) $(BUILD)/symbols_empty.o linker.ld
	@echo "  LD    $@"
	@$(LD) $(LDFLAGS) $(LINKED) $(BUILD)/symbols_empty.o -o $@

$(BUILD)/symbols.asm: $(BUILD)/livetext.pass1
	@$(PYTHON) tools/symbol_table.py $< -o $@

$(BUILD)/symbols%.o: $(BUILD)/symbols%.asm
	@$(NASM) $(ASFLAGS) $< -o $@
$(BUILD)/symbols.o: $(BUILD)/symbols.asm
	@$(NASM) $(ASFLAGS) $< -o $@

# The image exists only if it passes its checks. tests/mutants/run.py leaves them out.
IMAGE_CHECKS := tools/check_nopatch.py tools/check_image.py tools/check_raw.py
$(ELF): $(BUILD)/livetext.pass1 $(BUILD)/symbols.o $(IMAGE_CHECKS)
	@echo "  LD    $@"
	@$(LD) $(LDFLAGS) $(LINKED) $(BUILD)/symbols.o -o $@
	@$(PYTHON) tools/symbol_table.py $< --check $@
	@for check in $(IMAGE_CHECKS); do $(PYTHON) $$check $@ || { rm -f $@; exit 1; }; done

.PHONY: help setup run debug iso bench test lint format kernel-mutants clean
help:
	@echo "make run      boot 4 CPUs in QEMU to the shell; Ctrl-A X quits"
	@echo "              SMP=1..255 MEM=256M NIC=virtio|e1000|e1000e ACCEL=auto|tcg|kvm|icount"
	@echo "              NETDEV=tap,ifname=tap0,script=no,downscript=no (behind NIC; default: user)"
	@echo "              MACHINE=pc|q35 UEFI=1 CMD='run=\"keys; exit\"' (kernel command line)"
	@echo "make debug    the same with gdb attached; the console goes to $(BUILD)/debug.log"
	@echo "make bench    boot, print every benchmark, exit"
	@echo "make bench-net  packets a second by card, flooded by tools/pktgen; BENCH_NET='--help'"
	@echo "make kernel   $(ELF) alone (boots with qemu -kernel)"
	@echo "make iso      $(ISO): CD or USB disk, BIOS and UEFI; takes CMD="
	@echo "make check    host tests alone, seconds"
	@echo "make coverage-lines  which lines and branches of patching/ the host tests do not reach"
	@echo "make silicon  patching on this machine's real CPU, two minutes; SILICON='-j --quick'"
	@echo "make test     everything; ends with 'N passed, N failed, N skipped'"
	@echo "make fuzz     fuzz patching/, net/ for FUZZ_SECONDS=600; fuzz-check: 45 s; fuzz-mutants"
	@echo "make model    the protocols in Spin, all interleavings; MODEL=name TRAIL=1 shows one"
	@echo "make mutants  break the code on purpose: the tests must notice"
	@echo "make lint     form, rooms, closed nopatch text, cppcheck, shellcheck"
	@echo "make format   clang-format everything"
	@echo "make clean    remove $(BUILD)"
	@echo "CC=clang BUILD=build/clang builds beside the default with clang;"
	@echo "STATIC_CALLS=out-of-line leaves calls unpatched, their trampolines alone change"

# The recursive makes keep the order under -j: tools first, then the build, then its use.
setup:
	@tools/setup.sh

run: setup
	@$(MAKE) --no-print-directory kernel
	@tools/run.sh; status=$$?; case $$status in \
	33) echo "QEMU status 33: every command succeeded" ;; \
	35) echo "QEMU status 35: a command failed, or the kernel panicked" ;; \
	0) echo "QEMU was closed" ;; \
	*) echo "QEMU status $$status" ;; esac; [ $$status -eq 33 ] || [ $$status -eq 0 ]

debug: setup
	@$(MAKE) --no-print-directory kernel
	@GDB=1 tools/run.sh

bench: override export CMD := \
    run="bench ipi; bench poke; bench calls; bench lazy; bench seeds; exit"
bench: run

# Over a tap device in a network namespace; BENCH_NET='--sweep', '--linux DIR', ... (--help).
.PHONY: bench-net
bench-net: setup
	@$(MAKE) --no-print-directory kernel
	@$(PYTHON) tools/bench_net.py $(BENCH_NET)

iso: setup
	@$(MAKE) --no-print-directory kernel
	@tools/make_iso.sh $(ELF) $(ISO) "$$CMD"
	@ls -l $(ISO)

MUTANT_TABLE := tools/mutant_table.py --results $(BUILD)/mutants patching/README.md
PYTEST := PYTHONPATH=tools $(PYTHON) -m pytest -q -p no:cacheprovider -p pytest_summary

# Two at a time, for most parts keep one CPU busy at most: the longest beside all others. A part
# waits for those that build what it uses, so that no two build the same file. The mutants' table in
# patching/README.md must be what four of them leave behind.
test: setup
	@tools/sum_tests.py --side-by-side 2 \
	    gcc='$(MAKE) kernel $(PKTGEN)' clang='$(MAKE) kernel CC=clang BUILD=$(BUILD)/clang' \
	    boot:gcc='$(PYTEST) -v tests/boot' host:gcc='$(MAKE) check' \
	    sanitized:host='$(MAKE) live-sanitized' \
	    tools:host='$(PYTEST) tools tests/mutants tests/fuzz tests/silicon' \
	    model='$(MAKE) model' fuzz:gcc='$(MAKE) fuzz-check' host-mutants:host='$(MAKE) host-mutants' \
	    kernel-mutants:gcc='$(MAKE) kernel-mutants' fuzz-mutants:fuzz='$(MAKE) fuzz-mutants' \
	    mutant-table:model,host-mutants,kernel-mutants,fuzz-mutants='$(MUTANT_TABLE) --check'

FORMATTED = $(wildcard $(addsuffix /*.[ch],$(ROOMS) tests/host tests/host/net_overlay/* tests/fuzz \
    tests/silicon tools))
SCRIPTS := .ci/run $(wildcard tools/*.sh)

# Bounds of linker sections are compared as pointers on purpose; asm goto breaks cppcheck's parser.
# Behind `register ... __asm__("rsp")` of arch/paravirt.h it no longer sees what asm writes: a
# variable that an instruction sets counts as never set.
CPPCHECK := cppcheck --quiet -j 2 --std=c11 --enable=warning,performance,portability \
    --inline-suppr --error-exitcode=1 --suppress=comparePointers --suppress=subtractPointers \
    --suppress=internalAstError -D_Noreturn=[[noreturn]] \
    $(addprefix --suppress=uninitvar:,arch/instructions.h arch/percpu.h bench/bench_pv_native.h)

lint: setup
	@$(MAKE) --no-print-directory kernel
	@tools/sum_tests.py format='clang-format --dry-run -Werror $(FORMATTED)' \
	    style=tools/check_style.py rooms='tools/check_rooms.py --objects $(BUILD)/patching' \
	    nopatch='tools/check_nopatch.py $(ELF)' image='tools/check_image.py $(ELF)' \
	    raw='tools/check_raw.py $(ELF)' \
	    cppcheck='$(CPPCHECK) -I. $(ROOMS) tools' shellcheck='shellcheck $(SCRIPTS)'

format:
	clang-format -i $(FORMATTED)

kernel-mutants: setup
	@$(MAKE) --no-print-directory kernel
	@$(PYTHON) tests/mutants/run.py

# With those of tests/host, tests/fuzz and tests/model, whose makefiles add them; then the table.
mutants: kernel-mutants model
	@$(MUTANT_TABLE)

clean:
	rm -rf $(BUILD)

-include tests/host/host.mk
-include tests/fuzz/fuzz.mk
-include tests/model/model.mk
-include tests/silicon/silicon.mk
