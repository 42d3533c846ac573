# SPDX-License-Identifier: MIT
# Builds livetext: every .c and .asm of the rooms below goes into one kernel image. `make help` lists the
# targets. Invariant: whatever influences an object (source, headers, flags, compiler) rebuilds it.

BUILD ?= build
ifeq ($(origin CC),default)
CC := gcc
endif
LD := ld
NASM := nasm
PYTHON := /usr/bin/python3
ROOMS := boot arch kernel patching drivers tests/kernel

ELF := $(BUILD)/livetext.elf
ISO := $(BUILD)/livetext.iso

CFLAGS := -std=gnu11 -ffreestanding -O2 -g -Wall -Wextra -Werror -I. \
    -mcmodel=kernel -mno-red-zone -mgeneral-regs-only -fno-pic -fno-pie -fno-common \
    -fno-stack-protector -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
    -fcf-protection=none -fno-jump-tables
# No jump tables: an indirect jump could leave .text.nopatch (tools/check_nopatch.py refuses them).
# gcc alone would turn the loop of memcpy() into a call of memcpy(), and split cold parts off functions.
ifeq (,$(findstring clang,$(CC)))
CFLAGS += -fno-tree-loop-distribute-patterns -fno-reorder-blocks-and-partition
endif
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

# A stamp holds the tools, the flags and the list of objects; it changes only when one of them does.
STAMP := $(BUILD)/flags.stamp
STAMP_TEXT := $(CC) $(CFLAGS) / $(NASM) $(ASFLAGS) / $(LD) $(LDFLAGS) / $(OBJECTS)
.PHONY: force
$(STAMP): force
	@mkdir -p $(@D)
	@echo '$(STAMP_TEXT)' | cmp -s - $@ || echo '$(STAMP_TEXT)' >$@

$(BUILD)/%.o: %.c $(STAMP)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/%.asm.o: %.asm $(STAMP)
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	@$(NASM) $(ASFLAGS) $< -o $@
	@$(NASM) $(ASFLAGS) -M -MF $(@:.o=.d) -MT $@ -MP $<  # NASM 2.16's -MD forgets the includes

-include $(patsubst %.o,%.d,$(OBJECTS))

# Two links: the first, with an empty table, fixes the text; its symbols become the table of the second.
$(BUILD)/symbols_empty.asm: tools/symbol_table.py $(STAMP)
	@$(PYTHON) tools/symbol_table.py -o $@

$(BUILD)/livetext.pass1: $(OBJECTS) $(BUILD)/symbols_empty.o linker.ld
	@echo "  LD    $@"
	@$(LD) $(LDFLAGS) $(OBJECTS) $(BUILD)/symbols_empty.o -o $@

$(BUILD)/symbols.asm: $(BUILD)/livetext.pass1
	@$(PYTHON) tools/symbol_table.py $< -o $@

$(BUILD)/symbols%.o: $(BUILD)/symbols%.asm
	@$(NASM) $(ASFLAGS) $< -o $@
$(BUILD)/symbols.o: $(BUILD)/symbols.asm
	@$(NASM) $(ASFLAGS) $< -o $@

# The image exists only if it passes its checks.
$(ELF): $(BUILD)/livetext.pass1 $(BUILD)/symbols.o $(wildcard tools/check_nopatch.py tools/check_image.py)
	@echo "  LD    $@"
	@$(LD) $(LDFLAGS) $(OBJECTS) $(BUILD)/symbols.o -o $@
	@$(PYTHON) tools/symbol_table.py $< --check $@
	@for check in $(filter %.py,$^); do $(PYTHON) $$check $@ || { rm -f $@; exit 1; }; done

.PHONY: clean
clean:
	rm -rf $(BUILD)
