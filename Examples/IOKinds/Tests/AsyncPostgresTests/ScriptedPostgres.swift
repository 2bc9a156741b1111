import TestSupport

/// What a scripted server needs of Postgres's protocol.
///
/// Source: "Frontend/Backend Protocol", "Message Formats", in Postgres's documentation.
extension ServerConnection {
    /// Writes a message: its letter, its length, its body.
    func write(_ letter: Character, _ body: [UInt8]) {
        write(Array("\(letter)".utf8) + bigEndian(UInt32(body.count + 4)) + body)
    }

    /// Reads who connects, and says that the connection stands.
    func admit() {
        _ = readSome()
        write("R", bigEndian(0))
        write("K", bigEndian(UInt32(index + 1)) + bigEndian(0))
        readyForMore()
    }

    /// Reads who connects, and has the client prove its password with so many rounds; returns when the proof has come.
    ///
    /// - Parameters:
    ///   - rounds: how many there are.
    ///   - ready: called when the client waits for the challenge.
    ///   - challenged: called when the challenge is on its way.
    func challenge(rounds: Int, ready: () -> Void = {}, _ challenged: () -> Void) {
        _ = readSome()
        write("R", bigEndian(10) + Array("SCRAM-SHA-256\0\0".utf8))
        let first = String(decoding: readSome() ?? [], as: UTF8.self)
        guard let nonce = first.split(separator: "r=").last else { return }
        ready()
        write("R", bigEndian(11) + Array("r=\(nonce)+,s=c2FsdA==,i=\(rounds)".utf8))
        challenged()
        _ = readSome()
    }

    /// An answer of one column, whole but for what says that the server is ready for more.
    func answer(_ values: [String]) {
        write("1", [])
        write("2", [])
        let type = bigEndian(25) + [0xff, 0xff] + bigEndian(.max) + [0, 0]
        write("T", [0, 1] + Array("text\0".utf8) + bigEndian(0) + [0, 0] + type)
        for value in values { write("D", [0, 1] + bigEndian(UInt32(value.utf8.count)) + Array(value.utf8)) }
        write("C", Array("SELECT \(values.count)\0".utf8))
    }

    /// An error with that SQLSTATE, or none, from that function of the server's.
    func refuse(_ state: String?, by function: String = "none") {
        write("E", Array(((state.map { "C\($0)\0" } ?? "") + "Mrefused\0R\(function)\0\0").utf8))
    }

    /// Says that it is ready for more.
    func readyForMore() { write("Z", Array("I".utf8)) }

    private func bigEndian(_ number: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
    }
}
