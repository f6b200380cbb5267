import Testing

@testable import WeirBase

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
