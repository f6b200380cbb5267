import Testing
import WeirBase
import WeirObserve

private func at(_ seconds: Double) -> Instant { Instant(rawValue: 5_000_000_000 + Int64(seconds * 1e9)) }

private func totals(_ count: UInt64, _ histogram: Histogram = Histogram()) -> ActivityTotals {
    var totals = ActivityTotals()
    totals.requests = count
    totals.responses = 2 * count
    totals.acks = 3 * count
    totals.nacks = 4 * count
    totals.pushes = 5 * count
    totals.pushTimes = histogram.figures.cumulative
    totals.convergenceTimes = Histogram().figures.cumulative
    return totals
}

@Suite("The last minutes, second by second")
struct RecentActivityTests {
    @Test("a second has what came between two calls")
    func differences() {
        var recent = RecentActivity()
        recent.note(totals(7), at: at(0))
        #expect(recent.seconds.isEmpty)
        recent.note(totals(10), at: at(1.02))
        recent.note(totals(10), at: at(1.98))
        #expect(recent.seconds.map(\.requests) == [3, 0])
        let first = recent.seconds[0]
        #expect([first.responses, first.acks, first.nacks, first.pushes] == [6, 9, 12, 15])
    }

    @Test("seconds that were missed are empty, and a call that comes too early is none")
    func missed() {
        var recent = RecentActivity()
        recent.note(totals(0), at: at(0))
        recent.note(totals(4), at: at(0.3))
        #expect(recent.seconds.isEmpty)
        recent.note(totals(9), at: at(4.1))
        #expect(recent.seconds.map(\.requests) == [0, 0, 0, 9])
        // Lateness does not add up: 4.1 was the end of second 4.
        recent.note(totals(10), at: at(4.9))
        #expect(recent.seconds.map(\.requests) == [0, 0, 0, 9, 1])
        recent.note(totals(12), at: at(100_000))
        #expect(recent.seconds.count == RecentActivity.secondsMax && recent.seconds.last?.requests == 2)
    }

    @Test("it keeps so many seconds and no more, oldest first")
    func bound() {
        var recent = RecentActivity()
        for second in 0...UInt64(RecentActivity.secondsMax + 20) {
            recent.note(totals(second * second), at: at(Double(second)))
        }
        let requests = recent.seconds.map(\.requests)
        #expect(requests.count == RecentActivity.secondsMax && requests.first == 41 && requests.last == 639)
        #expect(requests == requests.sorted())
    }

    @Test("quantiles are those of the second alone, between the bounds of their buckets")
    func quantiles() throws {
        let histogram = Histogram()
        for _ in 0..<1000 { histogram.observe(.seconds(20)) }
        var recent = RecentActivity()
        recent.note(totals(0, histogram), at: at(0))
        for _ in 0..<100 { histogram.observe(.milliseconds(2)) }
        recent.note(totals(0, histogram), at: at(1))
        recent.note(totals(0, histogram), at: at(2))
        histogram.observe(.seconds(100))
        recent.note(totals(0, histogram), at: at(3))
        let seconds = recent.seconds
        let first = try #require(seconds[0].push)
        #expect(first.median == .microseconds(1_750) && first.percentile99 == .microseconds(2_485))
        #expect(seconds[1].push == nil && seconds[0].convergence == nil)
        #expect(seconds[2].push?.median == .seconds(30), "beyond the last bound nothing is known but that")
    }

    @Test("the relay's own counters are taken from all types")
    func metrics() {
        let metrics = RelayMetrics(upstreams: [("primary", ["a:1"])], version: "1")
        metrics.requests(type: "cds").add(2)
        metrics.requests(type: "example.Type").add(1)
        metrics.acks(type: "eds").add(4)
        metrics.pushes(type: "lds", outcome: .sent).add(1)
        metrics.pushes(type: "lds", outcome: .unchanged).add(1)
        metrics.pushSeconds.observe(.milliseconds(1))
        let activity = metrics.activity
        #expect((activity.requests, activity.responses, activity.acks, activity.pushes) == (3, 0, 4, 1))
        #expect(activity.pushTimes.last == 1 && activity.convergenceTimes.last == 0)
    }
}
