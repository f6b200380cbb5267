import Testing
import WeirBase

@testable import WeirLoop
@testable import WeirServer

@Suite("Answers of several workers") struct CollectorTests {
    private final class Result: Sendable {
        let found = Locked<[Gathered<String>]>([])
        var all: [Gathered<String>] { self.found.withLock { $0 } }
    }

    private func collector(_ count: Int) -> (Collector<String>, Result) {
        let result = Result()
        return (Collector(count: count) { whole in result.found.withLock { $0.append(whole) } }, result)
    }

    @Test("the last part completes the answer, in the order of the workers")
    func whole() {
        let (collector, result) = self.collector(3)
        collector.deliver(2, "c")
        collector.deliver(0, "a")
        #expect(result.all.isEmpty && collector.waitingFor == [1])
        collector.deliver(1, "b")
        #expect(result.all.map(\.parts) == [["a", "b", "c"]] && result.all[0].missing == [])
        #expect(collector.waitingFor == [])
    }

    @Test("a worker that is given up is missing, and its late part is dropped")
    func missing() {
        let (collector, result) = self.collector(2)
        collector.giveUp(1)
        collector.deliver(0, "a")
        #expect(result.all.map(\.parts) == [["a"]] && result.all[0].missing == [1])
        collector.deliver(1, "late")
        collector.giveUp(0)
        #expect(result.all.count == 1)
    }

    @Test("who has answered cannot be given up")
    func answered() {
        let (collector, result) = self.collector(2)
        collector.deliver(0, "a")
        collector.giveUp(0)
        collector.deliver(1, "b")
        #expect(result.all[0].missing == [])
    }

    @Test("a mailbox that nobody empties: after the bound its loop counts as wedged, before it does not")
    func wedged() {
        let pulse = LoopPulse()
        let start = Instant(rawValue: 1)
        let patience = Patience([pulse], at: start)
        let early = start + .milliseconds(1999)
        let late = start + Patience.wedgedAfter
        #expect(!patience.isOver(worker: 0, pulse, at: early))
        #expect(patience.isOver(worker: 0, pulse, at: late))
        #expect(patience.isOver(worker: 0, nil, at: late), "a worker whose loop does not exist")
    }

    @Test("a loop that turns is given more time, but not for ever")
    func busy() {
        let pulse = LoopPulse()
        let start = Instant(rawValue: 1)
        let patience = Patience([pulse], at: start)
        pulse.turnBegan(at: start + .seconds(1))
        pulse.turnEnded()
        #expect(!patience.isOver(worker: 0, pulse, at: start + Patience.wedgedAfter))
        #expect(patience.isOver(worker: 0, pulse, at: start + Patience.max))
    }
}

@Suite("Questions in pieces") struct InspectorTests {
    @Test("questions take turns, and each is worked on to its end")
    func turns() {
        let loop = Loop()
        let inspector = Inspector(loop: loop)
        var done: [String] = []
        for name in ["a", "b"] {
            var left = 3
            inspector.work {
                left -= 1
                // Longer than a slice, so that each step is one.
                let end = Loop.monotonicNow() + Inspector.sliceMax + Inspector.sliceMax
                while Loop.monotonicNow() < end {}
                done.append(name)
                if done.count == 6 { loop.stop() }
                return left > 0
            }
        }
        loop.run()
        #expect(done == ["a", "b", "a", "b", "a", "b"])
    }

    @Test("what is asked for while a long question is worked on does not wait for its end")
    func between() {
        let loop = Loop()
        let inspector = Inspector(loop: loop)
        var steps = 0
        var stepsSeen: Int?
        inspector.work {
            steps += 1
            if steps == 1 { loop.runSoon { stepsSeen = steps } }
            let end = Loop.monotonicNow() + .microseconds(100)
            while Loop.monotonicNow() < end {}
            if steps == 1000 { loop.stop() }
            return steps < 1000
        }
        loop.run()
        #expect(steps == 1000 && (stepsSeen ?? 1000) < 1000)
    }
}
