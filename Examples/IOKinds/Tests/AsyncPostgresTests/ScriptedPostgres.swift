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
        write("Z", Array("I".utf8))
    }

    /// Reads who connects, and has the client prove its password with so many rounds; returns when the proof has come.
    ///
    /// - Parameter challenged: called when the challenge is on its way.
    func challenge(rounds: Int, _ challenged: () -> Void) {
        _ = readSome()
        write("R", bigEndian(10) + Array("SCRAM-SHA-256\0\0".utf8))
        let first = String(decoding: readSome() ?? [], as: UTF8.self)
        guard let nonce = first.split(separator: "r=").last else { return }
        write("R", bigEndian(11) + Array("r=\(nonce)+,s=c2FsdA==,i=\(rounds)".utf8))
        challenged()
        _ = readSome()
    }

    private func bigEndian(_ number: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
    }
}
