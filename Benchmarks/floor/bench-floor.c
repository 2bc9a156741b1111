/*
 * bench-floor: what the kernel alone takes for the lanes of the scenario hget.
 *
 * One write of as many commands as there are lanes, one epoll_wait, one read of as many replies, and again: no client does
 * with fewer system calls. Replies are counted by their bytes and not looked at. The JSON is that of bench-client and
 * bench-hiredis; a request's latency is that of its round.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SEED "*4\r\n$4\r\nHSET\r\n$10\r\nbench:hget\r\n$4\r\nname\r\n$6\r\nIngrid\r\n"
#define COMMAND "*3\r\n$4\r\nHGET\r\n$10\r\nbench:hget\r\n$4\r\nname\r\n"
#define REPLY "$6\r\nIngrid\r\n"

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("bench-floor: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int by_size(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

static int connect_to(long port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0)
        die("cannot connect to 127.0.0.1:%ld: %s", port, strerror(errno));
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    char reply[64];
    if (write(descriptor, SEED, strlen(SEED)) < 0 || read(descriptor, reply, sizeof reply) <= 0 || reply[0] != ':')
        die("the key bench:hget cannot be written: is this a Redis that may be written to?");
    fcntl(descriptor, F_SETFL, O_NONBLOCK);
    return descriptor;
}

static void run_round(int descriptor, int epoll, const char *commands, long lanes) {
    static char buffer[64 * 1024];
    struct epoll_event event;
    size_t length = (size_t)lanes * strlen(COMMAND), left = (size_t)lanes * strlen(REPLY);
    if (write(descriptor, commands, length) != (ssize_t)length)
        die("the commands do not go out in one write: the socket is full, or the server has gone away");
    while (left > 0) {
        if (epoll_wait(epoll, &event, 1, -1) < 0) {
            if (errno == EINTR) continue;
            die("epoll_wait: %s", strerror(errno));
        }
        ssize_t count = read(descriptor, buffer, sizeof buffer);
        if (count <= 0 || (size_t)count > left) die("the server has gone away, or its replies are not those expected");
        left -= (size_t)count;
    }
}

int main(int count, char **words) {
    const char *url = "", *colon;
    long lanes = 1, requests = 0;
    for (int index = 1; index < count; index += 2) {
        const char *value = index + 1 < count ? words[index + 1] : "";
        if (strcmp(words[index], "--url") == 0) url = value;
        else if (strcmp(words[index], "--concurrency") == 0) lanes = strtol(value, NULL, 10);
        else if (strcmp(words[index], "--requests") == 0) requests = strtol(value, NULL, 10);
        else url = NULL, index = count; /* No such argument. */
    }
    colon = url != NULL ? strrchr(url, ':') : NULL;
    if (colon == NULL || strncmp(url, "redis://127.0.0.1:", 18) != 0 || lanes < 1 || lanes > 1000 || requests < lanes) {
        fputs("usage: bench-floor --url redis://127.0.0.1:PORT --concurrency 1...1000 --requests N\n", stderr);
        return 2;
    }
    /* A server that goes away is told of by write. */
    signal(SIGPIPE, SIG_IGN);
    int descriptor = connect_to(strtol(colon + 1, NULL, 10)), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) < 0) die("epoll: %s", strerror(errno));

    long rounds = requests / lanes;
    char *commands = malloc((size_t)lanes * strlen(COMMAND) + 1);
    double *latencies = calloc((size_t)rounds, sizeof *latencies);
    if (commands == NULL || latencies == NULL) die("out of memory");
    for (long lane = 0; lane < lanes; lane++) strcpy(commands + (size_t)lane * strlen(COMMAND), COMMAND);

    for (long round = 0; round <= rounds / 10; round++) run_round(descriptor, epoll, commands, lanes);
    double cpu = cpu_seconds(), start = seconds(), before = start;
    for (long round = 0; round < rounds; round++) {
        run_round(descriptor, epoll, commands, lanes);
        double now = seconds();
        latencies[round] = now - before;
        before = now;
    }
    cpu = cpu_seconds() - cpu;
    double elapsed = before - start, done = (double)(rounds * lanes);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    qsort(latencies, (size_t)rounds, sizeof *latencies, by_size);
    printf("{\"seconds\": %.6f, \"requests_per_second\": %.1f, \"cpu_seconds\": %.6f, \"cpu_us_per_request\": %.4f, "
           "\"p50_us\": %.3f, \"p99_us\": %.3f, \"max_rss_kb\": %ld}\n",
           elapsed, done / elapsed, cpu, cpu * 1e6 / done, latencies[rounds / 2] * 1e6, latencies[rounds * 99 / 100] * 1e6,
           usage.ru_maxrss);
    return 0;
}
