// SPDX-License-Identifier: MIT
/* virtio-net's interrupts. With MSI-X vector 0 is for the configuration (the link), and each queue
 * pair has one of its own; with fewer vectors pairs share them, and with a single one all share it.
 * Without MSI-X there is one interrupt, and a register says what for.
 *
 * Invariant: a queue whose vector fires is told; being told for nothing does no harm. Handlers
 * touch no ring: they mark queues and read the link. Called by virtio_net.c and by interrupts. */
#include "drivers/virtio_net.h"

#include "kernel/log.h"

#define CONFIG_STATUS_OFFSET 6 /* "Device configuration layout" */
#define CONFIG_LINK_UP       1u
#define LINK_LOOKS_MAX       16 /* a link that changes faster than that will interrupt again */

static bool link_is_up(const struct virtio_net *nic)
{
    return (nic->features & VIRTIO_NET_FEATURE_STATUS) == 0 ||
           (virtio_pci_read_config16(&nic->transport, CONFIG_STATUS_OFFSET) & CONFIG_LINK_UP) != 0;
}

/* Whoever passes the state on looks again after that: so of two who do it at once, the later one
 * leaves behind what is true. */
void virtio_net_link_update(struct virtio_net *nic)
{
    bool is_up;
    unsigned looks = 0;

    do {
        is_up = link_is_up(nic);
        net_device_set_link(&nic->device, is_up);
    } while (link_is_up(nic) != is_up && ++looks < LINK_LOOKS_MAX);
}

static void config_changed(struct virtio_net *nic)
{
    if (virtio_pci_needs_reset(&nic->transport)) {
        net_device_fail(&nic->device, "asks to be reset (DEVICE_NEEDS_RESET)");
    } else {
        virtio_net_link_update(nic);
    }
}

static void queues_interrupted(struct virtio_net *nic, unsigned first, unsigned step)
{
    for (unsigned i = first; i < nic->device.queue_count; i += step) {
        net_queue_interrupt(&nic->device.queues[i]);
    }
}

static bool is_running(const struct virtio_net *nic)
{
    /* Acquire: pairs with the release in virtio_net.c; queues and registers are set up. */
    return __atomic_load_n(&nic->is_running, __ATOMIC_ACQUIRE);
}

static bool handle_vector(void *argument)
{
    const struct virtio_net_vector *vector = argument;
    struct virtio_net *nic = vector->nic;

    if (is_running(nic)) {
        if (vector->index == 0) {
            config_changed(nic);
        }
        if (nic->vector_count == 1) {
            queues_interrupted(nic, 0, 1);
        } else if (vector->index > 0) {
            queues_interrupted(nic, vector->index - 1, nic->vector_count - 1);
        }
    }
    return true;
}

static bool handle_line(void *argument)
{
    struct virtio_net *nic = ((const struct virtio_net_vector *)argument)->nic;
    uint8_t causes;

    /* Acquire: pairs with the releases in virtio_net.c; it decodes what is read. */
    if (__atomic_load_n(&nic->is_off, __ATOMIC_ACQUIRE)) {
        return false;
    }
    causes = virtio_pci_read_interrupts(&nic->transport);
    if (is_running(nic)) {
        if ((causes & VIRTIO_INTERRUPT_CONFIG) != 0) {
            config_changed(nic);
        }
        if ((causes & VIRTIO_INTERRUPT_QUEUE) != 0) {
            queues_interrupted(nic, 0, 1);
        }
    }
    return causes != 0;
}

uint16_t virtio_net_config_vector(const struct virtio_net *nic)
{
    return nic->interrupt_kind == PCI_INTERRUPT_MSIX ? 0 : VIRTIO_NO_VECTOR;
}

uint16_t virtio_net_queue_vector(const struct virtio_net *nic, unsigned pair)
{
    if (nic->interrupt_kind != PCI_INTERRUPT_MSIX) {
        return VIRTIO_NO_VECTOR;
    }
    return nic->vector_count == 1 ? 0 : (uint16_t)(1 + pair % (nic->vector_count - 1));
}

/* The CPU of the first queue that a vector is for. */
static unsigned vector_cpu(const struct virtio_net *nic, unsigned vector)
{
    return nic->device.queues[vector == 0 ? 0 : vector - 1].cpu;
}

bool virtio_net_interrupts_route(struct virtio_net *nic)
{
    unsigned wanted = nic->device.queue_count + 1;

    nic->interrupt_kind = pci_interrupts_choose(nic->transport.pci, wanted, &nic->vector_count);
    nic->device.interrupt_kind = pci_interrupt_kind_name(nic->interrupt_kind);
    nic->device.is_polled_by_clock = nic->interrupt_kind == PCI_INTERRUPT_NONE;
    for (unsigned i = 0; i < nic->vector_count; i++) {
        nic->vectors[i] = (struct virtio_net_vector){.nic = nic, .index = i};
        if (!pci_interrupt_route(nic->transport.pci, i, vector_cpu(nic, i),
                                 nic->interrupt_kind == PCI_INTERRUPT_MSIX ? handle_vector
                                                                           : handle_line,
                                 &nic->vectors[i])) {
            return false;
        }
    }
    if (nic->interrupt_kind == PCI_INTERRUPT_MSIX && nic->vector_count < wanted) {
        log_info("virtio-net at %s: %u MSI-X vectors for %u queue pairs: some share one",
                 nic->device.location, nic->vector_count, nic->device.queue_count);
    }
    return true;
}
