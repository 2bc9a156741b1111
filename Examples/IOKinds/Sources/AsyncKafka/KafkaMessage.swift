import CKafka

/// A message that was read.
public struct KafkaMessage: Hashable, Sendable {
    /// The topic it is of.
    public let topic: String
    /// Its partition of the topic.
    public let partition: Int
    /// Its place in the partition.
    public let offset: Int
    /// Its key; nil if it has none.
    public let key: [UInt8]?
    /// What it says; empty also for a tombstone, which has no value.
    public let value: [UInt8]

    /// Copies one of librdkafka's, which lives as long as the caller keeps it.
    init(_ message: rd_kafka_message_t) {
        topic = unsafe String(cString: rd_kafka_topic_name(message.rkt))
        partition = unsafe Int(message.partition)
        offset = unsafe Int(message.offset)
        key = unsafe message.key.map {
            unsafe Array(UnsafeRawBufferPointer(start: $0, count: message.key_len))
        }
        value = unsafe Array(UnsafeRawBufferPointer(start: message.payload, count: message.len))
    }
}

/// Where a message was stored.
public struct KafkaReceipt: Hashable, Sendable {
    /// Its partition of the topic.
    public let partition: Int
    /// Its place in the partition.
    public let offset: Int
}

/// Where in a topic to begin to read.
public enum KafkaStart: Hashable, Sendable {
    /// With the first message that is kept.
    case beginning
    /// With the first that comes after the reading has begun.
    case end
}
