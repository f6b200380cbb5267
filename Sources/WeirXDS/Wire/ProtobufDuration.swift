package import WeirBase

/// `google.protobuf.Duration`, as far as times to live need it.
package enum ProtobufDuration {
    /// Longer spans count as this: a hundred years.
    private static let secondsMax: Int64 = 3_155_760_000

    /// The span of an encoded duration; nil for none and for negative ones, which limit nothing.
    package static func span(in bytes: borrowing Span<UInt8>, _ range: ByteRange) throws(WireError) -> Nanoseconds? {
        var seconds: Int64 = 0
        var nanos: Int64 = 0
        var reader = WireReader(range)
        while let field = try reader.next(in: bytes) {
            switch field.number {
            case 1: seconds = Int64(bitPattern: try field.varint())
            case 2: nanos = Int64(Int32(truncatingIfNeeded: try field.varint()))
            default: break
            }
        }
        guard seconds >= 0 else { return nil }
        // Nanoseconds should be below a second, and need not be.
        let span = min(min(seconds, Self.secondsMax) * 1_000_000_000 + nanos, Self.secondsMax * 1_000_000_000)
        return span > 0 ? Nanoseconds(rawValue: span) : nil
    }

    /// The content of the message for a span that is not negative.
    package static func encoded(_ span: Nanoseconds) -> [UInt8] {
        var writer = WireWriter()
        writer.uint(1, UInt64(max(0, span.rawValue / 1_000_000_000)))
        writer.uint(2, UInt64(max(0, span.rawValue % 1_000_000_000)))
        return writer.bytes
    }
}
