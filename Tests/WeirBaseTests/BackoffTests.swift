import Testing

@testable import WeirBase

@Suite struct BackoffTests {
    @Test("UP-10 waits stay under a ceiling that doubles up to the maximum, and spread over all of it")
    func ceiling() {
        var largest = Array(repeating: Int64(0), count: 40)
        for seed in 0..<200 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            var backoff = Backoff(initial: .milliseconds(100), max: .seconds(5))
            for attempt in 0..<40 {
                let wait = backoff.next(using: &generator).rawValue
                let ceiling = attempt < 6 ? Int64(100_000_000) << Int64(attempt) : 5_000_000_000
                #expect(wait >= 0 && wait <= min(ceiling, 5_000_000_000))
                largest[attempt] = max(largest[attempt], wait)
            }
        }
        #expect(largest[0] > 90_000_000)
        #expect(largest[39] > 4_500_000_000)
    }

    @Test("UP-10 a reset begins anew")
    func reset() {
        var generator = SeededGenerator(seed: 3)
        var backoff = Backoff(initial: .milliseconds(1), max: .seconds(60))
        for _ in 0..<100 { _ = backoff.next(using: &generator) }
        backoff.reset()
        #expect(backoff.next(using: &generator) <= .milliseconds(1))
    }

    @Test(
        "a period of nothing is no wait, and one of years overflows nothing", arguments: [Int64(0), 1, .max / 2, .max])
    func extremes(_ period: Int64) {
        var generator = SeededGenerator(seed: 4)
        var backoff = Backoff(initial: Nanoseconds(rawValue: period), max: Nanoseconds(rawValue: period))
        for _ in 0..<70 {
            let wait = backoff.next(using: &generator)
            #expect(wait >= .zero && wait.rawValue <= period)
        }
    }
}
