import WeirBase
import WeirEngine
import WeirHTTP1
import WeirObserve

/// One who listens to events: what it wants to hear of, and what it could not be told. Confined to the journal's thread.
final class EventListener {
    /// Bytes that wait for one listener.
    static let bytesMax = 1 << 20

    let filter: EventFilter
    let stream: HTTPBodyStream
    /// Events that it was not told since it was last told of that.
    var dropped = 0

    init(_ filter: EventFilter, _ stream: HTTPBodyStream) {
        self.filter = filter
        self.stream = stream
    }

    /// Hands over an event, after word of what was left out before it; or counts it, too.
    func offer(_ bytes: [UInt8], at: WallTime, _ metrics: RelayMetrics) {
        let notice = self.dropped > 0 ? LiveEvent.dropped(self.dropped, at: at) : []
        switch self.stream.write(notice + bytes) {
        case .taken: self.dropped = 0
        case .full:
            self.dropped += 1
            metrics.eventsDropped.add(1)
        case .closed: break
        }
    }

    /// Shows whether it is still there, and says what was left out, if anything was and there is room again.
    func beat(at: WallTime) {
        if self.dropped > 0, case .taken = self.stream.write(LiveEvent.dropped(self.dropped, at: at)) {
            self.dropped = 0
        }
        self.stream.write(LiveEvent.comment("still there"))
    }
}
