import Testing
import WeirBase

@Suite("Token bucket")
struct TokenBucketTests {
    private func at(_ milliseconds: Int64) -> Instant {
        Instant(rawValue: 5_000_000_000) + .milliseconds(milliseconds)
    }

    @Test("a burst passes at once, then one for each interval")
    func burst() {
        var bucket = TokenBucket(perSecond: 10, burst: 3)
        let first = (0..<5).map { _ in bucket.take(at: self.at(0)) }
        #expect(first == [true, true, true, false, false])
        #expect(bucket.next(at: self.at(0)) == self.at(100))
        let got1 = bucket.take(at: self.at(99))
        #expect(!got1)
        let got2 = bucket.take(at: self.at(100))
        #expect(got2)
        let got3 = bucket.take(at: self.at(100))
        #expect(!got3)
    }

    @Test("a long rest earns no more than the burst")
    func rest() {
        var bucket = TokenBucket(perSecond: 1000, burst: 2)
        _ = bucket.take(at: self.at(0))
        let later = (0..<4).map { _ in bucket.take(at: self.at(3_600_000)) }
        #expect(later == [true, true, false, false])
    }

    @Test("over ten seconds as many pass as the rate says, whatever the order of coming")
    func rate() {
        var bucket = TokenBucket(perSecond: 7, burst: 7)
        var passed = 0
        for time in 0..<10_000 where bucket.take(at: self.at(Int64(time))) { passed += 1 }
        #expect((76...77).contains(passed))
    }

    @Test("turns are given in order, and none that would come too late")
    func reserve() {
        var bucket = TokenBucket(perSecond: 2, burst: 1)
        let turns = (0..<5).map { _ in bucket.reserve(at: self.at(0), within: .milliseconds(1_500)) }
        #expect(turns == [self.at(0), self.at(500), self.at(1_000), self.at(1_500), nil])
        // What was refused has taken no turn.
        let got4 = bucket.reserve(at: self.at(500), within: .milliseconds(1_500)) == self.at(2_000)
        #expect(got4)
    }

    @Test("a count passes as a whole, or uses up what there is")
    func count() {
        var bucket = TokenBucket(perSecond: 1, burst: 100)
        let got5 = bucket.take(60, at: self.at(0))
        #expect(got5)
        let got6 = bucket.take(60, at: self.at(0))
        #expect(!got6)
        let got7 = bucket.take(at: self.at(0))
        #expect(!got7)
        let got8 = bucket.take(0, at: self.at(0))
        #expect(got8)
    }

    @Test("odd rates do no harm", arguments: [(0, 0), (-5, -1), (Int.max, Int.max), (1, Int.max)])
    func odd(_ perSecond: Int, _ burst: Int) {
        var bucket = TokenBucket(perSecond: perSecond, burst: burst)
        let got9 = bucket.take(at: self.at(0))
        #expect(got9)
        _ = bucket.take(1000, at: self.at(0))
        let got10 = bucket.reserve(at: self.at(1), within: .seconds(3_600))
        #expect(got10 != nil)
    }
}

@Suite("Memory pressure")
struct MemoryPressureTests {
    @Test(
        "what is given up, and in which order",
        arguments: [
            (0, MemoryPressure.none), (899, .none), (900, .refusingConnections), (949, .refusingConnections),
            (950, .refusingStreams), (999, .refusingStreams), (1000, .droppingReaders), (5000, .droppingReaders),
        ])
    func stages(_ used: Int, _ expected: MemoryPressure) {
        #expect(MemoryPressure(used: used, budget: 1000) == expected)
    }

    @Test("without a budget there is no pressure")
    func noBudget() {
        #expect(MemoryPressure(used: .max, budget: 0) == .none)
    }
}
