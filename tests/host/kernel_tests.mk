# SPDX-License-Identifier: MIT
# Host tests of the pure parts of kernel/, bench/, arch/, drivers/ and net/, as Linux programs under
# the address and undefined-behaviour sanitizers. Included by tests/host/host.mk, whose `check` runs
# them too.

KERNEL_HOST_TESTS := kernel_format kernel_string kernel_log_ring kernel_table kernel_options \
    kernel_words kernel_command_line kernel_line_editor kernel_shell kernel_glob \
    bench_dispatch_traffic \
    arch_instruction_shape arch_kvm arch_clock_floor arch_patience \
    drivers_pci_bus drivers_pci_bar drivers_pci_interrupts \
    drivers_e1000_receive drivers_e1000_transmit drivers_e1000_reset_lies \
    net_address net_dhcp_client net_dhcp_message \
    drivers_virtio_queue drivers_virtio_queue_lies drivers_virtio_net drivers_virtio_pci_lies

KERNEL_FAKE_CONSOLE := tests/host/kernel_fake_console.c kernel/format.c

kernel_format_SOURCES := kernel/format.c
kernel_string_SOURCES :=
kernel_log_ring_SOURCES := kernel/log_ring.c
kernel_table_SOURCES := kernel/table.c $(KERNEL_FAKE_CONSOLE)
kernel_options_SOURCES := kernel/options.c $(KERNEL_FAKE_CONSOLE)
kernel_words_SOURCES := kernel/words.c kernel/nearest_word.c
kernel_glob_SOURCES := kernel/glob.c
bench_dispatch_traffic_SOURCES := bench/bench_dispatch_traffic.c
kernel_command_line_SOURCES := kernel/command_line.c kernel/log_ring.c kernel/nearest_word.c \
    kernel/options.c kernel/words.c $(KERNEL_FAKE_CONSOLE)
kernel_line_editor_SOURCES := kernel/line_editor.c kernel/line_view.c
kernel_shell_SOURCES := kernel/shell.c kernel/completion.c kernel/line_editor.c \
    kernel/nearest_word.c kernel/words.c $(KERNEL_FAKE_CONSOLE)
arch_instruction_shape_SOURCES := arch/instruction_shape.c
arch_kvm_SOURCES :=
arch_clock_floor_SOURCES := arch/clock_floor.c
arch_patience_SOURCES :=
net_address_SOURCES := net/net_address.c net/net_address_list.c net/ipv4_text.c kernel/format.c
net_dhcp_client_SOURCES := net/dhcp_client.c net/net_address.c
net_dhcp_message_SOURCES := net/dhcp_message.c
drivers_virtio_queue_SOURCES := drivers/virtio_queue.c tests/host/fake_virtio.c
drivers_virtio_queue_lies_SOURCES := $(drivers_virtio_queue_SOURCES)
drivers_virtio_net_SOURCES := drivers/virtio_net_rings.c drivers/virtio_queue.c \
    kernel/spinlock.c tests/host/fake_pool.c
drivers_virtio_net_CFLAGS := -Itests/host/net_overlay

PCI_BUS_AND_FAKE := drivers/pci_bus.c drivers/pci_bar.c drivers/pci_capability.c kernel/format.c \
    tests/host/fake_pci.c
drivers_pci_bus_SOURCES := $(PCI_BUS_AND_FAKE)
drivers_pci_bar_SOURCES := $(PCI_BUS_AND_FAKE)
drivers_pci_interrupts_SOURCES := drivers/pci_interrupts.c drivers/pci_intx.c $(PCI_BUS_AND_FAKE)
drivers_e1000_receive_SOURCES := drivers/e1000_ring.c tests/host/fake_pool.c
drivers_e1000_transmit_SOURCES := drivers/e1000_ring.c tests/host/fake_pool.c

# A whole driver, attached to a device whose registers react.
NIC_FAKES := $(PCI_BUS_AND_FAKE) drivers/pci_drivers.c tests/host/fake_registers.c \
    tests/host/fake_nic_kernel.c tests/host/fake_pool.c kernel/spinlock.c
