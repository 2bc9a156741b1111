/*
 * bench-floor: what the kernel alone takes for the lanes of the scenario hget.
 *
 * --mode loop: one write of as many commands as there are lanes, one epoll_wait, one read of as many replies, and again: no
 * client that sleeps in epoll_wait does with fewer system calls. --mode pool: what a read brings is handed to a second
 * thread, which hands as many commands back, and each wakes the other where it sleeps; the second thread stands for all of a
 * pool. Replies are counted by their bytes and not looked at. The JSON is that of bench-client and bench-hiredis; a request's latency is that of its round.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
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

/* Waits until one of the descriptors has something. */
static void await_input(int epoll) {
    struct epoll_event event;
    while (epoll_wait(epoll, &event, 1, -1) < 0)
        if (errno != EINTR) die("epoll_wait: %s", strerror(errno));
}

static void write_commands(int descriptor, const char *commands, long count) {
    size_t length = (size_t)count * strlen(COMMAND);
    if (write(descriptor, commands, length) != (ssize_t)length)
        die("the commands do not go out in one write: the socket is full, or the server has gone away");
}

static char buffer[64 * 1024];

static void run_round(int descriptor, int epoll, const char *commands, long lanes) {
    size_t left = (size_t)lanes * strlen(REPLY);
    write_commands(descriptor, commands, lanes);
    while (left > 0) {
        await_input(epoll);
        ssize_t count = read(descriptor, buffer, sizeof buffer);
        if (count <= 0 || (size_t)count > left) die("the server has gone away, or its replies are not those expected");
        left -= (size_t)count;
    }
}

/* Lanes on their way from this thread to the second, and commands on their way back. */
static atomic_long lanes_out, commands_back;
static atomic_int is_asleep;
static sem_t any_lanes;
static int bell;

static void *run_lanes(void *unused) {
    for (;;) {
        while (sem_wait(&any_lanes) < 0) continue;
        long count = atomic_exchange(&lanes_out, 0);
        if (count == 0) continue;
        atomic_fetch_add(&commands_back, count);
        uint64_t one = 1;
        if (atomic_exchange(&is_asleep, 0) && write(bell, &one, sizeof one) < 0) die("eventfd: %s", strerror(errno));
    }
    return unused;
}

/* Until as many replies have come as there are lanes, which all have a command on its way at any time. */
static void run_pool_round(int descriptor, int epoll, const char *commands, long lanes) {
    static size_t partial = 0;
    size_t left = (size_t)lanes * strlen(REPLY);
    while (left > 0) {
        long ready = atomic_exchange(&commands_back, 0);
        if (ready > 0) write_commands(descriptor, commands, ready);
        atomic_store(&is_asleep, 1);
        if (atomic_load(&commands_back) == 0) await_input(epoll);
        /* Whoever found this thread asleep has rung, or is about to. */
        uint64_t rung;
        if (!atomic_exchange(&is_asleep, 0) && read(bell, &rung, sizeof rung) < 0 && errno != EAGAIN)
            die("eventfd: %s", strerror(errno));
        size_t most = left < sizeof buffer ? left : sizeof buffer;
        ssize_t count = read(descriptor, buffer, most);
        if (count < 0 && errno == EAGAIN) continue;
        if (count <= 0) die("the server has gone away");
        left -= (size_t)count;
        partial += (size_t)count;
        atomic_fetch_add(&lanes_out, (long)(partial / strlen(REPLY)));
        partial %= strlen(REPLY);
        sem_post(&any_lanes);
    }
}

static void start_pool(int epoll, long lanes) {
    pthread_t thread;
    struct epoll_event event = {.events = EPOLLIN};
    bell = eventfd(0, EFD_NONBLOCK);
    if (bell < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, bell, &event) < 0 || sem_init(&any_lanes, 0, 0) < 0)
        die("eventfd: %s", strerror(errno));
    if (pthread_create(&thread, NULL, run_lanes, NULL) != 0) die("there is no thread to be had");
    atomic_store(&commands_back, lanes);
}

int main(int count, char **words) {
    const char *url = "", *colon;
    const char *mode = "loop";
    long lanes = 1, requests = 0;
    for (int index = 1; index < count; index += 2) {
        const char *value = index + 1 < count ? words[index + 1] : "";
        if (strcmp(words[index], "--url") == 0) url = value;
        else if (strcmp(words[index], "--concurrency") == 0) lanes = strtol(value, NULL, 10);
        else if (strcmp(words[index], "--requests") == 0) requests = strtol(value, NULL, 10);
        else if (strcmp(words[index], "--mode") == 0) mode = value;
        else url = NULL, index = count; /* No such argument. */
    }
    int on_pool = strcmp(mode, "pool") == 0;
    colon = url != NULL ? strrchr(url, ':') : NULL;
    if (colon == NULL || strncmp(url, "redis://127.0.0.1:", 18) != 0 || lanes < 1 || lanes > 1000 || requests < lanes ||
        (!on_pool && strcmp(mode, "loop") != 0)) {
        fputs("usage: bench-floor --url redis://127.0.0.1:PORT --concurrency 1...1000 --requests N [--mode loop|pool]\n", stderr);
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

    void (*run)(int, int, const char *, long) = on_pool ? run_pool_round : run_round;
    if (on_pool) start_pool(epoll, lanes);
    for (long round = 0; round <= rounds / 10; round++) run(descriptor, epoll, commands, lanes);
    double cpu = cpu_seconds(), start = seconds(), before = start;
    for (long round = 0; round < rounds; round++) {
        run(descriptor, epoll, commands, lanes);
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
