// SPDX-License-Identifier: MIT
/* Packet generator: the command line. Invariant: either every word makes sense, or the wrong one is
 * named, nothing is sent and the status is 2. Caller: pktgen.c. */
#include "pktgen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: pktgen MODE LINK [OPTIONS]\n"
    "MODE  send      send, look at no answer\n"
    "      echo      send, and compare what comes back byte for byte\n"
    "      receive   count what comes\n"
    "      reflect   send back what comes\n"
    "LINK  tap:NAME            network interface, by a packet socket (root)\n"
    "      dgram:LOCAL:REMOTE  unix datagram sockets by path (QEMU -netdev dgram)\n"
    "      fd:N                open stream: 4-byte length, frame (QEMU -netdev socket,fd=)\n"
    "--ip=A.B.C.D --port=N --mac=M    the machine: 10.0.2.15, 7, asked by ARP\n"
    "--from-ip= --from-port= --from-mac=   this end: 10.0.2.9, any, 02:00:00:00:00:09\n"
    "--size=60 or --size=60-1514      of frames; a range goes round\n"
    "--flows=1 --hosts=1             that many ports and addresses of this end in turn\n"
    "--count=N       end after N frames, sent again if the interface refuses them\n"
    "--seconds=10    or after this time\n"
    "--rate=N        frames a second          --window=N    echo: at most N unanswered\n"
    "--wait=1        seconds without an answer after which what is missing is lost\n"
    "-j              one JSON object\n";

const char *const mode_names[] = {"send", "echo", "receive", "reflect", NULL};

static void __attribute__((noreturn, format(printf, 1, 2))) refuse(const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "pktgen: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    exit(2);
}

static uint64_t read_number(const char *option, const char *text, uint64_t least, uint64_t most)
{
    char *end;

    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number < least ||
        number > most) {
        refuse("--%s=%s is not a number from %llu to %llu", option, text, (unsigned long long)least,
               (unsigned long long)most);
    }
    return number;
}

static double read_seconds(const char *option, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || !(seconds > 0 && seconds <= 86400)) {
        refuse("--%s=%s is not a time above 0 and up to 86400 seconds", option, text);
    }
    return seconds;
}

static void read_mac(const char *option, const char *text, uint8_t mac[6])
{
    unsigned parts[6];
    int used = -1;

    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &parts[0], &parts[1], &parts[2], &parts[3],
               &parts[4], &parts[5], &used) != 6 ||
        used != (int)strlen(text)) {
        refuse("--%s=%s is not a MAC address such as 52:54:00:12:34:56", option, text);
    }
    for (unsigned i = 0; i < 6; i++) {
        mac[i] = (uint8_t)parts[i];
    }
}

static uint32_t read_address(const char *option, const char *text)
{
    struct in_addr address;

    if (inet_pton(AF_INET, text, &address) != 1) {
        refuse("--%s=%s is not an address such as 10.0.2.15", option, text);
    }
    return ntohl(address.s_addr);
}

static void read_sizes(struct settings *settings, const char *text)
{
    char first[8] = "";
    const char *dash = strchr(text, '-');

    if (dash == NULL) {
        settings->size_first = (unsigned)read_number("size", text, FRAME_MIN, FRAME_MAX);
        settings->size_last = settings->size_first;
        return;
    }
    if ((size_t)(dash - text) >= sizeof first) {
        refuse("--size=%s is not a range such as 60-1514", text);
    }
    memcpy(first, text, (size_t)(dash - text));
    settings->size_first = (unsigned)read_number("size", first, FRAME_MIN, FRAME_MAX);
    settings->size_last = (unsigned)read_number("size", dash + 1, settings->size_first, FRAME_MAX);
}

enum option_id {
    OPTION_IP = 256,
    OPTION_PORT,
    OPTION_MAC,
    OPTION_FROM_IP,
    OPTION_FROM_PORT,
    OPTION_FROM_MAC,
    OPTION_SIZE,
    OPTION_FLOWS,
    OPTION_HOSTS,
    OPTION_COUNT,
    OPTION_SECONDS,
    OPTION_RATE,
    OPTION_WINDOW,
    OPTION_WAIT
};

static const struct option options[] = {{"ip", 1, NULL, OPTION_IP},
                                        {"port", 1, NULL, OPTION_PORT},
                                        {"mac", 1, NULL, OPTION_MAC},
                                        {"from-ip", 1, NULL, OPTION_FROM_IP},
                                        {"from-port", 1, NULL, OPTION_FROM_PORT},
                                        {"from-mac", 1, NULL, OPTION_FROM_MAC},
                                        {"size", 1, NULL, OPTION_SIZE},
                                        {"flows", 1, NULL, OPTION_FLOWS},
                                        {"hosts", 1, NULL, OPTION_HOSTS},
                                        {"count", 1, NULL, OPTION_COUNT},
                                        {"seconds", 1, NULL, OPTION_SECONDS},
                                        {"rate", 1, NULL, OPTION_RATE},
                                        {"window", 1, NULL, OPTION_WINDOW},
                                        {"wait", 1, NULL, OPTION_WAIT},
                                        {"help", 0, NULL, 'h'},
                                        {NULL, 0, NULL, 0}};

