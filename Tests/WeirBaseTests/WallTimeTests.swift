import Testing

@testable import WeirBase

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
