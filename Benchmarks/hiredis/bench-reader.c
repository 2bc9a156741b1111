/*
 * bench-reader [ELEMENTS]: what one large reply costs hiredis's redisReader, arriving whole, in pieces of 64 KiB and
 * byte by byte.
 *
 * The counterpart of bench-decoder: the same reply, the same rounds, the same JSON lines. What a reply is read into is
 * freed within the time, there as here.
 */

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hiredis/hiredis.h>

#define ROUNDS 7

static void die(const char *words) {
    fprintf(stderr, "bench-reader: %s\n", words);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* An array of short bulk strings. */
static char *make_reply(long elements, size_t *length) {
    char *bytes = malloc(32 + (size_t)elements * 48);
    if (bytes == NULL) die("out of memory");
    char *end = bytes + sprintf(bytes, "*%ld\r\n", elements);
    for (long number = 0; number < elements; number++) {
        char text[24];
        int count = sprintf(text, "%ld", number);
        end += sprintf(end, "$%d\r\n%s\r\n", count, text);
    }
    *length = (size_t)(end - bytes);
    return bytes;
}

static double measure(const char *bytes, size_t length, long elements, size_t piece) {
    double start = now();
    redisReader *reader = redisReaderCreate();
    if (reader == NULL) die("out of memory");
    reader->maxelements = 0;
    int replies = 0;
    for (size_t offset = 0; offset < length;) {
        size_t count = length - offset < piece ? length - offset : piece;
        if (redisReaderFeed(reader, bytes + offset, count) != REDIS_OK) die("the bytes were refused");
        offset += count;
        for (;;) {
            void *value = NULL;
            if (redisReaderGetReply(reader, &value) != REDIS_OK) die("the reply was refused");
            if (value == NULL) break;
            redisReply *reply = value;
            if (reply->type != REDIS_REPLY_ARRAY || reply->elements != (size_t)elements) die("a wrong reply");
            freeReplyObject(reply);
            replies += 1;
        }
    }
    redisReaderFree(reader);
    if (replies != 1) die("a wrong number of replies");
    return now() - start;
}

static int compare(const void *left, const void *right) {
    double difference = *(const double *)left - *(const double *)right;
    return difference < 0 ? -1 : difference > 0;
}

int main(int argc, char **argv) {
    /* As bench-decoder: what is freed stays. */
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    long elements = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;
    if (elements < 1) die("usage: bench-reader [ELEMENTS]");
    const struct {
        const char *name;
        size_t bytes;
    } ways[] = {{"whole", SIZE_MAX}, {"64KiB", 64 << 10}, {"byte", 1}};
    enum { WAYS = sizeof ways / sizeof ways[0] };
    size_t length;
    char *bytes = make_reply(elements, &length);
    double seconds[WAYS][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (int way = 0; way < WAYS; way++)
            seconds[way][round] = measure(bytes, length, elements, ways[way].bytes);
    for (int way = 0; way < WAYS; way++) qsort(seconds[way], ROUNDS, sizeof(double), compare);
    double whole = seconds[0][ROUNDS / 2];
    for (int way = 0; way < WAYS; way++) {
        double median = seconds[way][ROUNDS / 2];
        printf("{\"pieces\": \"%s\", \"into\": \"redisReply\", \"seconds\": %g, \"ratio_to_whole\": %g, "
               "\"bytes_per_second\": %g, \"elements_per_second\": %g}\n",
               ways[way].name, median, median / whole, (double)length / median, (double)elements / median);
    }
    free(bytes);
    return 0;
}
