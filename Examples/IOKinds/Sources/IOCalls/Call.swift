@_spi(Driver) import AsyncIO
@_spi(Driver) import UVLoop

/// Serves the calls of one client: what is a kind's own in it.
///
/// Everything is called on the loop's thread. No user code runs there.
package protocol CallServer: AnyObject, Sendable {
    /// The kind of I/O.
    associatedtype Kind: IOKind
    /// What a call asks for.
    associatedtype Request: Sendable
    /// What it is answered with.
    associatedtype Value: Sendable
    /// What the server keeps of a call while it runs.
    associatedtype Running

    /// How many bytes a call's request has, of those that count: its texts and values.
    static func byteCount(of request: Request) -> Int

    /// Begins a call, which has its seat and its permit.
    ///
    /// Sooner or later, possibly before this returns, the call has to be handed to ``Calls/finish(_:_:)``.
    func start(_ call: CallOf<Self>)

    /// Nobody waits any more for a call that was started: hurries its end if it can.
    ///
    /// The call has to be finished all the same, when the server has let go of it; its permit is held until then.
    ///
    /// - Returns: what became of it: `notSent` only if it never will be.
    func abandon(_ call: CallOf<Self>) -> CallOutcome

    /// Told every five milliseconds while calls wait or run, or while this says so; and once more before the loop's shutdown ends
    /// them.
    ///
    /// - Parameter now: on the loop's clock, in nanoseconds.
    /// - Returns: whether to be told again although there are no calls.
    func tick(_ now: UInt64) -> Bool

    /// The client has ended and no call runs: lets go of everything, and says ``Calls/stopped()`` when that is done.
    func stop()
}

/// A call of a server.
package typealias CallOf<Server: CallServer> = Call<
    Server.Kind, Server.Request, Server.Value, Server.Running
>

/// One call of a client, from its submission to its end.
///
/// It belongs to its loop's thread.
package final class Call<Kind: IOKind, Request: Sendable, Value: Sendable, Running>: @unchecked Sendable {
    // Safe to share: the constants are constant; everything else is touched on the loop's thread only.

    /// How a call ends.
    package typealias End = Result<Value, KindError<Kind>>

    /// What was asked for.
    package let request: Request
    /// When it has to be over, on the loop's clock in nanoseconds; `UInt64.max` for never.
    package let deadline: UInt64
    /// What the server keeps of it while it runs.
    package var running: Running?

    let lane: Int
    let byteCount: Int
    /// Its place among all calls of its client.
    var number: UInt64 = 0
    /// Nil once its end has been told.
    var waiter: SuspendedTask<End>?
    /// Whether it has a seat and a permit.
    var isRunning = false
    /// Its neighbours in its line, which keeps them alive.
    var next: Call?
    unowned var previous: Call?

    init(_ request: Request, byteCount: Int, lane: Int, deadline: UInt64, _ waiter: SuspendedTask<End>?) {
        self.request = request
        self.byteCount = byteCount
        self.lane = lane
        self.deadline = deadline
        self.waiter = waiter
    }
}

extension Call {
    /// What it takes of its endpoint's backlog while it waits.
    var amount: Backlog.Amount { Backlog.Amount(commands: 1, bytes: byteCount) }
}
