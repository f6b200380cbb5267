import Testing
import WeirBase
import WeirObserve

@Suite("Rate of log lines")
struct RateLimitTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(rawValue: 0) + .milliseconds(milliseconds) }

    @Test("what is too much is counted, and the next line that passes says how much it was")
    func suppression() {
        var limit = RateLimit<String>(perSecond: 1, burst: 2)
        let first = (0..<5).map { _ in limit.pass("a", at: self.at(0)) }
        #expect(first == [0, 0, nil, nil, nil])
        let got1 = limit.pass("a", at: self.at(1_000))
        #expect(got1 == 3)
        let got2 = limit.pass("a", at: self.at(2_000))
        #expect(got2 == 0)
    }

    @Test("one kind does not silence another")
    func kinds() {
        var limit = RateLimit<String>(perSecond: 1, burst: 1)
        let got3 = limit.pass("a", at: self.at(0))
        #expect(got3 == 0)
        let got4 = limit.pass("a", at: self.at(0))
        #expect(got4 == nil)
        let got5 = limit.pass("b", at: self.at(0))
        #expect(got5 == 0)
    }
}
