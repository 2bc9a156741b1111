import CKafka
public import IOCalls

/// Why a message was not delivered, or none could be read, and whether it may have been.
public typealias KafkaError = KindError<Kafka>

extension KindError<Kafka>.Code {
    /// The message is too large: for librdkafka, which then does not send it, *notSent*, or for the broker, *rejected*.
    public static var messageTooLarge: Self { .server("MSG_SIZE_TOO_LARGE") }
    /// There is no such topic or partition: as the broker says, *rejected*, or as librdkafka knew already, *notSent*.
    public static var unknownTopic: Self { .server("UNKNOWN_TOPIC_OR_PART") }
}

extension KindError<Kafka> {
    /// What librdkafka says of a message that was not delivered.
    init(_ error: rd_kafka_resp_err_t, _ status: rd_kafka_msg_status_t, endpoint: String) {
        // Names and sentences are constants of the library's.
        let name = unsafe String(cString: rd_kafka_err2name(error))
        let message = unsafe String(cString: rd_kafka_err2str(error))
        // A broker's own codes are above zero, the library's are below.
        let isBrokers = error.rawValue > 0
        let code: Code =
            switch error {
            case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT: .deadlineExceeded
            case RD_KAFKA_RESP_ERR__QUEUE_FULL: .overloaded
            case RD_KAFKA_RESP_ERR__TIMED_OUT: .connectTimedOut
            case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION: .unknownTopic
            case RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR__PURGE_QUEUE,
                RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
                .connectionLost
            default: isBrokers ? .server(name) : Code(name)
            }
        let outcome: Outcome =
            switch status {
            case RD_KAFKA_MSG_STATUS_NOT_PERSISTED: isBrokers ? .rejected : .notSent
            default: .indeterminate
            }
        self.init(code, outcome, endpoint: endpoint, message)
    }
}
