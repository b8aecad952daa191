/* Shared by the clients: the query set, source addresses, clocks, batches.
 *
 * A query file is messages back to back, each after its length (u16, big-endian), as DNS over TCP
 * frames them (RFC 1035 section 4.2.2). Client number i sends from 127.1.(i / 250).(1 + i % 250):
 * one unconnected socket on 0.0.0.0 serves all, with the source address set per packet (IP_PKTINFO),
 * so that many clients cost no more system calls than one.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103 /* from linux/udp.h, for an older C library */
#endif

enum { BATCH = 64, ROOM = 4096, QUERY_MAX = 512, HEADER = 12, CLIENTS_MAX = 60000 };

struct query {
    const uint8_t *wire;
    uint16_t length;
};

struct queries {
    struct query *all;
    uint32_t count;
    uint32_t next;
};

struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    uint8_t rooms[BATCH][ROOM];
    union {
        char room[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr align;
    } controls[BATCH];
};

static inline void die(const char *what)
{
    perror(what);
    exit(1);
}

static inline double number(const char *text, double low, double high, const char *name)
{
    char *end;
    double value = strtod(text, &end);
    if (*end || !(value >= low && value <= high)) {
        fprintf(stderr, "%s: %s is not a number from %g to %g\n", name, text, low, high);
        exit(2);
    }
    return value;
}

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint8_t *read_all(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) {
        die(path);
    }
    long length = ftell(file);
    rewind(file);
    uint8_t *data = length > 0 ? malloc((size_t)length) : NULL;
    if (!data || fread(data, 1, (size_t)length, file) != (size_t)length) {
        die(path);
    }
    fclose(file);
    *size = (size_t)length;
    return data;
}

/* The messages are not copied or freed. */
static inline struct queries load_queries(const char *path)
{
    size_t size, at = 0;
    uint8_t *data = read_all(path, &size);
    struct queries set = {malloc(sizeof(struct query) * (size / (2 + HEADER) + 1)), 0, 0};
    if (!set.all) {
        die("malloc");
    }
    while (at + 2 <= size) {
        uint16_t length = (uint16_t)(data[at] << 8 | data[at + 1]);
        if (length < HEADER || length > QUERY_MAX || at + 2 + length > size) {
            break;
        }
        set.all[set.count++] = (struct query){data + at + 2, length};
        at += 2u + length;
    }
    if (at != size || !set.count) {
        fprintf(stderr, "%s: bad query at byte %zu\n", path, at);
        exit(2);
    }
    return set;
}

static inline int open_client(int receive_size)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    int size = 1 << 20;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_size, sizeof receive_size) ||
        bind(fd, (struct sockaddr *)&any, sizeof any)) {
        die("client socket");
    }
    return fd;
}

static inline struct sockaddr_in server_address(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline struct batch *new_batch(struct sockaddr_in *server)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (!batch) {
        die("calloc");
    }
    for (int i = 0; i < BATCH; i++) {
        struct msghdr *header = &batch->messages[i].msg_hdr;
        batch->vectors[i].iov_base = batch->rooms[i];
        header->msg_iov = &batch->vectors[i];
        header->msg_iovlen = 1;
        header->msg_name = server;
        header->msg_namelen = server ? sizeof *server : 0;
    }
    return batch;
}

static inline const struct query *peek(const struct queries *set)
{
    return &set->all[set->next];
}

/* Append the next query of the set to slot i, as message `id`. */
static inline void append(struct batch *batch, int i, struct queries *set, uint16_t id)
{
    const struct query *query = peek(set);
    uint8_t *room = batch->rooms[i] + batch->vectors[i].iov_len;
    memcpy(room, query->wire, query->length);
    room[0] = (uint8_t)(id >> 8);
    room[1] = (uint8_t)id;
    batch->vectors[i].iov_len += query->length;
    set->next = set->next + 1 == set->count ? 0 : set->next + 1;
}

static inline void control(struct msghdr *header, struct cmsghdr *at, int level, int type,
                           const void *value, size_t length)
{
    at->cmsg_level = level;
    at->cmsg_type = type;
    at->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(at), value, length);
    header->msg_controllen += CMSG_SPACE(length);
}

/* Slot i is sent from client number `client`; `segment` bytes per packet, 0 for a single packet. */
static inline void address(struct batch *batch, int i, uint32_t client, uint16_t segment)
{
    struct msghdr *header = &batch->messages[i].msg_hdr;
    char *room = batch->controls[i].room;
    struct in_pktinfo info = {0};
    info.ipi_spec_dst.s_addr = htonl(0x7f010000u + (client / 250 << 8) + 1 + client % 250);
    header->msg_control = room;
    header->msg_controllen = 0;
    control(header, (struct cmsghdr *)room, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    if (segment) {
        struct cmsghdr *next = (struct cmsghdr *)(room + header->msg_controllen);
        control(header, next, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment);
    }
}

/* Put the next query of the set into slot i, as message `id`, from client number `client`. */
static inline void fill(struct batch *batch, int i, struct queries *set, uint16_t id,
                        uint32_t client)
{
    batch->vectors[i].iov_len = 0;
    append(batch, i, set, id);
    address(batch, i, client, 0);
}

/* Send the first `count` slots; return how many the kernel accepted. */
static inline int send_batch(int fd, struct batch *batch, int count)
{
    int sent = 0;
    while (sent < count) {
        int n = sendmmsg(fd, batch->messages + sent, (unsigned)(count - sent), 0);
        if (n < 0 && errno != EINTR) {
            if (errno != ENOBUFS && errno != EAGAIN && errno != ECONNREFUSED) {
                die("sendmmsg");
            }
            break;
        }
        sent += n < 0 ? 0 : n;
    }
    return sent;
}

/* Receive up to BATCH replies; 0 when none came (in the socket's timeout, or at once if `flags`
 * has MSG_DONTWAIT). */
static inline int receive_batch(int fd, struct batch *batch, int flags)
{
    for (int i = 0; i < BATCH; i++) {
        batch->vectors[i].iov_len = ROOM;
    }
    int n = recvmmsg(fd, batch->messages, BATCH, flags | MSG_WAITFORONE, NULL);
    if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNREFUSED) {
        die("recvmmsg");
    }
    return n < 0 ? 0 : n;
}

#endif
