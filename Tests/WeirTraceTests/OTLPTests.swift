import Testing
import WeirBase
import WeirTrace

/// Every bit pattern is a number once, rising.
private struct Counter: RandomNumberGenerator {
    var value: UInt64 = 0

    mutating func next() -> UInt64 {
        self.value += 1
        return self.value
    }
}

@Suite("Traces")
struct OTLPTests {
    @Test("a request is what OTLP's messages ask for, byte by byte")
    func encoding() {
        var counter = Counter()
        let trace = TraceID(using: &counter)
        let root = SpanID(using: &counter)
        var span = Span(
            trace: trace, id: SpanID(using: &counter), parent: root, "s", .server, start: WallTime(rawValue: 5),
            end: WallTime(rawValue: 4),
            [SpanAttribute("t", ""), SpanAttribute("n", -1), SpanAttribute("b", .bool(true))])
        span.events = [SpanEvent("e", at: WallTime(rawValue: 256))]
        span.failure = "f"
        let bytes = OTLP.request([span], resource: [SpanAttribute("r", "v")], scope: "weir", version: "1")
        let fixed: (UInt8) -> [UInt8] = { [$0, 0, 0, 0, 0, 0, 0, 0] }
        let number: (UInt8) -> [UInt8] = { [0, 0, 0, 0, 0, 0, 0, $0] }
        let minusOne: [UInt8] = [0x18] + [UInt8](repeating: 0xFF, count: 9) + [1]
        let attributes: [[UInt8]] = [
            [0x0A, 1, 0x74, 0x12, 2, 0x0A, 0], [0x0A, 1, 0x6E, 0x12, 11] + minusOne, [0x0A, 1, 0x62, 0x12, 2, 0x10, 1],
        ]
        var expected: [UInt8] = [0x0A, 16] + number(1) + number(2) + [0x12, 8] + number(4) + [0x22, 8] + number(3)
        expected += [0x2A, 1, 0x73, 0x30, 2, 0x39] + fixed(5) + [0x41] + fixed(5)
        for attribute in attributes { expected += [0x4A, UInt8(attribute.count)] + attribute }
        expected += [0x5A, 12, 0x09, 0, 1, 0, 0, 0, 0, 0, 0, 0x12, 1, 0x65, 0x7A, 5, 0x12, 1, 0x66, 0x18, 2]
        let scope: [UInt8] = [0x0A, 9, 0x0A, 4, 0x77, 0x65, 0x69, 0x72, 0x12, 1, 0x31]
        let scopeSpans = scope + [0x12, UInt8(expected.count)] + expected
        let resource: [UInt8] = [0x0A, 10, 0x0A, 8, 0x0A, 1, 0x72, 0x12, 3, 0x0A, 1, 0x76]
        // Both outer lengths take two bytes.
        let inner = resource + [0x12] + varint(scopeSpans.count) + scopeSpans
        #expect(bytes == [0x0A] + varint(inner.count) + inner)
    }

    private func varint(_ value: Int) -> [UInt8] {
        value < 128 ? [UInt8(value)] : [UInt8(value & 0x7F | 0x80), UInt8(value >> 7)]
    }

    @Test("texts are bounded, and cut between characters")
    func bounds() {
        var counter = Counter()
        let long = String(repeating: "\u{E9}", count: 5_000)
        let span = Span(
            trace: TraceID(using: &counter), id: SpanID(using: &counter), "s", start: WallTime(rawValue: 0),
            end: WallTime(rawValue: 0), [SpanAttribute("t", long)])
        let bytes = OTLP.request([span], resource: [], scope: "", version: "")
        #expect(bytes.count < 2_200)
        #expect(String(decoding: bytes, as: UTF8.self).contains("\u{E9}\u{2026}"))
    }

    @Test("the share of the traces that is kept is about what was asked for, and ids are never zero")
    func sampling() {
        var generator = SeededGenerator(seed: 3)
        let ids = (0..<10_000).map { _ in TraceID(using: &generator) }
        #expect(ids.count { $0.isSampled(share: 1) } == 10_000 && !ids.contains { $0.isSampled(share: 0) })
        #expect((2_300...2_700).contains(ids.count { $0.isSampled(share: 0.25) }))
        #expect(ids.allSatisfy { $0.low != 0 })
    }
}
