// SPDX-License-Identifier: MIT
/* Packet generator: the ways for frames. Invariant: a frame goes out whole or not at all; a stream
 * that says a length no frame can have ends the run. Callers: pktgen.c, _send.c, _receive.c. */
#include "pktgen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LENGTH_BYTES     4
#define STREAM_FRAME_MAX 65536
#define SOCKET_BUFFER    (8 << 20)

const char *const link_names[] = {"tap", "dgram", "stream"};

static void __attribute__((noreturn)) fail(const char *what, const char *text)
{
    fprintf(stderr, "pktgen: %s '%s': %s\n", what, text, strerror(errno));
    exit(2);
}

/* Sends past the host's queueing, as a NIC would, and sees only what the machine sends. */
static void open_tap(struct link *link, const char *name)
{
    const int on = 1;
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(name)};

    if (address.sll_ifindex == 0) {
        fail("no interface", name);
    }
    link->descriptor = socket(AF_PACKET, SOCK_RAW, 0);
    if (link->descriptor < 0 ||
        setsockopt(link->descriptor, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0 ||
        setsockopt(link->descriptor, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
        bind(link->descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        fail("cannot use interface", name);
    }
}

static void set_path(struct sockaddr_un *address, const char *path, size_t length)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length == 0 || length >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        fail("no path for a socket", path);
    }
    memcpy(address->sun_path, path, length);
}

static void open_dgram(struct link *link, const char *paths)
{
    struct sockaddr_un local, remote;
    const char *colon = strchr(paths, ':');

    if (colon == NULL) {
        errno = EINVAL;
        fail("not LOCAL:REMOTE", paths);
    }
    set_path(&local, paths, (size_t)(colon - paths));
    set_path(&remote, colon + 1, strlen(colon + 1));
    link->descriptor = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (link->descriptor < 0 ||
        bind(link->descriptor, (struct sockaddr *)&local, sizeof local) != 0) {
        fail("cannot make the socket", paths);
    }
    link->local_path = strdup(local.sun_path);
    if (connect(link->descriptor, (struct sockaddr *)&remote, sizeof remote) != 0) {
        int error = errno;
        unlink(local.sun_path);
        errno = error;
        fail("nobody is at", remote.sun_path);
    }
}

static void open_stream(struct link *link, const char *number)
{
    char *end;
    int type = 0;
    socklen_t length = sizeof type;

    errno = EINVAL;
    long descriptor = strtol(number, &end, 10);
    if (number[0] < '0' || number[0] > '9' || *end != '\0' || descriptor > INT32_MAX ||
        getsockopt((int)descriptor, SOL_SOCKET, SO_TYPE, &type, &length) != 0) {
        fail("not an open socket", number);
    }
    if (type != SOCK_STREAM) {
        errno = EPROTOTYPE;
        fail("not a stream socket", number);
    }
    link->descriptor = (int)descriptor;
}

void link_open(struct link *link, const char *text)
{
    static const struct {
        const char *prefix;
        enum link_kind kind;
        void (*open)(struct link *link, const char *rest);
    } kinds[] = {{"tap:", LINK_TAP, open_tap},
                 {"dgram:", LINK_DGRAM, open_dgram},
                 {"fd:", LINK_STREAM, open_stream}};
    const int size = SOCKET_BUFFER;

    pthread_mutex_init(&link->send_lock, NULL);
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
            link->kind = kinds[i].kind;
            kinds[i].open(link, text + strlen(kinds[i].prefix));
            /* As large as this user may have them: FORCE is root's, the other has a limit. */
            setsockopt(link->descriptor, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
            setsockopt(link->descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
            return;
        }
    }
    fprintf(stderr, "pktgen: '%s' is no link: tap:NAME, dgram:LOCAL:REMOTE or fd:N\n", text);
    exit(2);
}

void link_close(struct link *link)
{
    close(link->descriptor);
    if (link->local_path != NULL) {
        unlink(link->local_path);
    }
}

void link_wait_writable(const struct link *link, int timeout_ms)
{
    struct pollfd wait = {.fd = link->descriptor, .events = POLLOUT};

    poll(&wait, 1, timeout_ms);
}

/* Sends what is left of @vectors behind @done bytes, however long that takes: half a frame cannot
 * be taken back. Returns false if the other end is gone. */
