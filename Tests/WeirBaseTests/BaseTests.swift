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

@Suite struct WallTimeTests {
    @Test(
        "moments are written as RFC 3339 in UTC",
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_772_352_309_250, "2026-03-01T08:05:09.250Z"), (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (-2_203_891_200_000, "1900-03-01T00:00:00.000Z"),
        ] as [(Int64, String)])
    func rfc3339(_ milliseconds: Int64, _ text: String) {
        #expect(WallTime(rawValue: milliseconds * 1_000_000).rfc3339 == text)
    }

    @Test("what is less than a millisecond is cut off, not rounded")
    func rounding() {
        #expect(WallTime(rawValue: 1_999_999).rfc3339 == "1970-01-01T00:00:00.001Z")
        #expect(WallTime(rawValue: -1).rfc3339 == "1969-12-31T23:59:59.999Z")
    }

    @Test("the ends of the clock are moments too")
    func ends() {
        #expect(WallTime(rawValue: .max).rfc3339 == "2262-04-11T23:47:16.854Z")
        #expect(WallTime(rawValue: .min).rfc3339 == "1677-09-21T00:12:43.145Z")
    }
}

@Suite struct NearestNameTests {
    @Test(
        "a near miss finds what was meant",
        arguments: [("lisen", "listen"), ("LISTEN", "listen"), ("upstrem", "upstream"), ("lsiten", "listen")])
    func near(_ name: String, _ meant: String) {
        #expect(nearestName(to: name, among: ["listen", "upstream", "workers"]) == meant)
    }

    @Test("what is far from everything finds nothing", arguments: ["telephone", "abcdefghi"])
    func far(_ name: String) {
        #expect(nearestName(to: name, among: ["listen", "upstream", "workers"]) == nil)
        #expect(nearestName(to: name, among: []) == nil)
    }

    @Test("the first by alphabet wins among equals, and nothing is near nothing")
    func ties() {
        #expect(nearestName(to: "cat", among: ["cut", "cot"]) == "cot")
        #expect(nearestName(to: "", among: ["longer"]) == nil)
        let long = String(repeating: "x", count: 200)
        #expect(nearestName(to: long + "y", among: [long]) == nil, "names above 200 bytes are not compared")
        #expect(nearestName(to: long, among: [long + "y", long]) == long)
    }
}

@Suite struct ByteRangeTests {
    private let bytes: [UInt8] = Array("hello".utf8)

    @Test("a range reads its bytes and no others")
    func reading() {
        let span = self.bytes.span
        let texts = [span.string(ByteRange(offset: 1, count: 3)), span.string(.empty)]
        let nothing = span.array(ByteRange(offset: 5, count: 0))
        #expect(texts == ["ell", ""])
        #expect(nothing == [])
        #expect(ByteRange(offset: 2, count: 3).end == 5)
        #expect(ByteRange.empty.isEmpty)
    }

    @Test("bytes that are no text become replacement characters")
    func invalidText() {
        let bytes: [UInt8] = [0x61, 0xFF, 0x62]
        let text = bytes.span.string(ByteRange(offset: 0, count: 3))
        #expect(text == "a\u{FFFD}b")
    }

    @Test("ranges are compared by content and length")
    func comparing() {
        let span = self.bytes.span
        let other: [UInt8] = Array("ell".utf8)
        let empty: [UInt8] = []
        let results = [
            span.equals(ByteRange(offset: 1, count: 3), other.span),
            span.equals(ByteRange(offset: 2, count: 3), other.span),
            span.equals(ByteRange(offset: 1, count: 2), other.span), span.equals(.empty, empty.span),
        ]
        #expect(results == [true, false, false, true])
    }
}
