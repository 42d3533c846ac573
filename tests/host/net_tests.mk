# SPDX-License-Identifier: MIT
# Host tests of net/ as Linux programs under the address and undefined-behaviour sanitizers: real
# files of net/ over the headers of net_overlay/ and a fake kernel and card. Included by
# tests/host/host.mk, whose `check` runs them and whose `mutant` builds mutants of net/.

NET_HOST_TESTS := net_answers net_ethernet net_arp net_ipv4 net_ipv4_send net_icmp net_ping \
    net_udp net_config net_dhcp net_program net_program_code net_program_count

NET_HOST := $(HOST)/net_objects
NET_HOST_CFLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Werror -Itests/host/net_overlay -I. \
    -D_GNU_SOURCE -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
    -pthread
# The packet path and DHCP; not the threads of queues, which tests are.
NET_HOST_FILES := net/arp.c net/arp_table.c net/counters.c net/dhcp.c net/dhcp_client.c \
    net/dhcp_message.c net/ethernet.c net/icmp.c net/icmp_ping.c net/ipv4.c net/ipv4_send.c \
    net/ipv4_text.c net/net_address.c net/net_config.c net/net_device.c net/net_transmit.c \
    net/packet_pool.c net/program.c net/program_code.c net/program_generate.c net/program_list.c \
    net/program_reference.c net/programs_builtin.c net/receive.c net/udp.c net/wire.c \
    kernel/format.c kernel/spinlock.c patching/status.c
NET_HOST_HELPERS := $(addprefix $(NET_HOST)/tests/host/net_,fake_kernel.o fake_device.o \
    fake_dispatcher.o frames.o)

check: $(NET_HOST_TESTS:%=$(HOST)/%)

$(NET_HOST)/%.o: %.c tests/host/net_tests.mk
	@mkdir -p $(@D)
	@$(CC) $(NET_HOST_CFLAGS) -MMD -MP -c $< -o $@

$(HOST)/libnet.a: $(NET_HOST_FILES:%.c=$(NET_HOST)/%.o)
	@rm -f $@
	@ar rcs $@ $^

# Looks at generated code.
$(HOST)/net_program_code: NET_HOST_LIBRARIES := -lZydis

$(NET_HOST_TESTS:%=$(HOST)/%): $(HOST)/%: $(NET_HOST)/tests/host/%.o $(NET_HOST_HELPERS) \
    $(HOST)/libnet.a
	@$(CC) $(NET_HOST_CFLAGS) $^ -lcmocka $(NET_HOST_LIBRARIES) -o $@

# For mutants.py: program $(TEST) with $(MUTANT) before the library that holds the original.
host-mutants: $(NET_HOST_TESTS:%=$(HOST)/%)
.PHONY: net-mutant
net-mutant:
	@$(CC) $(NET_HOST_CFLAGS) -w -c $(MUTANT) -o $(basename $(MUTANT)).o
	@$(CC) $(NET_HOST_CFLAGS) $(NET_HOST)/tests/host/$(TEST).o $(basename $(MUTANT)).o \
	    $(NET_HOST_HELPERS) $(HOST)/libnet.a -lcmocka -lZydis -o $(basename $(MUTANT))

-include $(wildcard $(NET_HOST)/*/*.d $(NET_HOST)/*/*/*.d)
