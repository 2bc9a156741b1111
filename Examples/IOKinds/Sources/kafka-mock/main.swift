// A Kafka cluster in a process of its own, to be killed: prints its broker's address, and runs until it is ended.
import Glibc
import KafkaMock

guard let cluster = MockCluster() else {
    print("librdkafka's mock cluster could not be started")
    exit(1)
}
print("127.0.0.1:\(cluster.port)")
fflush(nil)
withExtendedLifetime(cluster) {
    while true { pause() }
}
