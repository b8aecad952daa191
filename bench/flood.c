/* A client that sends as many queries as it can.
 *
 * Closed loop (-w WINDOW): WINDOW queries are always in flight, a new one for each reply, so the
 * server is kept busy and nothing is lost. Blind (no -w): queries go out at RATE a second, 0 for as
 * fast as the kernel takes them, and replies are left unread in a tiny buffer; what the server did
 * with them must be counted at the server. One CPU must send twice what another can serve, so a
 * blind message carries up to RUN queries of equal length for the kernel to cut (UDP_SEGMENT): the
 * server receives the same packets, the sender saves the system's cost of each.
 *
 * usage: flood -p PORT -f QUERIES -l SECONDS [-r RATE] [-w WINDOW] [-c CLIENTS]
 * prints one line of JSON: sent, received, lost (closed loop), seconds, rcodes (16 counts).
 */
#include "client.h"
#include <unistd.h>

enum { RUN = 16, BURST = 16 };

struct options {
    uint16_t port;
    const char *file;
    double seconds;
    double rate;
    uint32_t window;
    uint32_t clients;
};

struct tally {
    uint64_t sent;
    uint64_t received;
    uint64_t lost;
    uint64_t rcodes[16];
};

static struct options parse(int argc, char **argv)
{
    struct options o = {.clients = 1};
    for (int c; (c = getopt(argc, argv, "p:f:l:r:w:c:")) != -1;) {
        switch (c) {
        case 'p': o.port = (uint16_t)number(optarg, 1, 65535, "-p"); break;
        case 'f': o.file = optarg; break;
        case 'l': o.seconds = number(optarg, 0.01, 600, "-l"); break;
        case 'r': o.rate = number(optarg, 0, 1e8, "-r"); break;
        case 'w': o.window = (uint32_t)number(optarg, 1, 60000, "-w"); break;
        case 'c': o.clients = (uint32_t)number(optarg, 1, CLIENTS_MAX, "-c"); break;
        default: exit(2);
        }
    }
    if (!o.port || !o.file || o.seconds <= 0 || optind != argc) {
        fprintf(stderr, "usage: flood -p PORT -f QUERIES -l SECONDS [-r RATE] [-w WINDOW]"
                        " [-c CLIENTS]\n");
        exit(2);
    }
    return o;
}

static void ask(int fd, struct batch *batch, struct queries *set, uint32_t count,
                const struct options *o, struct tally *tally)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t serial = tally->sent + i;
        fill(batch, (int)i, set, (uint16_t)serial, (uint32_t)(serial % o->clients));
    }
    tally->sent += (uint64_t)send_batch(fd, batch, (int)count);
}

/* Send up to `count` queries, and at most BURST messages of RUN; return how many. */
static uint32_t burst(int fd, struct batch *batch, struct queries *set, uint32_t count,
                      const struct options *o, uint64_t serial)
{
    uint32_t asked = 0, ends[BURST];
    int n = 0;
    for (; n < BURST && asked < count; n++) {
        uint16_t length = peek(set)->length;
        batch->vectors[n].iov_len = 0;
        for (int run = 0; run < RUN && asked < count && peek(set)->length == length; run++) {
            append(batch, n, set, (uint16_t)(serial + asked++));
        }
        address(batch, n, (uint32_t)((serial + asked) % o->clients), length);
        ends[n] = asked;
    }
    int sent = send_batch(fd, batch, n);
    return sent ? ends[sent - 1] : 0;
}

static void blind(int fd, struct queries *set, struct batch *batch, const struct options *o,
                  struct tally *tally)
{
    const struct timespec nap = {0, 20000};
    uint64_t start = now_ns(), end = start + (uint64_t)(o->seconds * 1e9);
    for (uint64_t now = start; now < end; now = now_ns()) {
        double due = o->rate > 0 ? (double)(now - start) * o->rate / 1e9 - (double)tally->sent
                                 : RUN * BURST;
        if (due < 1) {
            nanosleep(&nap, NULL);
            continue;
        }
        uint32_t count = due > RUN * BURST ? RUN * BURST : (uint32_t)due;
        tally->sent += burst(fd, batch, set, count, o, tally->sent);
    }
}

static void closed_loop(int fd, struct queries *set, struct batch *out, const struct options *o,
                        struct tally *tally)
{
    struct batch *in = new_batch(NULL);
    uint64_t end = now_ns() + (uint64_t)(o->seconds * 1e9);
    uint32_t under_way = 0;
    while (now_ns() < end) {
        while (under_way < o->window) {
            uint32_t more = o->window - under_way;
            more = more > BATCH ? BATCH : more;
            ask(fd, out, set, more, o, tally);
            under_way += more;
        }
        int got = receive_batch(fd, in, 0);
        if (!got) { /* a timeout: queries in flight are lost */
            tally->lost += under_way;
            under_way = 0;
        }
        for (int i = 0; i < got; i++) {
            tally->rcodes[in->rooms[i][3] & 15]++;
        }
        tally->received += (uint64_t)got;
        under_way -= (uint32_t)got > under_way ? under_way : (uint32_t)got;
    }
    free(in);
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    struct queries set = load_queries(o.file);
    struct sockaddr_in server = server_address(o.port);
    struct batch *batch = new_batch(&server);
    struct tally tally = {0};
    struct timeval patience = {0, 200000};
    int fd = open_client(o.window ? 4 << 20 : 1);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience)) {
        die("SO_RCVTIMEO");
    }
    uint64_t start = now_ns();
    (o.window ? closed_loop : blind)(fd, &set, batch, &o, &tally);
    printf("{\"sent\": %llu, \"received\": %llu, \"lost\": %llu, \"seconds\": %.6f, \"rcodes\": [",
           (unsigned long long)tally.sent, (unsigned long long)tally.received,
           (unsigned long long)tally.lost, (double)(now_ns() - start) / 1e9);
    for (int i = 0; i < 16; i++) {
        printf("%s%llu", i ? ", " : "", (unsigned long long)tally.rcodes[i]);
    }
    printf("]}\n");
    return 0;
}
