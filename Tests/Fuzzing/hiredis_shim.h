/* hiredis's reader as a few functions that Swift can call. Its replies come as flat lists of nodes, each aggregate before
 * its elements, so that nothing is reserved for a declared count and nothing recurses. */
#ifndef HIREDIS_SHIM_H
#define HIREDIS_SHIM_H

#include <stddef.h>
#include <stdint.h>

typedef struct shim_node {
    int type;        /* one of hiredis's REDIS_REPLY_ numbers */
    int64_t integer; /* an integer, a boolean, or how many elements follow */
    double number;
    const uint8_t *bytes; /* a string's; valid until the next call */
    size_t length;
} shim_node;

typedef struct shim_reader shim_reader;

shim_reader *shim_create(int max_depth, int64_t max_elements);
void shim_free(shim_reader *reader);
void shim_feed(shim_reader *reader, const uint8_t *bytes, size_t length);

/* 1 if there is a reply, 0 if it needs more bytes, -1 once the bytes are not the protocol. */
int shim_next(shim_reader *reader);
/* The nodes of the last reply. */
size_t shim_node_count(const shim_reader *reader);
shim_node shim_node_at(const shim_reader *reader, size_t index);

/* Bytes that were fed and that the reader has not gone past. */
size_t shim_unread(const shim_reader *reader);
/* How many aggregates are open. */
int shim_depth(const shim_reader *reader);
const char *shim_error(const shim_reader *reader);

#endif
