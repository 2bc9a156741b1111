// A Kafka cluster in a process of its own, to be killed: prints its broker's address, and runs until it is ended. When it cannot be
// started the reason goes to the error stream, and the status is 1.
import Glibc
import KafkaMock

let cluster: MockCluster
do {
    cluster = try MockCluster()
} catch {
    let words = Array("kafka-mock: \(error)\n".utf8)
    // Written before the call returns.
    _ = unsafe write(STDERR_FILENO, words, words.count)
    exit(1)
}
print("127.0.0.1:\(cluster.port)")
fflush(nil)
withExtendedLifetime(cluster) {
    while true { pause() }
}
