import Testing
import WeirBase

@testable import WeirObserve

struct LogLimiterTests {
    private static func at(_ seconds: Int64) -> Instant { Instant(rawValue: seconds * 1_000_000_000) }

    @Test("a storm of one message is cut, others go on, and what was left out is said once, by number")
    func storm() {
        var limiter = LogLimiter(linesMax: 3, window: .seconds(10))
        let admitted = (0..<10).count { _ in limiter.admits("storm", now: Self.at(1)) }
        #expect(admitted == 3)
        let other = limiter.admits("calm", now: Self.at(1))
        #expect(other)
        let early = limiter.takeLeftOut(now: Self.at(5))
        #expect(early.isEmpty)
        let said = limiter.takeLeftOut(now: Self.at(11))
        #expect(said.map(\.message) == ["storm"] && said.map(\.count) == [7])
        let again = limiter.takeLeftOut(now: Self.at(30))
        #expect(again.isEmpty)
        let next = limiter.admits("storm", now: Self.at(31))
        #expect(next)
    }

    @Test("a window that is over begins anew, and its count is kept for the telling")
    func windows() {
        var limiter = LogLimiter(linesMax: 1, window: .seconds(10))
        let admitted = [0, 9, 10, 11].map { limiter.admits("m", now: Self.at($0)) }
        #expect(admitted == [true, false, true, false])
        let early = limiter.takeLeftOut(now: Self.at(12))
        #expect(early.isEmpty)
        let all = limiter.takeLeftOut(now: Self.at(12), all: true)
        #expect(all.map(\.count) == [2])
    }

    @Test("messages beyond those that are told apart share one count")
    func manyMessages() {
        var limiter = LogLimiter(linesMax: 2, window: .seconds(10))
        let admitted = (0..<1000).count { limiter.admits("m\($0)", now: Self.at(0)) }
        #expect(admitted == 64 + 2)
        let said = limiter.takeLeftOut(now: Self.at(0), all: true)
        #expect(said.map(\.message) == ["other messages"] && said.map(\.count) == [934])
    }
}
