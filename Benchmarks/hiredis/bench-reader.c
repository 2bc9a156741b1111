/*
 * bench-reader [ELEMENTS [LENGTH]]: what one large reply costs hiredis's redisReader, arriving whole, in pieces of 64 KiB and
 * byte by byte.
 *
 * The counterpart of bench-decoder: the same reply, the same rounds, the same JSON lines. What a reply is read into is
 * freed within the time, there as here.
 */

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

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

/* An array of bulk strings: numbers, with zeros in front where they are shorter than text_length. */
static char *make_reply(long elements, int text_length, size_t *length) {
    size_t most = 40 + (text_length > 20 ? (size_t)text_length : 20);
    char *bytes = malloc(32 + (size_t)elements * most);
    if (bytes == NULL) die("out of memory");
    char *end = bytes + sprintf(bytes, "*%ld\r\n", elements);
    for (long number = 0; number < elements; number++) {
        int count = snprintf(NULL, 0, "%0*ld", text_length, number);
        end += sprintf(end, "$%d\r\n%0*ld\r\n", count, text_length, number);
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

/* The argument at a place, or what it is without one; 0 if it is no number from 1 to most. */
static long number(int argc, char **argv, int place, long without, long most) {
    if (argc <= place) return without;
    char *end;
    long value = strtol(argv[place], &end, 10);
    return end == argv[place] || *end != 0 || value > most ? 0 : value;
}

int main(int argc, char **argv) {
#ifdef __GLIBC__
    /* As bench-decoder: what is freed stays. */
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
#endif
    long elements = number(argc, argv, 1, 1000000, 100000000);
    int text_length = (int)number(argc, argv, 2, 1, 1000);
    if (argc > 3 || elements < 1 || text_length < 1) {
        fputs("usage: bench-reader [ELEMENTS [LENGTH]], the least length of an element in bytes, at most 1000\n", stderr);
        return 2;
    }
    const struct {
        const char *name;
        size_t bytes;
    } ways[] = {{"whole", SIZE_MAX}, {"64KiB", 64 << 10}, {"byte", 1}};
    enum { WAYS = sizeof ways / sizeof ways[0] };
    size_t length;
    char *bytes = make_reply(elements, text_length, &length);
    double seconds[WAYS][ROUNDS];
    for (int round = 0; round < ROUNDS; round++)
        for (int way = 0; way < WAYS; way++)
            seconds[way][round] = measure(bytes, length, elements, ways[way].bytes);
    for (int way = 0; way < WAYS; way++) qsort(seconds[way], ROUNDS, sizeof(double), compare);
    double whole = seconds[0][ROUNDS / 2];
    for (int way = 0; way < WAYS; way++) {
        double median = seconds[way][ROUNDS / 2];
        printf("{\"length\": %d, \"pieces\": \"%s\", \"into\": \"redisReply\", \"seconds\": %g, \"ratio_to_whole\": %g, "
               "\"bytes_per_second\": %g, \"elements_per_second\": %g}\n",
               text_length, ways[way].name, median, median / whole, (double)length / median, (double)elements / median);
    }
    free(bytes);
    return 0;
}
