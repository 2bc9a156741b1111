/*
 * bench-hiredis: closed-loop lanes over one hiredis async connection on libuv.
 *
 * The counterpart of bench-client: the same scenarios, keys, values, checks and JSON, so that the two can be
 * run in turn and their numbers divided. Each lane sends a command, waits for its reply, checks it, and sends
 * the next. Both programs give lane i the same share of the requests, read the clock once per command, and
 * write the latency into an array that was allocated and touched before the measurement.
 *
 * The program seeds the keys it reads (bench:*), over a blocking connection of its own, before it measures.
 */

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <uv.h>

#define MAX_WORDS 102
#define MAX_ELEMENTS 100
#define BLOB_SIZE (1 << 20)
/* A prime, so that the samples of a blob fall at every offset within a page. */
#define BLOB_SAMPLE_STRIDE 1021

static void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("bench-hiredis: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void *allocate(size_t size) {
    void *memory = malloc(size > 0 ? size : 1);
    if (memory == NULL) die("out of memory (%zu bytes)", size);
    return memory;
}

/* ---- Commands and scenarios ---------------------------------------------------------------------------- */

struct command {
    int count;
    const char *words[MAX_WORDS];
    size_t lengths[MAX_WORDS];
};

static void add_bytes(struct command *command, const char *bytes, size_t length) {
    command->words[command->count] = bytes;
    command->lengths[command->count] = length;
    command->count += 1;
}

static void add_word(struct command *command, const char *word) { add_bytes(command, word, strlen(word)); }

static const char hget_value[] = "Ingrid";
static char elements[MAX_ELEMENTS][16]; /* "item-000" …, for lrange5 and lrange100 */
static char fields[10][8];              /* "f0" …, for hmget10 */
static char field_values[10][8];        /* "value0" … */
static char blob[BLOB_SIZE];

/* Depends on every byte of the offset, so that a lost, doubled or shifted piece shows. */
static char blob_byte(size_t offset) { return (char)(offset ^ (offset >> 8) ^ (offset >> 16)); }

static void prepare_values(void) {
    for (int i = 0; i < MAX_ELEMENTS; i++) snprintf(elements[i], sizeof elements[i], "item-%03d", i);
    for (int i = 0; i < 10; i++) {
        snprintf(fields[i], sizeof fields[i], "f%d", i);
        snprintf(field_values[i], sizeof field_values[i], "value%d", i);
    }
    for (size_t i = 0; i < BLOB_SIZE; i++) blob[i] = blob_byte(i);
}

static bool is_string(const redisReply *reply, const char *bytes, size_t length) {
    return reply->type == REDIS_REPLY_STRING && reply->len == length && memcmp(reply->str, bytes, length) == 0;
}

static bool is_list_of_elements(const redisReply *reply, size_t count) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != count) return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_string(reply->element[i], elements[i], 8)) return false;
    }
    return true;
}

static bool is_hget_reply(const redisReply *reply) { return is_string(reply, hget_value, 6); }

static bool is_lrange5_reply(const redisReply *reply) { return is_list_of_elements(reply, 5); }

static bool is_lrange100_reply(const redisReply *reply) { return is_list_of_elements(reply, 100); }

static bool is_hmget10_reply(const redisReply *reply) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 10) return false;
    for (size_t i = 0; i < 10; i++) {
        if (!is_string(reply->element[i], field_values[i], 6)) return false;
    }
    return true;
}

/* Samples the blob: comparing all of it would measure the comparison. */
static bool is_get1m_reply(const redisReply *reply) {
    if (reply->type != REDIS_REPLY_STRING || reply->len != BLOB_SIZE) return false;
    for (size_t i = 0; i < BLOB_SIZE; i += BLOB_SAMPLE_STRIDE) {
        if (reply->str[i] != blob_byte(i)) return false;
    }
    return reply->str[BLOB_SIZE - 1] == blob_byte(BLOB_SIZE - 1);
}