drivers_virtio_pci_lies_SOURCES := $(addprefix drivers/virtio_,pci.c net.c net_control.c \
    net_interrupts.c net_rings.c queue.c) tests/host/fake_virtio_card.c $(NIC_FAKES)
drivers_virtio_pci_lies_CFLAGS := -Itests/host/net_overlay
drivers_e1000_reset_lies_SOURCES := $(addprefix drivers/e1000,.c e.c _common.c _reset.c _ring.c \
    _setup.c) $(NIC_FAKES)
drivers_e1000_reset_lies_CFLAGS := -Itests/host/net_overlay

KERNEL_HOST_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Werror -I. -fno-omit-frame-pointer \
    -fsanitize=address,undefined -fno-sanitize-recover=all

check: $(KERNEL_HOST_TESTS:%=$(HOST)/%)

# Each file is compiled once for all programs: plainly, and over the headers of net_overlay.
kernel_host_folder = $(HOST)/kernel_$(if $($(1)_CFLAGS),overlay,plain)
kernel_host_objects = $(addprefix $(kernel_host_folder)/,\
    $(patsubst %.c,%.o,tests/host/$(1).c $($(1)_SOURCES)))

$(HOST)/kernel_plain/%.o: %.c tests/host/kernel_tests.mk
	@mkdir -p $(@D)
	@$(CC) $(KERNEL_HOST_CFLAGS) -MMD -MP -c $< -o $@

$(HOST)/kernel_overlay/%.o: %.c tests/host/kernel_tests.mk
	@mkdir -p $(@D)
	@$(CC) -Itests/host/net_overlay $(KERNEL_HOST_CFLAGS) -MMD -MP -c $< -o $@

define kernel_host_program
$(HOST)/$(1): $(call kernel_host_objects,$(1))
	@$$(CC) $$(KERNEL_HOST_CFLAGS) $$^ -lcmocka -lZydis -o $$@
endef
$(foreach test,$(KERNEL_HOST_TESTS),$(eval $(call kernel_host_program,$(test))))

-include $(wildcard $(HOST)/kernel_*/*/*.d $(HOST)/kernel_*/*/*/*.d)

# For mutants.py: program $(TEST) with $(MUTANT) in the place of $(ORIGINAL). Of the programs here,
# those that own mutants:
host-mutants: $(addprefix $(HOST)/drivers_e1000_,receive transmit reset_lies) \
    $(addprefix $(HOST)/drivers_virtio_,queue queue_lies net pci_lies)
host-mutants: $(addprefix $(HOST)/arch_,clock_floor patience)
host-mutants: $(addprefix $(HOST)/net_,address dhcp_client dhcp_message)

.PHONY: mutant kernel-mutant kernel-header-mutant
mutant: $(if $(filter $(TEST),$(NET_HOST_TESTS)),net-mutant,\
    $(if $(filter $(TEST),$(KERNEL_HOST_TESTS)),\
    kernel-$(if $(filter %.h,$(MUTANT)),header-)mutant,\
    $(if $(filter %.h,$(MUTANT)),header-mutant,patching-mutant)))
kernel-mutant:
	@$(CC) $($(TEST)_CFLAGS) $(KERNEL_HOST_CFLAGS) -w -c $(MUTANT) -o $(basename $(MUTANT)).o
	@$(CC) $(KERNEL_HOST_CFLAGS) $(basename $(MUTANT)).o \
	    $(filter-out %/$(ORIGINAL:.c=.o),$(call kernel_host_objects,$(TEST))) \
	    -lcmocka -lZydis -o $(basename $(MUTANT))

# The program is compiled anew over the mutated header.
kernel-header-mutant:
	@mkdir -p $(basename $(MUTANT))_include/$(dir $(ORIGINAL))
	@cp $(MUTANT) $(basename $(MUTANT))_include/$(ORIGINAL)
	@$(CC) -I$(basename $(MUTANT))_include $($(TEST)_CFLAGS) $(KERNEL_HOST_CFLAGS) -w \
	    tests/host/$(TEST).c $($(TEST)_SOURCES) -lcmocka -lZydis -o $(basename $(MUTANT))
