/* The floor: the time that the kernel alone needs to receive a query and send a reply.
 *
 * One thread, one blocking socket, batches of up to 64 by recvmmsg and sendmmsg. Each reply is the
 * query with QR and AA set, cut or padded with zeros to SIZE bytes: the id is what a client
 * matches, and the size is what the kernel copies. No server that answers can be faster than this
 * without leaving the socket interface.
 *
 * usage: echo PORT SIZE
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, ROOM = 4096, HEADER = 12 };

static uint8_t rooms[BATCH][ROOM];
static struct mmsghdr messages[BATCH];
static struct iovec vectors[BATCH];
static struct sockaddr_in clients[BATCH];

static int bind_to(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    int size = 1 << 20;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) ||
        bind(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("echo: bind");
        exit(1);
    }
    return fd;
}

/* Reset every message: the kernel overwrote lengths and addresses. */
static void reset(void)
{
    for (int i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){rooms[i], ROOM};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &clients[i],
            .msg_namelen = sizeof clients[i],
            .msg_iov = &vectors[i],
            .msg_iovlen = 1,
        };
    }
}

static void send_all(int fd, int count)
{
    for (int sent = 0; sent < count;) {
        int n = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0);
        if (n < 0 && errno != EINTR) {
            n = 1; /* skip a message that can't be sent */
        }
        sent += n < 0 ? 0 : n;
    }
}

int main(int argc, char **argv)
{
    int port = argc == 3 ? atoi(argv[1]) : 0;
    int size = argc == 3 ? atoi(argv[2]) : 0;
    if (port <= 0 || port > 65535 || size < HEADER || size > ROOM) {
        fprintf(stderr, "usage: echo PORT SIZE (SIZE %d to %d bytes)\n", HEADER, ROOM);
        return 2;
    }
    int fd = bind_to((uint16_t)port);
    for (;;) {
        reset();
        int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0 && errno != EINTR) {
            perror("echo: recvmmsg");
            return 1;
        }
        for (int i = 0; i < count; i++) {
            rooms[i][2] |= 0x84; /* QR, AA: RFC 1035 section 4.1.1 */
            vectors[i].iov_len = (size_t)size;
        }
        send_all(fd, count);
    }
}