static bool is_set1m_reply(const redisReply *reply) {
    return reply->type == REDIS_REPLY_STATUS && reply->len == 2 && memcmp(reply->str, "OK", 2) == 0;
}

static void build_hget(struct command *seed, struct command *request) {
    add_word(seed, "HSET");
    add_word(seed, "bench:hget");
    add_word(seed, "name");
    add_word(seed, hget_value);
    add_word(request, "HGET");
    add_word(request, "bench:hget");
    add_word(request, "name");
}

static void build_lrange(
    struct command *seed, struct command *request, const char *key, int count, const char *last) {
    add_word(seed, "RPUSH");
    add_word(seed, key);
    for (int i = 0; i < count; i++) add_word(seed, elements[i]);
    add_word(request, "LRANGE");
    add_word(request, key);
    add_word(request, "0");
    add_word(request, last);
}

static void build_lrange5(struct command *seed, struct command *request) {
    build_lrange(seed, request, "bench:lrange5", 5, "4");
}

static void build_lrange100(struct command *seed, struct command *request) {
    build_lrange(seed, request, "bench:lrange100", 100, "99");
}

static void build_hmget10(struct command *seed, struct command *request) {
    add_word(seed, "HSET");
    add_word(seed, "bench:hmget10");
    add_word(request, "HMGET");
    add_word(request, "bench:hmget10");
    for (int i = 0; i < 10; i++) {
        add_word(seed, fields[i]);
        add_word(seed, field_values[i]);
        add_word(request, fields[i]);
    }
}

static void build_get(struct command *seed, struct command *request) {
    add_word(seed, "SET");
    add_word(seed, "bench:get");
    add_word(seed, hget_value);
    add_word(request, "GET");
    add_word(request, "bench:get");
}

static void build_get1m(struct command *seed, struct command *request) {
    add_word(seed, "SET");
    add_word(seed, "bench:get1m");
    add_bytes(seed, blob, BLOB_SIZE);
    add_word(request, "GET");
    add_word(request, "bench:get1m");
}

static void build_set1m(struct command *seed, struct command *request) {
    /* Overwritten at once, but the key is deleted before. */
    add_word(seed, "SET");
    add_word(seed, "bench:set1m");
    add_word(seed, "");
    add_word(request, "SET");
    add_word(request, "bench:set1m");
    add_bytes(request, blob, BLOB_SIZE);
}

static const struct scenario {
    const char *name;
    void (*build)(struct command *seed, struct command *request);
    bool (*is_expected)(const redisReply *reply);
} scenarios[] = {
    {"hget", build_hget, is_hget_reply},
    {"lrange5", build_lrange5, is_lrange5_reply},
    {"lrange100", build_lrange100, is_lrange100_reply},
    {"get1m", build_get1m, is_get1m_reply},
    {"set1m", build_set1m, is_set1m_reply},
    {"hmget10", build_hmget10, is_hmget10_reply},
    {"get", build_get, is_hget_reply},
};

static const struct scenario *find_scenario(const char *name) {
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (strcmp(scenarios[i].name, name) == 0) return &scenarios[i];
    }
    return NULL;
}

/* ---- Arguments ----------------------------------------------------------------------------------------- */

struct arguments {
    char host[256];
    int port;
    const struct scenario *scenario;
    long concurrency;
    long requests;
};

static void usage(const char *problem) {
    fprintf(stderr,
            "bench-hiredis: %s\n"
            "usage: bench-hiredis --url redis://HOST[:PORT][/0]\n"
            "                     --scenario hget|lrange5|lrange100|get1m|set1m|hmget10|get\n"
            "                     --concurrency N --requests M      (1 <= N <= M)\n"
            "       bench-hiredis --version\n",
            problem);
    exit(2);
}

static long parse_number(const char *text, long maximum, const char *problem) {
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < 1 || number > maximum) usage(problem);
    return number;
}

