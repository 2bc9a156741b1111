#pragma once
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

/* rd_kafka_producev is variadic, which Swift does not import. librdkafka copies the bytes. Never blocks. */
static inline rd_kafka_resp_err_t ckafka_produce(rd_kafka_t *client, const char *topic, const void *key, size_t key_count,
                                                 const void *value, size_t value_count, void *opaque) {
    return rd_kafka_producev(client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                             RD_KAFKA_V_KEY(key, key_count), RD_KAFKA_V_VALUE((void *)value, value_count),
                             RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
}
