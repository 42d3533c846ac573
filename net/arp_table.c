// SPDX-License-Identifier: MIT
/* The table of neighbours; see arp_table.h, arp.h. Invariant: device and address of two entries
 * that are not free differ; only an entry that is asked for has packets that wait, pending_count of
 * them. Called by arp.c and by listings. */
#include "net/arp_table.h"

#include "arch/clock.h"
#include "kernel/spinlock.h"
#include "kernel/string.h"
#include "net/counters.h"

struct arp_entry {
    enum arp_state state;
    struct net_device *device;
    uint32_t address;
    uint8_t mac[MAC_BYTES];
    unsigned requests; /* sent since it was last heard of */
    uint64_t since_ns; /* it was learnt or first asked for */
    uint64_t heard_ns;
    uint64_t asked_ns;
    uint64_t used_ns;             /* last packet to it */
    struct packet *oldest, **end; /* of the packets that wait, linked by next */
    unsigned pending;
};

static struct spinlock table_lock = SPINLOCK("arp table");
static struct arp_entry table[ARP_ENTRY_MAX]; /* under table_lock */

/* Neighbours differ in their last bits: most are found at the first look. */
static struct arp_entry *entry_at(uint32_t address, unsigned step)
{
    return &table[(address + step) % ARP_ENTRY_MAX];
}

static struct arp_entry *find_locked(const struct net_device *device, uint32_t address)
{
    for (unsigned step = 0; step < ARP_ENTRY_MAX; step++) {
        struct arp_entry *entry = entry_at(address, step);

        if (entry->address == address && entry->device == device && entry->state != ARP_FREE) {
            return entry;
        }
    }
    return NULL;
}

static void drop_oldest_locked(struct arp_entry *entry)
{
    struct packet *packet = entry->oldest;

    entry->oldest = packet->next;
    if (--entry->pending == 0) {
        entry->end = &entry->oldest;
    }
    net_drop(packet, NET_DROP_ARP_UNRESOLVED);
}

static void free_locked(struct arp_entry *entry)
{
    while (entry->pending > 0) {
        drop_oldest_locked(entry);
    }
    *entry = (struct arp_entry){.state = ARP_FREE};
}

/* A free entry, or that which was used longest ago. */
static struct arp_entry *take_entry_locked(uint32_t address)
{
    struct arp_entry *best = entry_at(address, 0);

    for (unsigned step = 0; step < ARP_ENTRY_MAX && best->state != ARP_FREE; step++) {
        struct arp_entry *entry = entry_at(address, step);

        if (entry->state == ARP_FREE || entry->used_ns < best->used_ns) {
            best = entry;
        }
    }
    free_locked(best);
    return best;
}

static void wait_locked(struct arp_entry *entry, struct packet *packet)
{
    if (entry->pending == ARP_PENDING_MAX) {
        drop_oldest_locked(entry);
    }
    packet->next = NULL;
    *entry->end = packet;
    entry->end = &packet->next;
    entry->pending++;
}

static enum arp_answer resolve_locked(struct net_device *device, uint32_t address,
                                      struct packet *packet, uint64_t now_ns,
                                      uint8_t mac[MAC_BYTES])
{
    struct arp_entry *entry = find_locked(device, address);
    bool is_new = entry == NULL;

    if (is_new) {
        entry = take_entry_locked(address);
        *entry = (struct arp_entry){.state = ARP_ASKED,
                                    .device = device,
                                    .address = address,
                                    .requests = 1,
                                    .since_ns = now_ns,
                                    .asked_ns = now_ns,
                                    .end = &entry->oldest};
    }
    entry->used_ns = now_ns;
    if (entry->state == ARP_KNOWN) {
        memcpy(mac, entry->mac, MAC_BYTES);
        return ARP_ANSWER_KNOWN;
    }
    wait_locked(entry, packet);
    return is_new ? ARP_ANSWER_ASK : ARP_ANSWER_WAIT;
}