static void parse_url(const char *url, struct arguments *arguments) {
    static const char problem[] = "--url must be redis://HOST[:PORT][/0]";
    static const char scheme[] = "redis://";
    if (strncmp(url, scheme, strlen(scheme)) != 0) usage(problem);
    const char *host = url + strlen(scheme);
    size_t length = strcspn(host, ":/@");
    if (length == 0 || length >= sizeof arguments->host) usage(problem);
    memcpy(arguments->host, host, length);
    arguments->host[length] = '\0';
    arguments->port = 6379;

    char rest[16];
    if (strlen(host + length) >= sizeof rest) usage(problem);
    strcpy(rest, host + length);
    /* No other database than the first. */
    char *path = strchr(rest, '/');
    if (path != NULL) {
        if (strcmp(path, "/") != 0 && strcmp(path, "/0") != 0) usage(problem);
        *path = '\0';
    }
    if (rest[0] == ':') {
        arguments->port = (int)parse_number(rest + 1, 65535, problem);
    } else if (rest[0] != '\0') {
        usage(problem);
    }
}

static struct arguments parse_arguments(int argc, char **argv) {
    struct arguments arguments = {0};
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("hiredis %d.%d.%d, libuv %s\n", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH, uv_version_string());
        exit(0);
    }
    for (int i = 1; i < argc; i += 2) {
        const char *flag = argv[i];
        if (i + 1 == argc) usage("the last flag has no value");
        const char *value = argv[i + 1];
        if (strcmp(flag, "--url") == 0) {
            parse_url(value, &arguments);
        } else if (strcmp(flag, "--scenario") == 0) {
            arguments.scenario = find_scenario(value);
            if (arguments.scenario == NULL) usage("no such scenario");
        } else if (strcmp(flag, "--concurrency") == 0) {
            arguments.concurrency = parse_number(value, 1000000, "--concurrency must be 1 to 1000000");
        } else if (strcmp(flag, "--requests") == 0) {
            arguments.requests = parse_number(value, 1000000000, "--requests must be 1 to 1000000000");
        } else {
            usage("no such flag");
        }
    }
    if (arguments.port == 0 || arguments.scenario == NULL) usage("--url and --scenario are needed");
    if (arguments.concurrency == 0 || arguments.requests == 0) usage("--concurrency and --requests are needed");
    if (arguments.requests < arguments.concurrency) usage("--requests must be at least --concurrency");
    return arguments;
}

/* ---- hiredis on libuv ---------------------------------------------------------------------------------- */

/* A poll handle for the connection's socket. Arming a uv_poll_t anew takes the socket out of epoll and puts it
   back, even when nothing changes, so the events are given to libuv only when they differ. */
struct binding {
    redisAsyncContext *context;
    uv_poll_t poll;
    int events;
};

static void on_poll(uv_poll_t *poll, int status, int ready) {
    struct binding *binding = poll->data;
    /* On an error hiredis finds out what happened by reading or writing itself. */
    if (status < 0) ready = binding->events;
    if ((ready & UV_READABLE) != 0 && binding->context != NULL) redisAsyncHandleRead(binding->context);
    if ((ready & UV_WRITABLE) != 0 && binding->context != NULL) redisAsyncHandleWrite(binding->context);
}

static void watch(struct binding *binding, int events) {
    if (events == binding->events) return;
    binding->events = events;
    int result = events != 0 ? uv_poll_start(&binding->poll, events, on_poll) : uv_poll_stop(&binding->poll);
    if (result < 0) die("cannot watch the socket: %s", uv_strerror(result));
}

static void start_reading(void *data) {
    struct binding *binding = data;
    watch(binding, binding->events | UV_READABLE);
}

static void stop_reading(void *data) {
    struct binding *binding = data;
    watch(binding, binding->events & ~UV_READABLE);
}

static void start_writing(void *data) {
    struct binding *binding = data;
    watch(binding, binding->events | UV_WRITABLE);
}

static void stop_writing(void *data) {
    struct binding *binding = data;
    watch(binding, binding->events & ~UV_WRITABLE);
}

