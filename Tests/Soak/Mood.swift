import TestSupport

/// How one command is called: on the loop or off it, and what may cut it short.
struct Mood: Sendable {
    var isOnLoop = false
    /// The call's own `timeout:`.
    var timeout: Duration?
    /// The time given with `withIOTimeout`.
    var ambient: Duration?
    /// When its task is cancelled.
    var cancelAfter: Duration?

    /// Nothing cuts it short but the endpoint's policy.
    static func calm(_ random: inout SplitMix64) -> Mood { Mood(isOnLoop: Bool.random(using: &random)) }

    static func any(_ random: inout SplitMix64) -> Mood {
        var mood = calm(&random)
        switch Int.random(in: 0..<20, using: &random) {
        case 0: mood.timeout = random.pick(.zero, .milliseconds(1), .milliseconds(2))
        case 1: mood.timeout = random.milliseconds(1...50)
        case 2: mood.ambient = random.pick(.zero, .milliseconds(1), .milliseconds(5))
        case 3: mood.ambient = random.milliseconds(1...80)
        case 4: mood.cancelAfter = .zero
        case 5: mood.cancelAfter = random.milliseconds(0...3)
        case 6: mood.cancelAfter = random.milliseconds(1...60)
        case 7:
            mood.timeout = random.milliseconds(0...30)
            mood.ambient = random.milliseconds(0...30)
            mood.cancelAfter = random.milliseconds(0...30)
        default: break
        }
        return mood
    }
}
