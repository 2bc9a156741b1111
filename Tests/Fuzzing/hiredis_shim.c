#include "hiredis_shim.h"

#include <stdlib.h>
#include <string.h>

#include "read.h"

struct stored_node {
    shim_node node;
    size_t offset; /* where the string begins in `text`, which may move while it grows */
};

struct shim_reader {
    redisReader *reader;
    struct stored_node *nodes;
    size_t count, capacity;
    uint8_t *text;
    size_t text_length, text_capacity;
    int begun; /* whether the nodes are those of the reply being read, not of the last one */
};

static void *larger(void *memory, size_t needed, size_t *capacity, size_t size) {
    if (needed <= *capacity) return memory;
    size_t grown = needed > 2 * *capacity ? needed : 2 * *capacity;
    memory = realloc(memory, grown * size);
    if (memory == NULL) abort();
    *capacity = grown;
    return memory;
}

static void *add(const redisReadTask *task, shim_node node, const char *bytes, size_t length) {
    shim_reader *shim = task->privdata;
    if (!shim->begun) {
        shim->begun = 1;
        shim->count = shim->text_length = 0;
    }
    shim->nodes = larger(shim->nodes, shim->count + 1, &shim->capacity, sizeof(struct stored_node));
    shim->text = larger(shim->text, shim->text_length + length, &shim->text_capacity, 1);
    node.length = length;
    shim->nodes[shim->count++] = (struct stored_node){node, shim->text_length};
    if (length > 0) memcpy(shim->text + shim->text_length, bytes, length);
    shim->text_length += length;
    return shim; /* hiredis wants an object; any address will do */
}

static void *add_string(const redisReadTask *task, char *bytes, size_t length) {
    return add(task, (shim_node){.type = task->type}, bytes, length);
}

static void *add_aggregate(const redisReadTask *task, size_t count) {
    return add(task, (shim_node){.type = task->type, .integer = (int64_t)count}, NULL, 0);
}

static void *add_integer(const redisReadTask *task, long long value) {
    return add(task, (shim_node){.type = REDIS_REPLY_INTEGER, .integer = value}, NULL, 0);
}

static void *add_double(const redisReadTask *task, double value, char *bytes, size_t length) {
    (void)bytes;
    (void)length;
    return add(task, (shim_node){.type = REDIS_REPLY_DOUBLE, .number = value}, NULL, 0);
}

static void *add_null(const redisReadTask *task) {
    return add(task, (shim_node){.type = REDIS_REPLY_NIL}, NULL, 0);
}

static void *add_boolean(const redisReadTask *task, int value) {
    return add(task, (shim_node){.type = REDIS_REPLY_BOOL, .integer = value}, NULL, 0);
}

static void release(void *object) { (void)object; }

shim_reader *shim_create(int max_depth, int64_t max_elements) {
    static redisReplyObjectFunctions functions = {
        add_string, add_aggregate, add_integer, add_double, add_null, add_boolean, release,
    };
    shim_reader *shim = calloc(1, sizeof(*shim));
    if (shim == NULL || (shim->reader = redisReaderCreateWithFunctions(&functions)) == NULL) abort();
    shim->reader->privdata = shim;
    shim->reader->maxdepth = max_depth;
    shim->reader->maxelements = max_elements;
    return shim;
}

void shim_free(shim_reader *shim) {
    redisReaderFree(shim->reader);
    free(shim->nodes);
    free(shim->text);
    free(shim);
}

void shim_feed(shim_reader *shim, const uint8_t *bytes, size_t length) {
    redisReaderFeed(shim->reader, (const char *)bytes, length);
}

int shim_next(shim_reader *shim) {
    void *reply = NULL;
    if (redisReaderGetReply(shim->reader, &reply) != REDIS_OK) return -1;
    if (reply == NULL) return 0;
    shim->begun = 0;
    return 1;
}

size_t shim_node_count(const shim_reader *shim) { return shim->count; }

shim_node shim_node_at(const shim_reader *shim, size_t index) {
    shim_node node = shim->nodes[index].node;
    node.bytes = shim->text + shim->nodes[index].offset;
    return node;
}

size_t shim_unread(const shim_reader *shim) { return shim->reader->len - shim->reader->pos; }

int shim_depth(const shim_reader *shim) { return shim->reader->ridx > 0 ? shim->reader->ridx : 0; }

const char *shim_error(const shim_reader *shim) { return shim->reader->errstr; }