static void unbind(void *data) {
    struct binding *binding = data;
    binding->context = NULL;
    uv_close((uv_handle_t *)&binding->poll, NULL);
}

static void bind_to_loop(struct binding *binding, redisAsyncContext *context, uv_loop_t *loop) {
    binding->context = context;
    binding->events = 0;
    int result = uv_poll_init(loop, &binding->poll, context->c.fd);
    if (result < 0) die("cannot poll the socket: %s", uv_strerror(result));
    binding->poll.data = binding;
    context->ev.data = binding;
    context->ev.addRead = start_reading;
    context->ev.delRead = stop_reading;
    context->ev.addWrite = start_writing;
    context->ev.delWrite = stop_writing;
    context->ev.cleanup = unbind;
}

static uv_loop_t *loop_of(const redisAsyncContext *context) {
    return ((struct binding *)context->ev.data)->poll.loop;
}

static void on_connect(const redisAsyncContext *context, int status) {
    if (status != REDIS_OK) die("cannot connect: %s", context->errstr);
    uv_stop(loop_of(context));
}

static void on_disconnect(const redisAsyncContext *context, int status) {
    if (status != REDIS_OK) die("the connection was lost: %s", context->errstr);
}

static void connect_to(const struct arguments *arguments, struct binding *binding, uv_loop_t *loop) {
    redisAsyncContext *context = redisAsyncConnect(arguments->host, arguments->port);
    if (context == NULL) die("out of memory");
    if (context->err != 0) die("cannot connect: %s", context->errstr);
    bind_to_loop(binding, context, loop);
    redisAsyncSetConnectCallback(context, on_connect);
    redisAsyncSetDisconnectCallback(context, on_disconnect);
    uv_run(loop, UV_RUN_DEFAULT);
}

/* ---- Seeding ------------------------------------------------------------------------------------------- */

static void run_blocking(redisContext *context, struct command *command) {
    redisReply *reply = redisCommandArgv(context, command->count, command->words, command->lengths);
    if (reply == NULL) die("cannot seed: %s", context->errstr);
    if (reply->type == REDIS_REPLY_ERROR) die("cannot seed: %s", reply->str);
    freeReplyObject(reply);
}

static void run_seed(const struct arguments *arguments, struct command *seed) {
    if (seed->count == 0) return;
    redisContext *context = redisConnect(arguments->host, arguments->port);
    if (context == NULL) die("out of memory");
    if (context->err != 0) die("cannot connect: %s", context->errstr);
    struct command delete = {0};
    add_word(&delete, "DEL");
    add_word(&delete, seed->words[1]);
    run_blocking(context, &delete);
    run_blocking(context, seed);
    redisFree(context);
}

/* ---- Lanes --------------------------------------------------------------------------------------------- */

struct phase {
    const struct scenario *scenario;
    struct command *request;
    redisAsyncContext *context;
    long lanes_running;
};

struct lane {
    struct phase *phase;
    uint64_t *latencies;
    long requests;
    long done;
    uint64_t sent_at;
};

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void on_reply(redisAsyncContext *context, void *raw_reply, void *data);

static void send_next(struct lane *lane) {
    struct phase *phase = lane->phase;
    struct command *request = phase->request;
    int result = redisAsyncCommandArgv(
        phase->context, on_reply, lane, request->count, request->words, request->lengths);
    if (result != REDIS_OK) die("cannot send: %s", phase->context->errstr);
}

static void on_reply(redisAsyncContext *context, void *raw_reply, void *data) {
    struct lane *lane = data;
    struct phase *phase = lane->phase;
    if (raw_reply == NULL) die("no reply: %s", context->errstr);
    if (!phase->scenario->is_expected(raw_reply)) die("unexpected reply to %s", phase->scenario->name);

    /* A lane is never idle: the end of one command is the beginning of the next. */
    uint64_t now = nanoseconds(CLOCK_MONOTONIC);
    lane->latencies[lane->done] = now - lane->sent_at;
    lane->sent_at = now;
    lane->done += 1;

    if (lane->done < lane->requests) {
        send_next(lane);
    } else if (--phase->lanes_running == 0) {
        uv_stop(loop_of(context));
    }
}

