/* A client that sends queries at a steady rate and measures how long each answer takes.
 *
 * Open loop: query i is due at start + i / RATE independent of earlier queries, and its
 * latency counts from when it was due, so a stall of the server counts for every query that it
 * delayed. The client's own delay is measured separately ("late"): if that is large, the
 * machine is too busy for the figures to be useful.
 *
 * usage: pace -p PORT -f QUERIES -l SECONDS -r RATE [-c CLIENTS] [-n]
 * -n: sleep until a query is due, which leaves the CPU to others but makes this client late.
 * prints one line of JSON, times in microseconds.
 */
#include "client.h"
#include <unistd.h>

enum { STEP_NS = 100, STEPS = 5000000, IDS = 65536 }; /* a histogram of 0.1 us up to 0.5 s */
enum { NAP_US = 200 };

struct histogram {
    uint32_t *counts;
    uint64_t total;
    uint64_t max_ns;
};

struct run {
    int fd;
    uint16_t port;
    const char *file;
    double seconds;
    double rate;
    uint32_t clients;
    int naps;
    uint64_t start;
    uint64_t count; /* queries to send in all */
    uint64_t sent;
    uint64_t lost; /* id reused before an answer */
    uint64_t errors; /* SERVFAIL, REFUSED and the like */
    uint64_t due[IDS]; /* when the query of this id was due, 0: none in flight */
    struct histogram latency;
    struct histogram late;
};

static void record(struct histogram *h, uint64_t ns)
{
    uint64_t step = ns / STEP_NS;
    h->counts[step < STEPS ? step : STEPS - 1]++;
    h->total++;
    h->max_ns = ns > h->max_ns ? ns : h->max_ns;
}

static double percentile(const struct histogram *h, double part)
{
    uint64_t seen = 0;
    uint64_t wanted = (uint64_t)(part * (double)h->total);
    for (uint32_t i = 0; i < STEPS; i++) {
        seen += h->counts[i];
        if (seen > wanted) {
            return (double)i * STEP_NS / 1000;
        }
    }
    return (double)h->max_ns / 1000;
}

static void parse(struct run *run, int argc, char **argv)
{
    run->clients = 1;
    for (int c; (c = getopt(argc, argv, "p:f:l:r:c:n")) != -1;) {
        switch (c) {
        case 'p': run->port = (uint16_t)number(optarg, 1, 65535, "-p"); break;
        case 'f': run->file = optarg; break;
        case 'l': run->seconds = number(optarg, 0.01, 600, "-l"); break;
        case 'r': run->rate = number(optarg, 1, 1e7, "-r"); break;
        case 'c': run->clients = (uint32_t)number(optarg, 1, CLIENTS_MAX, "-c"); break;
        case 'n': run->naps = 1; break;
        default: exit(2);
        }
    }
    if (!run->port || !run->file || run->seconds <= 0 || run->rate <= 0 || optind != argc) {
        fprintf(stderr, "usage: pace -p PORT -f QUERIES -l SECONDS -r RATE [-c CLIENTS] [-n]\n");
        exit(2);
    }
    run->count = (uint64_t)(run->rate * run->seconds);
}

static uint64_t due_at(const struct run *run, uint64_t i)
{
    return run->start + (uint64_t)((double)i * 1e9 / run->rate);
}

/* Send the due queries, at most one batch. */
static void send_due(struct run *run, struct queries *set, struct batch *batch, uint64_t now)
{
    int n = 0;
    for (; n < BATCH && run->sent + (uint64_t)n < run->count; n++) {
        uint64_t serial = run->sent + (uint64_t)n;
        uint64_t due = due_at(run, serial);
        if (due > now) {
            break;
        }
        uint16_t id = (uint16_t)serial;
        run->lost += run->due[id] != 0;
        run->due[id] = due;
        record(&run->late, now - due);
        fill(batch, n, set, id, (uint32_t)(serial % run->clients));
    }
    if (n) {
        /* queries that the kernel refuses stay in due[] and count as lost */
        send_batch(run->fd, batch, n);
        run->sent += (uint64_t)n;
    }
}

static void take_answers(struct run *run, struct batch *batch)
{
    int got = receive_batch(run->fd, batch, MSG_DONTWAIT);
    uint64_t now = now_ns();
    for (int i = 0; i < got; i++) {
        uint8_t *answer = batch->rooms[i];
        uint16_t id = (uint16_t)(answer[0] << 8 | answer[1]);
        if (batch->messages[i].msg_len < HEADER || !run->due[id]) {
            continue;
        }
        record(&run->latency, now - run->due[id]);
        run->due[id] = 0;
        run->errors += (answer[3] & 15) != 0 && (answer[3] & 15) != 3; /* NXDOMAIN is an answer */
    }
}

static void report(struct run *run)
{
    const struct histogram *h = &run->latency;
    for (uint32_t id = 0; id < IDS; id++) {
        run->lost += run->due[id] != 0;
    }
    printf("{\"sent\": %llu, \"received\": %llu, \"lost\": %llu, \"errors\": %llu, "
           "\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f, "
           "\"late_p99\": %.1f, \"late_p999\": %.1f}\n",
           (unsigned long long)run->sent, (unsigned long long)h->total,
           (unsigned long long)run->lost, (unsigned long long)run->errors, percentile(h, 0.5),
           percentile(h, 0.9), percentile(h, 0.99), percentile(h, 0.999),
           (double)h->max_ns / 1000, percentile(&run->late, 0.99), percentile(&run->late, 0.999));
}

int main(int argc, char **argv)
{
    static struct run run;
    parse(&run, argc, argv);
    struct queries set = load_queries(run.file);
    struct sockaddr_in server = server_address(run.port);
    struct batch *out = new_batch(&server), *in = new_batch(NULL);
    run.latency.counts = calloc(STEPS, sizeof(uint32_t));
    run.late.counts = calloc(STEPS, sizeof(uint32_t));
    if (!run.latency.counts || !run.late.counts) {
        die("calloc");
    }
    run.fd = open_client(4 << 20);
    run.start = now_ns() + 1000000;
    /* wait half a second for the last answers */
    uint64_t end = due_at(&run, run.count) + 500000000u;
    for (uint64_t now = now_ns(); now < end; now = now_ns()) {
        send_due(&run, &set, out, now);
        take_answers(&run, in);
        if (run.sent == run.count && run.latency.total + run.lost >= run.count) {
            break;
        }
        if (run.naps) {
            usleep(NAP_US);
        }
    }
    report(&run);
    return 0;
}
