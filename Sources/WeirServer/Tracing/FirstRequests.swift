import WeirBase
import WeirEngine
import WeirTrace
import WeirXDS

/// Traces of first requests: from a discovery stream's opening to its first response, or to its end without one.
/// Confined to a worker. Only streams that are traced and still wait are in it: with none, it costs a look.
struct FirstRequests {
    /// Streams that wait at once; more are not traced.
    private static let pendingMax = 4096

    private struct Pending {
        var trace: TraceID
        var openedAt: WallTime
    }

    private var pending: [UInt64: Pending] = [:]
    private var generator = SystemRandomNumberGenerator()

    var isEmpty: Bool { self.pending.isEmpty }

    func waits(_ handle: UInt64) -> Bool { self.pending[handle] != nil }

    mutating func opened(_ handle: UInt64, share: Double, at now: WallTime) {
        guard self.pending.count < Self.pendingMax else { return }
        let trace = TraceID(using: &self.generator)
        if trace.isSampled(share: share) { self.pending[handle] = Pending(trace: trace, openedAt: now) }
    }

    /// The span, if the stream is one that waits. `failure`: why there was no response.
    mutating func ended(_ handle: UInt64, at now: WallTime, _ stream: StreamFacts?, failure: String?) -> Span? {
        guard let pending = self.pending.removeValue(forKey: handle) else { return nil }
        var span = Span(
            trace: pending.trace, id: SpanID(using: &self.generator), "weir.first_request", .server,
            start: pending.openedAt, end: now)
        if let stream = stream {
            span.attributes = [
                SpanAttribute("weir.node.id", stream.nodeID), SpanAttribute("weir.key", stream.key),
                SpanAttribute("weir.peer", stream.peer), SpanAttribute("weir.service", stream.service),
                SpanAttribute("weir.protocol", stream.variant.rawValue),
                SpanAttribute("weir.types", stream.types.map(\.label).joined(separator: ",")),
            ]
        }
        span.failure = failure
        return span
    }
}
