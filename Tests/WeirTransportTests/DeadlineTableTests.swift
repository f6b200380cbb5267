import Testing
import WeirBase
import WeirLoop

@testable import WeirTransport

@Suite("Deadlines") struct DeadlineTableTests {
    private final class Owner: DeadlineOwner {
        var asked = 0
        var next = DeadlineTable.never
        let onAsked: () -> Void

        init(onAsked: @escaping () -> Void) { self.onAsked = onAsked }

        func deadlineReached(_ now: Instant) -> Instant {
            self.asked += 1
            self.onAsked()
            return self.next
        }
    }

    @Test("connections that are due together are asked over several turns, each once")
    func bounded() {
        let loop = Loop()
        let table = DeadlineTable(loop: loop)
        var turn = 0
        var inTurn: [Int: Int] = [:]
        loop.beforeSleep = { turn += 1 }
        defer { loop.beforeSleep = nil }
        let owners = (0..<2_000).map { _ in Owner { inTurn[turn, default: 0] += 1 } }
        for owner in owners { _ = table.insert(owner, due: loop.now) }
        let end = TimerWatcher(loop: loop) { loop.stop() }
        end.start(after: .seconds(1))
        loop.run()
        #expect(owners.allSatisfy { $0.asked == 1 })
        #expect(inTurn.values.reduce(0, +) == 2_000)
        #expect(inTurn.values.allSatisfy { $0 <= DeadlineTable.ownersPerTurn }, "in one turn: \(inTurn)")
    }

    @Test("an owner that gives its slot away while it is asked does not set the deadline of the next")
    func slotPassesOn() {
        let loop = Loop()
        let table = DeadlineTable(loop: loop)
        var slot = -1
        let second = Owner { loop.stop() }
        let first = Owner {
            table.remove(slot)
            slot = table.insert(second, due: loop.now + .milliseconds(1))
        }
        slot = table.insert(first, due: loop.now)
        let watchdog = TimerWatcher(loop: loop) { loop.stop() }
        watchdog.start(after: .seconds(20))
        loop.run()
        #expect(first.asked == 1)
        #expect(second.asked == 1)
    }
}
