// 100 tasks on one loop, each reading Redis, Postgres and SQLite and producing to Kafka, all with the same `try await`.
// scripts/io_kinds.sh starts what it needs, and kills each server under it.
//
//   fanout [--until-failure] DATABASE    with REDIS_URL, POSTGRES_PORT (on 127.0.0.1) and KAFKA_BROKER (host:port) set
//
// It prints the time of a round, the threads of the process and what failed, by the kind of I/O; its status is 1 if anything
// did. With --until-failure it goes on, round after round, until something does. Whatever becomes of the servers, a round ends
// within ten seconds, and the program within five more.
import AsyncKafka
import AsyncPostgres
import AsyncRedis
import AsyncSQLite
import Glibc

let arguments = CommandLine.arguments.dropFirst()
let isPatient = arguments.first == "--until-failure"
guard let database = arguments.dropFirst(isPatient ? 1 : 0).first,
    let redisURL = environment("REDIS_URL"),
    let postgresPort = environment("POSTGRES_PORT").flatMap({ Int($0) }),
    let broker = environment("KAFKA_BROKER")?.split(separator: ":"), broker.count == 2,
    let brokerPort = Int(broker[1])
else {
    fail("usage: fanout [--until-failure] DATABASE, with REDIS_URL, POSTGRES_PORT and KAFKA_BROKER set")
}

do {
    let io = AsyncIOClients(
        loop: .shared,
        endpoints: try EndpointRegistry([
            EndpointSpec(id: "follows", redisURL: redisURL),
            EndpointSpec(
                id: "orders",
                kind: .postgres,
                host: "127.0.0.1",
                port: postgresPort,
                credentials: EndpointCredentials(username: "postgres", password: ""),
                policy: .init(maxInflight: 4)
            ),
            EndpointSpec(id: "ledger", sqlitePath: database, policy: .init(maxInflight: 3)),
            EndpointSpec(id: "events", kind: .kafka, host: String(broker[0]), port: brokerPort),
        ])
    )
    try await seed(io)
    let maxRounds = isPatient ? 100_000 : 1
    var failures = Failures()
    for number in 1...maxRounds where failures.isEmpty {
        let clock = ContinuousClock()
        let start = clock.now
        failures = await io.loop.run { await withIOTimeout(.seconds(10)) { await runRound(io) } }
        print(
            "round \(number): 100 tasks with 4 calls each in \(clock.now - start), "
                + "\(threadCount()) threads, \(failures.count) calls failed"
        )
        failures.print()
        // All streams there are: whoever reads this is not to wait.
        fflush(nil)
    }
    await io.close()
    if !failures.isEmpty { fail("the last round had failures") }
    if isPatient { fail("nothing failed in \(maxRounds) rounds") }
} catch {
    fail("failed: before the first round: \(error)")
}
