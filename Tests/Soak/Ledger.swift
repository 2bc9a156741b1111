import AsyncRedis
import Synchronization

/// What has been seen: replies checked, how commands ended, and everything that was wrong.
final class Ledger: Sendable {
    private struct State {
        var checked: [String: Int] = [:]
        var ends: [String: Int] = [:]
        var wrong: [String] = []
        var likeIt: [String: Int] = [:]
        var wrongCount = 0
    }

    /// Sentences that begin alike are of a kind.
    private static let kindLength = 20
    private static let keptOfAKind = 8
    private static let maxLength = 600
    private let state = Mutex(State())

    /// A reply had the content that was asked for.
    func checked(_ kind: String) {
        state.withLock { $0.checked[kind, default: 0] += 1 }
    }

    /// A command ended in this way.
    func ended(_ way: String) {
        state.withLock { $0.ends[way, default: 0] += 1 }
    }

    /// Something is wrong: it is said at once, unless much like it has been said, and the run fails.
    func wrong(_ account: String) {
        // A reply of megabytes may be quoted in it.
        let sentence = String(account.prefix(Self.maxLength))
        let isNew = state.withLock { state in
            state.wrongCount += 1
            let kind = String(sentence.prefix(Self.kindLength))
            state.likeIt[kind, default: 0] += 1
            guard state.likeIt[kind, default: 0] <= Self.keptOfAKind else { return false }
            state.wrong.append(sentence)
            return true
        }
        if isNew { say("WRONG: \(sentence)") }
    }

    var wrongCount: Int { state.withLock { $0.wrongCount } }
    var mistakes: [String] { state.withLock { $0.wrong } }
    var repliesChecked: Int { state.withLock { $0.checked.values.reduce(0, +) } }

    /// Replies checked by kind, and ends by code and outcome; one line for each.
    func lines() -> [String] {
        let (checked, ends) = state.withLock { ($0.checked, $0.ends) }
        return ["replies checked: \(checked.values.reduce(0, +))"] + Self.table(checked)
            + ["commands ended: \(ends.values.reduce(0, +))"] + Self.table(ends)
    }

    private static func table(_ counts: [String: Int]) -> [String] {
        counts.sorted { $0.key < $1.key }.map { "  \($0.key): \($0.value)" }
    }
}