enum arp_answer arp_table_resolve(struct net_device *device, uint32_t address,
                                  struct packet *packet, uint64_t now_ns, uint8_t mac[MAC_BYTES])
{
    uint64_t flags = spinlock_lock_save(&table_lock);
    enum arp_answer answer = resolve_locked(device, address, packet, now_ns, mac);

    spinlock_unlock_restore(&table_lock, flags);
    return answer;
}

bool arp_table_learn(struct net_device *device, uint32_t address, const uint8_t mac[MAC_BYTES],
                     uint64_t now_ns, struct packet **waiting)
{
    uint64_t flags = spinlock_lock_save(&table_lock);
    struct arp_entry *entry = find_locked(device, address);

    *waiting = NULL;
    if (entry != NULL) {
        *waiting = entry->oldest;
        entry->oldest = NULL;
        entry->end = &entry->oldest;
        entry->pending = 0;
        entry->since_ns = entry->state == ARP_KNOWN ? entry->since_ns : now_ns;
        entry->state = ARP_KNOWN;
        entry->heard_ns = now_ns;
        entry->requests = 0;
        memcpy(entry->mac, mac, MAC_BYTES);
    }
    spinlock_unlock_restore(&table_lock, flags);
    return entry != NULL;
}

static bool is_old(uint64_t now_ns, uint64_t then_ns, uint64_t lifetime_ns)
{
    return now_ns > then_ns && now_ns - then_ns >= lifetime_ns;
}

/* A known neighbour that is used is asked again before it is forgotten; meanwhile it is used on. */
static bool age_locked(struct arp_entry *entry, uint64_t now_ns)
{
    bool is_known = entry->state == ARP_KNOWN;

    if (entry->state == ARP_FREE ||
        (is_known && !is_old(now_ns, entry->heard_ns, ARP_LIFETIME_NS)) ||
        (entry->requests > 0 && !is_old(now_ns, entry->asked_ns, ARP_RETRY_NS))) {
        return false;
    }
    if (entry->requests == ARP_REQUESTS_MAX ||
        (is_known && is_old(now_ns, entry->used_ns, ARP_LIFETIME_NS))) {
        free_locked(entry);
        return false;
    }
    entry->requests++;
    entry->asked_ns = now_ns;
    return true;
}

bool arp_table_age(unsigned index, uint64_t now_ns, struct net_device **device, uint32_t *address)
{
    uint64_t flags = spinlock_lock_save(&table_lock);
    bool asks = age_locked(&table[index], now_ns);

    *device = table[index].device;
    *address = table[index].address;
    spinlock_unlock_restore(&table_lock, flags);
    return asks;
}

void arp_forget(struct net_device *device)
{
    uint64_t flags = spinlock_lock_save(&table_lock);

    for (unsigned i = 0; i < ARP_ENTRY_MAX; i++) {
        if (device == NULL || table[i].device == device) {
            free_locked(&table[i]);
        }
    }
    spinlock_unlock_restore(&table_lock, flags);
}

bool arp_look(unsigned index, struct arp_view *view)
{
    uint64_t flags = spinlock_lock_save(&table_lock), now_ns = clock_now_ns();
    const struct arp_entry *entry = &table[index];

    *view = (struct arp_view){
        .state = entry->state,
        .device = entry->device,
        .address = entry->address,
        .age_ns = now_ns > entry->since_ns ? now_ns - entry->since_ns : 0,
        .pending = entry->pending,
    };
    memcpy(view->mac, entry->mac, MAC_BYTES);
    spinlock_unlock_restore(&table_lock, flags);
    return view->state != ARP_FREE;
}

const char *arp_state_name(enum arp_state state)
{
    static const char *const names[] = {
        [ARP_FREE] = "free", [ARP_ASKED] = "asked", [ARP_KNOWN] = "known"};

    return state <= ARP_KNOWN ? names[state] : "?";
}
