package import WeirBase

/// 128 bits that all spans of a trace share; never zero.
package struct TraceID: Hashable, Sendable {
    package let high: UInt64
    package let low: UInt64

    package init(using generator: inout some RandomNumberGenerator) {
        self.high = generator.next()
        self.low = max(1, generator.next())
    }

    /// Whether a trace belongs to the share of all that is kept. Decided by the id, as OpenTelemetry's ratio sampler
    /// does, so that others who see the same id and share decide alike. Source: trace SDK, TraceIdRatioBased.
    package func isSampled(share: Double) -> Bool {
        if share >= 1 { return true }
        if share <= 0 { return false }
        return self.low >> 1 < UInt64(share * 0x1p63)
    }
}

/// 64 bits; never zero.
package struct SpanID: Hashable, Sendable {
    package let value: UInt64

    package init(using generator: inout some RandomNumberGenerator) { self.value = max(1, generator.next()) }
}

package enum SpanValue: Hashable, Sendable {
    case text(String)
    case int(Int)
    case bool(Bool)
}

package struct SpanAttribute: Hashable, Sendable {
    package var name: String
    package var value: SpanValue

    package init(_ name: String, _ value: SpanValue) {
        self.name = name
        self.value = value
    }

    package init(_ name: String, _ text: String) { self.init(name, .text(text)) }
    package init(_ name: String, _ number: Int) { self.init(name, .int(number)) }
}

/// Something at one point of a span's time.
package struct SpanEvent: Hashable, Sendable {
    package var name: String
    package var at: WallTime
    package var attributes: [SpanAttribute]

    package init(_ name: String, at: WallTime, _ attributes: [SpanAttribute] = []) {
        self.name = name
        self.at = at
        self.attributes = attributes
    }
}

/// A finished piece of work.
package struct Span: Hashable, Sendable {
    /// Values are those of OTLP.
    package enum Kind: UInt64, Hashable, Sendable {
        case inner = 1
        case server = 2
        case client = 3
        case producer = 4
        case consumer = 5
    }

    package var trace: TraceID
    package var id: SpanID
    /// Nil for the root of its trace.
    package var parent: SpanID?
    package var name: String
    package var kind: Kind
    package var start: WallTime
    package var end: WallTime
    package var attributes: [SpanAttribute]
    package var events: [SpanEvent] = []
    /// Why it failed; nil: it did not.
    package var failure: String?

    package init(
        trace: TraceID, id: SpanID, parent: SpanID? = nil, _ name: String, _ kind: Kind = .inner, start: WallTime,
        end: WallTime, _ attributes: [SpanAttribute] = []
    ) {
        self.trace = trace
        self.id = id
        self.parent = parent
        self.name = name
        self.kind = kind
        self.start = start
        self.end = end
        self.attributes = attributes
    }
}
