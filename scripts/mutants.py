#!/usr/bin/env python3
"""Puts faults into the state machine and what performs it, one at a time, and shows that their tests find each.

    scripts/mutants.py [NAME...]
    scripts/mutants.py --check

Works on a copy of the tree, with a build folder of its own. For each fault it prints which suites failed; a fault that
none of them finds is an error. With names, only those faults. With --check it only sees whether each can still be put in.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MACHINE = ROOT / "Sources/AsyncRedis"
SUITE_SECONDS = 300
SUITES = ["SimulationTests", "ConnectionStateMachineTests", "BacklogTests"]

COMMANDS, REPLIES, TIME, EXPIRY, END = (
    f"ConnectionStateMachine{part}.swift" for part in ("", "+replies", "+time", "+expiry", "+end"))
PERFORMER, BACKLOG = "ConnectionPerformer.swift", "../AsyncIO/Backlog.swift"

# name: file, what stands there, what is put in its place
FAULTS = {
    "a reply may answer what has not left": (REPLIES, "head.end <= handedOver, ", ""),
    "a reply may answer what has left in part": (REPLIES, "head.end <= handedOver", "head.position < handedOver"),
    "a reply nobody asked for is dropped": (REPLIES, "let slot = wire.popFirst() else {\n                return .end(kind == .value ? .unsolicited : .farewell)",
                                            "let slot = wire.popFirst() else {\n                return .discard"),
    "a farewell is a reply": (REPLIES, "if kind == .farewell, !hasBeenAnswered { return .end(.farewell) }", ""),
    "a refused handshake is none": (REPLIES, "if kind != .value { return .end(.handshakeRefused(answered)) }", ""),
    "the handshake is over at its first reply": (REPLIES, "guard answered + 1 == handshakeEnds.count else", "guard true else"),
    "a tombstone keeps no place": (EXPIRY, "let isSent = slot.position < handedOver", "let isSent = false"),
    "what was written in part is not sent": (EXPIRY, "let isSent = slot.position < handedOver", "let isSent = slot.end <= handedOver"),
    "commands behind one taken back do not move up": (EXPIRY, "slot.position -= removedBytes", "slot.position -= 0"),
    "the permits of what is taken back are kept": (EXPIRY, "var permitsFreed: Int { takeBack.count }", "var permitsFreed: Int { 0 }"),
    "what is late is written all the same": (EXPIRY, "earliestUnsent <= now ? expireUnsent(now, handedOver) : nil", "nil"),
    "the next deadline in the output is forgotten": (
        EXPIRY, "earliestUnsent = min(earliestUnsent, wire[index].waiter == nil ? .max : wire[index].deadline)", "continue"),
    "a tombstone's bytes still wait": (EXPIRY, "waitingBytes -= waiting[index].byteCount", "_ = index"),
    "tombstones are not counted": (EXPIRY, "waitingTombstones += 1", "waitingTombstones += 0"),
    "the wrong bytes are dropped with tombstones": (EXPIRY, "let bytes = offset..<(offset + slot.byteCount)",
                                                    "let bytes = (offset + 1)..<(offset + 1 + slot.byteCount)"),
    "nobody is looked at twice": (EXPIRY, "seen = gone &+ count", "seen = max(seen, min(count, 1))"),
    "a sweep begins behind the last one's end": (EXPIRY, "if old <= limit || start >= old { start = 0 }", "if start >= old { start = 0 }"),
    "removed places are not counted in a sweep": (EXPIRY, "seen &-= places.count { $0 < old }", "seen &-= places.count"),
    "cancellation is overlooked": (EXPIRY, "if isCancelled(waiter) { return .cancelled }", ""),
    "a deadline ends one instant too late": (EXPIRY, "return deadline <= now ? .deadlineExceeded : nil",
                                             "return deadline < now ? .deadlineExceeded : nil"),
    "a probe comes into a transaction": (REPLIES, "case (.opens, .value): group = .open", "case (.opens, .value): break"),
    "a refusal opens a transaction": (REPLIES, "case (.opens, .value): group = .open", "case (.opens, _): group = .open"),
    "a transaction is never over": (REPLIES, "case (.closes, .value), (.closes, .groupAborted): group = .closed", "case (.closes, .value), (.closes, .groupAborted): break"),
    "a transaction is for those who wait": (REPLIES, "if slot.groupStep != .none || group != .closed {", "if slot.waiter != nil, slot.groupStep != .none || group != .closed {"),
    "one command's group stays open": (REPLIES, "if group == .openForNext { group = .closed }", ""),
    "a blocking command's silence counts once it has ended": (
        EXPIRY, "if isSent, index == 0, slot.blockingTime == .max { expectNothingBefore(now) }", ""),
    "bytes of tombstones pile up": (EXPIRY, "|| tombstoneBytes > max(settings.maxTombstones.bytes, waitingBytes)", ""),
    "a close that drained goes on": (TIME, "if isDrained { return .end(.closed) }", ""),
    "silence is never too long": (TIME, "return now > limit", "return false"),
    "a server that blocks as asked is dead": (TIME, "? 0 : $0.blockingTime } ?? 0", "? 0 : UInt64(0) } ?? 0"),
    "for ever outlasts the one who waited": (TIME, "$0.waiter == nil && $0.blockingTime == .max ? 0", "false ? 0"),
    "bytes are no progress": (TIME, "readAt = now\n        expectNothingBefore(now)", "readAt = now"),
    "writing is progress": (COMMANDS, "if wire.isEmpty { expectNothingBefore(now) }", "expectNothingBefore(now)"),
    "an idle connection is never probed": (TIME, "return probeAt <= now ? .probe : .rest(until: probeAt)", "return .rest(until: .max)"),
    "newcomers pass those who wait": (COMMANDS, "if case .ready = phase { return waiting.isEmpty }", "if case .ready = phase { return true }"),
    "one more may wait": (COMMANDS, "backlog.commands >= settings.maxWaiting", "backlog.commands > settings.maxWaiting"),
    "bytes in the output do not count": (COMMANDS, "Int(output.accepted - output.handedOver) + waitingBytes", "waitingBytes"),
    "more bytes may wait": (COMMANDS, "let isRoomy = backlog.hasRoom(forBytes: request.byteCount, atMost: settings.maxQueuedBytes)", "let isRoomy = true"),
    "one large command alone is refused": (COMMANDS, "backlog.hasRoom(forBytes: request.byteCount, atMost: settings.maxQueuedBytes)",
                                           "backlog.bytes + request.byteCount <= settings.maxQueuedBytes"),
    "the backlog is told twice": (COMMANDS, "toldBacklog = Backlog.Amount(commands: commands, bytes: bytes)", "toldBacklog.bytes = bytes"),
    "each look for a place in line takes one": (COMMANDS, "guard mayPromote, placesInLine < waitingCount else { return false }",
                                                "guard mayPromote, placesInLine < waitingCount + 1, placesInLine < 4 else { return false }"),
    "a place in line is never given up": (COMMANDS, "mutating func turnInLineCame() { placesInLine -= 1 }", "mutating func turnInLineCame() {}"),
    "ticks do not come back": (TIME, "if isTicking || isOver { return false }", "if isTicking || isOver || readAt > 0 { return false }"),
    "the call's own limit alone counts": (TIME, "min(own, ambient, now.saturatingAdd(timeout.nanoseconds))", "now.saturatingAdd(timeout.nanoseconds)"),
    "a blocking command has no time on top": (TIME, "now.saturatingAdd(commandTimeout).saturatingAdd(blockingTime)", "now.saturatingAdd(commandTimeout)"),
    "time goes back": (TIME, "progressAt = max(progressAt, now)", "progressAt = now"),
    "a closing connection takes commands": (COMMANDS, "case .closing, .closed: return .closed", "case .closed: return .closed\n        case .closing: break"),
    "what is late is taken in": (COMMANDS, "if isCancelled || request.deadline <= now {", "if isCancelled {"),
    "a promoted command's bytes still wait": (COMMANDS, "waitingBytes -= slot.byteCount\n", ""),
    "a promoted command has no deadline in the output": (
        COMMANDS, "slot.position = position\n        joinWire(slot, now)", "slot.position = position\n        wire.append(slot)"),
    "a connecting client forgets that it was closed": (COMMANDS, "phase = isCloseRequested ? .closing : .ready", "phase = .ready"),
    "a close does not wait for those who wait": (END, "case .closing: isIdle", "case .closing: wire.isEmpty"),
    "a close has no deadline": (END, "closeDeadline = min(closeDeadline, deadline)", ""),
    "an end calls everything unsent": (END, "slot.position < handedOver ? .indeterminate : .notSent", ".notSent"),
    "an end keeps permits": (END, "outcome: outcome, hadPermit: true", "outcome: outcome, hadPermit: false"),
    "an end forgets those who wait": (END, "return waiting.popFirst().map", "return RingBuffer<Slot>().first.map"),
    "a refused command keeps its permit": (PERFORMER, "case .refuse(let refusal):\n            if hasPermit { limiter.release() }", "case .refuse(let refusal):"),
    "a command that ended before keeps its permit": (PERFORMER, "case .end(let ended):\n            if hasPermit { limiter.release() }", "case .end(let ended):"),
    "nobody stands in line": (PERFORMER, "write(.held)\n            settle()\n            if machine.value.startsTicking() { startTicker() }\n            standInLine()",
                              "write(.held)\n            settle()\n            if machine.value.startsTicking() { startTicker() }"),
    "a place in line is taken before the bytes are there": (PERFORMER, "write(.held)\n            settle()", "standInLine()\n            write(.held)\n            settle()"),
    "no tick is started for what waits": (PERFORMER, "write(.held)\n            settle()\n            if machine.value.startsTicking() { startTicker() }", "write(.held)\n            settle()"),
    "a handshake's end serves nobody": (PERFORMER, "case .handshakeDone: becameReady()", "case .handshakeDone: break"),
    "a reply frees no permit": (PERFORMER, "succeed(waiter, reply())\n            limiter.release()", "succeed(waiter, reply())"),
    "a tombstone's reply frees no permit": (PERFORMER, "case .discard:\n            limiter.release()", "case .discard:"),
    "the last reply of a closing connection ends nothing": (PERFORMER, "succeed(waiter, reply())\n            limiter.release()\n            endIfDrained()",
                                                            "succeed(waiter, reply())\n            limiter.release()"),
    "what is written is not told": (PERFORMER, "if isAll { machine.value.wroteAll() }\n        settle()", "if isAll { machine.value.wroteAll() }"),
    "what is late is not looked for at a write": (PERFORMER, "guard let expiry = machine.value.willWrite(now: now, handedOver: output.handedOver) else { return }\n        perform(expiry)", ""),
    "a permit that comes too late is no matter": (PERFORMER, "promoteNext(position: output.accepted, now: now)", "promoteNext(position: output.accepted, now: earlierNow)"),
    "tombstones' bytes are not dropped": (PERFORMER, "dropHeld(expiry.dropWaiting)", ""),
    "what ended is not taken back": (PERFORMER, "let isTakenBack = takeBack(expiry.takeBack)", "let isTakenBack = true"),
    "tombstones' bytes are dropped after others were sent": (
        PERFORMER, "dropHeld(expiry.dropWaiting)\n        guard !expiry.ended.isEmpty else { return }",
        "guard !expiry.ended.isEmpty else { return dropHeld(expiry.dropWaiting) }\n"
        "        defer { if !machine.value.isOver { dropHeld(expiry.dropWaiting) } }"),
    "a probe without a permit": (PERFORMER, "guard limiter.tryAcquire() else { return }\n        let position", "let position"),
    "a probe that is not counted": (PERFORMER, "machine.value.probeSent(byteCount: byteCount, position: position, now: now)", "_ = (byteCount, position)"),
    "a close leaves what was handed in": (PERFORMER, "// What other threads have handed in by now has been accepted.\n        takeArrivals()", ""),
    "an end leaves what was handed in": (PERFORMER, "takeArrivals()\n        connectionEnded()", "connectionEnded()"),
    "an end tells the backlog nothing": (PERFORMER, "tearDown(failure)\n        settle()", "tearDown(failure)"),
    "an end leaves permits": (PERFORMER, "if command.hadPermit { limiter.release() }", ""),
    "arrivals are counted twice": (BACKLOG, "commandsUnderWay.subtract(amount.commands, ordering: .releasing)", ""),
    "arrivals stay": (BACKLOG, "change(by: Amount(commands: -1, bytes: -bytes))", ""),
    "an arrival is in its own way": (BACKLOG, "commands: commandsOnLoop.load(ordering: .relaxed) - arrived.value.commands,", "commands: commandsOnLoop.load(ordering: .relaxed),"),
    "what is refused elsewhere keeps its room": (BACKLOG, "if refusal != nil { giveBack(bytes: bytes) }", ""),
    "one more may come in from elsewhere": (BACKLOG, "if !isUnlimited, there.commands >= limit {", "if !isUnlimited, there.commands > limit {"),
    "a close while connecting outlasts its commands": (END, "case .connecting, .handshake: isCloseRequested && isIdle", "case .connecting, .handshake: false"),
    "what came before the handshake may answer it": (REPLIES, "case .handshake(let answered): (answered == 0 ? 0 : handshakeEnds[answered - 1]) >= handedOver",
                                                    "case .handshake: false"),
    "what came before a command may answer it": (REPLIES, "wire.first.map { $0.position >= handedOver } ?? true", "false"),
    "connecting has no end": (TIME, "if settings.connectDeadline <= now {", "if false {"),
    "a close that takes too long goes on": (TIME, "if closeDeadline <= now { return .end(.timeOut(.close)) }", ""),
    "a connection ends twice": (END, "if case .closed = phase { return nil }\n        phase = .closed", "phase = .closed"),
}


def run(tree: pathlib.Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["swift", *arguments], cwd=tree, capture_output=True, text=True)


def end_session(leader: int) -> None:
    """Kills a session: `swift test` gives the tests a process group of their own, but no session."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            # Behind the name in parentheses: state, parent, group, session. Source: proc(5).
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                os.kill(int(stat.parent.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            pass


def fails(tree: pathlib.Path, suite: str) -> str:
    """What a suite does on this tree: nothing to speak of, "fails", "hangs" or "is not there"."""
    tests = subprocess.Popen(["swift", "test", "--skip-build", "--filter", f"\\.{suite}/"], cwd=tree, start_new_session=True,
                             env=os.environ | {"SIMULATION_RUNS": "3000"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True)
    try:
        output = tests.communicate(timeout=SUITE_SECONDS)[0]
    except subprocess.TimeoutExpired:
        end_session(tests.pid)
        tests.wait()
        return "hangs"
    if tests.returncode:
        return "fails"
    return "" if f"Suite {suite} passed" in output else "is not there"


def main() -> int:
    only_check = sys.argv[1:] == ["--check"]
    names = list(FAULTS) if only_check else sys.argv[1:] or list(FAULTS)
    for name in names:
        if name not in FAULTS:
            print(f"error: no such fault: {name}", file=sys.stderr)
            return 2
    for name, (file, old, _) in FAULTS.items():
        if (MACHINE / file).read_text().count(old) != 1:
            print(f"error: {name}: this does not stand once in {file}: {old}", file=sys.stderr)
            return 1
    if only_check:
        return 0
    missed, simulated = [], 0
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".build", ".git"))
        built = run(tree, "build", "--build-tests")
        unsound = [suite for suite in SUITES if fails(tree, suite)] if built.returncode == 0 else ["the build"]
        if unsound:
            print(f"error: without any fault {', '.join(unsound)} fails, hangs or is not there", file=sys.stderr)
            return 1
        for name in names:
            file, old, new = FAULTS[name]
            target = tree / "Sources/AsyncRedis" / file
            original = target.read_text()
            target.write_text(original.replace(old, new, 1))
            built = run(tree, "build", "--build-tests")
            if built.returncode != 0:
                print(f"error: {name}: does not compile\n{built.stdout[-2000:]}", file=sys.stderr)
                return 1
            found = {suite: how for suite in SUITES if (how := fails(tree, suite)) not in ("", "is not there")}
            print(f"{name}: {', '.join(f'{suite} {how}' for suite, how in found.items()) or 'NOT FOUND'}", flush=True)
            simulated += "SimulationTests" in found
            if not found:
                missed.append(name)
            target.write_text(original)
    print(f"{len(names) - len(missed)} of {len(names)} faults found, {simulated} of them by the simulation")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
