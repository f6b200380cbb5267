import WeirBase
import WeirXDS

/// OpenTelemetry's messages on the wire (`opentelemetry.proto.collector.trace.v1`), as far as weir writes them.
package enum OTLP {
    /// Bytes of a text; longer ones are cut.
    private static let textBytesMax = 2048

    /// `ExportTraceServiceRequest` with spans of one resource and one scope.
    package static func request(
        _ spans: [Span], resource: [SpanAttribute], scope: String, version: String
    ) -> [UInt8] {
        var scopeSpans = WireWriter()
        var scopeMessage = WireWriter()
        scopeMessage.string(1, scope)
        scopeMessage.string(2, version)
        scopeSpans.message(1, scopeMessage.bytes)
        for span in spans { scopeSpans.message(2, Self.bytes(of: span)) }
        var resourceMessage = WireWriter()
        for attribute in resource { resourceMessage.message(1, Self.bytes(of: attribute)) }
        var resourceSpans = WireWriter()
        resourceSpans.message(1, resourceMessage.bytes)
        resourceSpans.message(2, scopeSpans.bytes)
        var request = WireWriter()
        request.message(1, resourceSpans.bytes)
        return request.bytes
    }

    private static func bytes(of span: Span) -> [UInt8] {
        var writer = WireWriter(reserving: 256)
        writer.message(1, Self.bigEndian(span.trace.high) + Self.bigEndian(span.trace.low))
        writer.message(2, Self.bigEndian(span.id.value))
        if let parent = span.parent { writer.message(4, Self.bigEndian(parent.value)) }
        writer.string(5, span.name)
        writer.uint(6, span.kind.rawValue)
        writer.time(7, span.start)
        // A clock that was set back while it lasted must not make it end before it began.
        writer.time(8, max(span.start, span.end))
        for attribute in span.attributes { writer.message(9, Self.bytes(of: attribute)) }
        for event in span.events { writer.message(11, Self.bytes(of: event)) }
        if let failure = span.failure {
            var status = WireWriter()
            status.string(2, failure.bounded(Self.textBytesMax))
            // STATUS_CODE_ERROR
            status.uint(3, 2)
            writer.message(15, status.bytes)
        }
        return writer.bytes
    }

    private static func bytes(of event: SpanEvent) -> [UInt8] {
        var writer = WireWriter()
        writer.time(1, event.at)
        writer.string(2, event.name)
        for attribute in event.attributes { writer.message(3, Self.bytes(of: attribute)) }
        return writer.bytes
    }

    /// `KeyValue`.
    private static func bytes(of attribute: SpanAttribute) -> [UInt8] {
        var value = WireWriter()
        switch attribute.value {
        case .text(let text): value.element(1, text.bounded(Self.textBytesMax))
        case .bool(let flag):
            value.varint(2 << 3)
            value.varint(flag ? 1 : 0)
        case .int(let number):
            value.varint(3 << 3)
            value.varint(UInt64(bitPattern: Int64(number)))
        }
        var writer = WireWriter()
        writer.string(1, attribute.name)
        writer.message(2, value.bytes)
        return writer.bytes
    }

    private static func bigEndian(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * $0)) }
    }
}

extension WireWriter {
    /// A `fixed64` of nanoseconds since the Unix epoch.
    fileprivate mutating func time(_ field: Int, _ time: WallTime) {
        self.varint(UInt64(field) << 3 | 1)
        let value = UInt64(max(0, time.rawValue))
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            self.bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }
}

extension String {
    /// At most so many bytes, cut between characters.
    fileprivate func bounded(_ bytesMax: Int) -> String {
        guard self.utf8.count > bytesMax else { return self }
        var end = self.utf8.index(self.startIndex, offsetBy: bytesMax - 3)
        while end.samePosition(in: self.unicodeScalars) == nil { end = self.utf8.index(before: end) }
        return String(self[..<end]) + "…"
    }
}
