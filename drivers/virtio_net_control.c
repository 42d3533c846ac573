// SPDX-License-Identifier: MIT
/* virtio-net's control queue: one request at a time, whose answer is waited for. Invariant: the
 * device has nothing of ours when a request ends well; after one that does not, the queue is not
 * used again until the device is reset. Called by virtio_net.c. */
#include "drivers/virtio_net.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/paging.h"
#include "arch/patience.h"
#include "kernel/log.h"

#define ANSWER_PATIENCE_NS 1000000000ull

/* "Control Virtqueue", "Automatic receive steering in multiqueue mode". */
#define ANSWER_OK         0
#define ANSWER_NONE       0xff /* not by the device */
#define CLASS_PAIRS       4
#define COMMAND_PAIRS_SET 0
#define QUESTION_BYTES    4

_Static_assert(offsetof(struct virtio_net_request, answer) == QUESTION_BYTES, "read, then written");

/* Sends nic->request. Returns whether the device has answered. */
static bool request_send(struct virtio_net *nic)
{
    struct patience patience = patience_begin(clock_now_ns(), ANSWER_PATIENCE_NS);
    uint64_t physical = virtual_to_physical(&nic->request);
    struct virtio_queue *ring = &nic->control->ring;
    struct virtio_taken taken;

    if (!virtio_queue_add_request(ring, physical, QUESTION_BYTES, physical + QUESTION_BYTES,
                                  sizeof(nic->request.answer), &nic->request)) {
        return false;
    }
    virtio_queue_publish(ring);
    virtio_pci_queue_notify(nic->control);
    while (virtio_queue_take(ring, &taken, 1) == 0) {
        if (patience_spent(&patience, clock_now_ns()) > ANSWER_PATIENCE_NS ||
            ring->broken != NULL) {
            return false;
        }
        cpu_relax();
    }
    return true;
}

bool virtio_net_control_set_pairs(struct virtio_net *nic, unsigned pairs)
{
    uint8_t answer;

    nic->request = (struct virtio_net_request){.class = CLASS_PAIRS,
                                               .command = COMMAND_PAIRS_SET,
                                               .value = (uint16_t)pairs,
                                               .answer = ANSWER_NONE};
    if (!request_send(nic)) {
        log_error("virtio-net at %s: the control queue does not answer%s%s", nic->device.location,
                  nic->control->ring.broken != NULL ? ": " : "",
                  nic->control->ring.broken != NULL ? nic->control->ring.broken : "");
        return false;
    }
    /* By the device, behind the compiler's back. */
    answer = __atomic_load_n(&nic->request.answer, __ATOMIC_RELAXED);
    if (answer != ANSWER_OK) {
        log_error("virtio-net at %s: refuses %u queue pairs (answer %u)", nic->device.location,
                  pairs, answer);
    }
    return answer == ANSWER_OK;
}