static bool finish_stream(const struct link *link, struct iovec *vectors, unsigned count,
                          size_t done)
{
    for (unsigned i = 0; i < count; i++) {
        while (done < vectors[i].iov_len) {
            ssize_t written = send(link->descriptor, (char *)vectors[i].iov_base + done,
                                   vectors[i].iov_len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (written >= 0) {
                done += (size_t)written;
            } else if (errno == EAGAIN || errno == EINTR) {
                link_wait_writable(link, 100);
            } else {
                return false;
            }
        }
        done -= vectors[i].iov_len;
    }
    return true;
}

static unsigned send_stream(struct link *link, const struct frame *frames, unsigned count)
{
    struct iovec vectors[2 * BATCH];
    uint32_t lengths[BATCH];
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2 * count};

    for (unsigned i = 0; i < count; i++) {
        lengths[i] = htonl((uint32_t)frames[i].length);
        vectors[2 * i] = (struct iovec){&lengths[i], LENGTH_BYTES};
        vectors[2 * i + 1] = (struct iovec){frames[i].bytes, frames[i].length};
    }
    pthread_mutex_lock(&link->send_lock);
    ssize_t written = sendmsg(link->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    bool is_sent = written >= 0 && finish_stream(link, vectors, 2 * count, (size_t)written);
    pthread_mutex_unlock(&link->send_lock);
    return is_sent ? count : 0;
}

unsigned link_send(struct link *link, const struct frame *frames, unsigned count)
{
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];

    if (link->kind == LINK_STREAM) {
        return send_stream(link, frames, count);
    }
    for (unsigned i = 0; i < count; i++) {
        vectors[i] = (struct iovec){frames[i].bytes, frames[i].length};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
    }
    int sent = sendmmsg(link->descriptor, messages, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? 0 : (unsigned)sent;
}

static int receive_datagrams(struct link *link, struct frame frames[BATCH])
{
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];

    for (unsigned i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){link->datagrams[i], sizeof link->datagrams[i]};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
    }
    int count = recvmmsg(link->descriptor, messages, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0) {
        return errno == EAGAIN || errno == EINTR || errno == ENETDOWN ? 0 : -1;
    }
    for (int i = 0; i < count; i++) {
        frames[i] = (struct frame){link->datagrams[i], messages[i].msg_len};
    }
    return count;
}

/* Hands out the whole frames of the buffer; what they took is dropped by the next call. */
static int cut_stream(struct link *link, struct frame frames[BATCH])
{
    int count = 0;

    link->stream_taken = 0;
    while (count < BATCH && link->stream_used - link->stream_taken >= LENGTH_BYTES) {
        uint8_t *at = link->stream_buffer + link->stream_taken;
        uint32_t length =
            (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];

        if (length > STREAM_FRAME_MAX) {
            fprintf(stderr, "pktgen: the stream says a frame of %u bytes\n", length);
            return -1;
        }
        if (link->stream_used - link->stream_taken < LENGTH_BYTES + length) {
            break;
        }
        frames[count++] = (struct frame){at + LENGTH_BYTES, length};
        link->stream_taken += LENGTH_BYTES + length;
    }
    return count;
}

static int receive_stream(struct link *link, struct frame frames[BATCH])
{
    ssize_t more = recv(link->descriptor, link->stream_buffer + link->stream_used,
                        sizeof link->stream_buffer - link->stream_used, MSG_DONTWAIT);

    if (more == 0 || (more < 0 && errno != EAGAIN && errno != EINTR)) {
        return -1;
    }
    link->stream_used += more > 0 ? (size_t)more : 0;
    return cut_stream(link, frames);
}

int link_receive(struct link *link, struct frame frames[BATCH], int timeout_ms)
{
    struct pollfd wait = {.fd = link->descriptor, .events = POLLIN};

    if (link->stream_taken > 0) {
        link->stream_used -= link->stream_taken;
        memmove(link->stream_buffer, link->stream_buffer + link->stream_taken, link->stream_used);
        int count = cut_stream(link, frames);
        if (count != 0) {
            return count;
        }
    }
    if (poll(&wait, 1, timeout_ms) <= 0) {
        return 0;
    }
    return link->kind == LINK_STREAM ? receive_stream(link, frames)
                                     : receive_datagrams(link, frames);
}

uint64_t link_unread(const struct link *link)
{
    struct tpacket_stats statistics = {0};
    socklen_t length = sizeof statistics;

    if (link->kind != LINK_TAP ||
        getsockopt(link->descriptor, SOL_PACKET, PACKET_STATISTICS, &statistics, &length) != 0) {
        return 0;
    }
    return statistics.tp_drops;
}