static void take_endpoint(struct settings *settings, int option, const char *name)
{
    bool is_local = option >= OPTION_FROM_IP;
    struct endpoint *end = is_local ? &settings->local : &settings->remote;

    switch (option) {
    case OPTION_IP:
    case OPTION_FROM_IP:
        end->address = read_address(name, optarg);
        break;
    case OPTION_PORT:
    case OPTION_FROM_PORT:
        end->port = (uint16_t)read_number(name, optarg, 1, UINT16_MAX);
        break;
    default:
        read_mac(name, optarg, end->mac);
        settings->remote_mac_given |= !is_local;
        break;
    }
}

static void take_option(struct settings *settings, int option, const char *name)
{
    switch (option) {
    case OPTION_SIZE:
        read_sizes(settings, optarg);
        break;
    case OPTION_FLOWS:
        settings->flows = (unsigned)read_number(name, optarg, 1, 4096);
        break;
    case OPTION_HOSTS:
        settings->hosts = (unsigned)read_number(name, optarg, 1, 254);
        break;
    case OPTION_COUNT:
        settings->count = read_number(name, optarg, 1, UINT64_MAX / 2);
        break;
    case OPTION_SECONDS:
        settings->seconds = read_seconds(name, optarg);
        break;
    case OPTION_RATE:
        settings->rate = read_number(name, optarg, 1, 100000000);
        break;
    case OPTION_WINDOW:
        settings->window = read_number(name, optarg, 1, SENT_TIMES / 2);
        break;
    case OPTION_WAIT:
        settings->wait = read_seconds(name, optarg);
        break;
    default:
        take_endpoint(settings, option, name);
        break;
    }
}

static void take_mode(struct settings *settings, const char *word)
{
    for (unsigned i = 0; mode_names[i] != NULL; i++) {
        if (strcmp(mode_names[i], word) == 0) {
            settings->mode = (enum mode)i;
            return;
        }
    }
    refuse("'%s' is no mode: send, echo, receive or reflect", word);
}

/* Addresses in turn are this end's alone: neither the machine's nor a network's first or last, from
 * which the machine takes nothing. */
static void check_hosts(const struct settings *settings)
{
    char first[INET_ADDRSTRLEN], wrong[INET_ADDRSTRLEN];

    for (unsigned i = 0; settings->hosts > 1 && i < settings->hosts; i++) {
        struct in_addr begin = {htonl(settings->local.address)};
        struct in_addr address = {htonl(settings->local.address + i)};
        uint8_t last = (uint8_t)(settings->local.address + i);
        bool is_machine = settings->local.address + i == settings->remote.address;

        if (is_machine || last == 0 || last == UINT8_MAX) {
            inet_ntop(AF_INET, &begin, first, sizeof first);
            inet_ntop(AF_INET, &address, wrong, sizeof wrong);
            refuse("--hosts=%u from %s: %s is %s; --from-ip= begins elsewhere", settings->hosts,
                   first, wrong, is_machine ? "the machine itself" : "no host's address");
        }
    }
}

static void check_together(const struct settings *settings)
{
    if (settings->window != 0 && settings->mode != MODE_ECHO) {
        refuse("--window is for echo, not for %s", mode_names[settings->mode]);
    }
    if (settings->local.port + settings->flows - 1 > UINT16_MAX) {
        refuse("--flows=%u from port %u go beyond port 65535", settings->flows,
               settings->local.port);
    }
    check_hosts(settings);
}

void options_read(struct settings *settings, int count, char **words)
{
    int option, index = 0;

    /* A port of its own for every run: answers to an earlier one are nobody's. */
    *settings = (struct settings){
        .local = {{2, 0, 0, 0, 0, 9}, 0x0a000209, (uint16_t)(20000 + getpid() % 20000)},
        .remote = {{0}, 0x0a00020f, 7},
        .size_first = FRAME_MIN,
        .size_last = FRAME_MIN,
        .flows = 1,
        .hosts = 1,
        .seconds = 10,
        .wait = 1};
    opterr = 0;
    while ((option = getopt_long(count, words, "jh", options, &index)) != -1) {
        if (option == 'j') {
            settings->json = true;
        } else if (option == 'h') {
            fputs(usage, stdout);
            exit(0);
        } else if (option == '?') {
            refuse("'%s' is no option, or lacks its value", words[optind - 1]);
        } else {
            take_option(settings, option, options[index].name);
        }
    }
    if (count - optind != 2) {
        if (count - optind > 2) {
            refuse("'%s' is one word too many", words[optind + 2]);
        }
        fputs(usage, stderr);
        exit(2);
    }
    take_mode(settings, words[optind]);
    settings->link = words[optind + 1];
    check_together(settings);
}