/* Sends `requests` commands over `count` lanes and returns when each has its reply. */
static void run_lanes(struct phase *phase, struct lane *lanes, long count, long requests, uint64_t *latencies) {
    long first = 0;
    for (long i = 0; i < count; i++) {
        long share = requests / count + (i < requests % count ? 1 : 0);
        lanes[i] = (struct lane){.phase = phase, .latencies = latencies + first, .requests = share};
        first += share;
    }
    phase->lanes_running = count;
    for (long i = 0; i < count; i++) {
        lanes[i].sent_at = nanoseconds(CLOCK_MONOTONIC);
        send_next(&lanes[i]);
    }
    uv_run(loop_of(phase->context), UV_RUN_DEFAULT);
}

/* ---- Report -------------------------------------------------------------------------------------------- */

static int compare_latencies(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* The nearest-rank percentile of sorted latencies, in microseconds. */
static double percentile(const uint64_t *sorted, long count, long percent) {
    long rank = (count * percent + 99) / 100;
    return (double)sorted[rank - 1] / 1e3;
}

/* Kilobytes: Linux counts ru_maxrss in them, Darwin in bytes. */
static long peak_memory(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return usage.ru_maxrss / 1024;
#else
    return usage.ru_maxrss;
#endif
}

static void print_report(uint64_t wall, uint64_t cpu, uint64_t *latencies, long requests, long max_rss_kb) {
    qsort(latencies, (size_t)requests, sizeof *latencies, compare_latencies);
    double seconds = (double)wall / 1e9, cpu_seconds = (double)cpu / 1e9;
    printf("{\"seconds\": %.6f, \"requests_per_second\": %.1f, \"cpu_seconds\": %.6f, "
           "\"cpu_us_per_request\": %.4f, \"p50_us\": %.3f, \"p99_us\": %.3f, \"max_rss_kb\": %ld}\n",
           seconds, (double)requests / seconds, cpu_seconds, cpu_seconds * 1e6 / (double)requests,
           percentile(latencies, requests, 50), percentile(latencies, requests, 99), max_rss_kb);
}

int main(int argc, char **argv) {
    struct arguments arguments = parse_arguments(argc, argv);
    prepare_values();
    struct command seed = {0}, request = {0};
    arguments.scenario->build(&seed, &request);
    run_seed(&arguments, &seed);

    uv_loop_t *loop = uv_default_loop();
    struct binding binding;
    connect_to(&arguments, &binding, loop);

    /* Touched before the measurement, so that it takes no page fault. */
    size_t latencies_size = (size_t)arguments.requests * sizeof(uint64_t);
    uint64_t *latencies = allocate(latencies_size);
    memset(latencies, 1, latencies_size);
    struct lane *lanes = allocate((size_t)arguments.concurrency * sizeof *lanes);
    struct phase phase = {.scenario = arguments.scenario, .request = &request, .context = binding.context};

    /* The warm-up is a tenth of the requests, and at least one for each lane. */
    long warm_up = arguments.requests / 10;
    if (warm_up < arguments.concurrency) warm_up = arguments.concurrency;
    run_lanes(&phase, lanes, arguments.concurrency, warm_up, latencies);

    uint64_t cpu_start = nanoseconds(CLOCK_PROCESS_CPUTIME_ID), wall_start = nanoseconds(CLOCK_MONOTONIC);
    run_lanes(&phase, lanes, arguments.concurrency, arguments.requests, latencies);
    uint64_t wall = nanoseconds(CLOCK_MONOTONIC) - wall_start;
    uint64_t cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_start;

    print_report(wall, cpu, latencies, arguments.requests, peak_memory());
    redisAsyncFree(binding.context);
    uv_run(loop, UV_RUN_DEFAULT);
    free(lanes);
    free(latencies);
    return uv_loop_close(loop) == 0 ? 0 : 1;
}
