import WeirBase
import WeirHTTP2
import WeirLoop

/// PINGs a silent peer, and gives it up when it stays silent (gRFC A8, A9; WIRE-13). Any byte is a sign of life.
struct Keepalive {
    let interval: Nanoseconds
    let timeout: Nanoseconds
    private var pingedAt: Instant?

    init(interval: Nanoseconds, timeout: Nanoseconds) {
        self.interval = interval
        self.timeout = timeout
    }

    func firstDue(_ now: Instant) -> Instant { self.interval > .zero ? now + self.interval : DeadlineTable.never }

    /// - Returns: when to check again.
    mutating func check(_ now: Instant, _ link: Link) -> Instant {
        guard self.interval > .zero, let session = link.session else { return DeadlineTable.never }
        // We do not listen, so its silence says nothing.
        if link.isReadingPaused {
            self.pingedAt = nil
            return now + self.interval
        }
        if let pingedAt = self.pingedAt {
            if link.lastActivity > pingedAt {
                self.pingedAt = nil
            } else if now >= pingedAt + self.timeout {
                let text = "\(link.peer) did not answer a PING within \(self.timeout.seconds) s"
                link.close(.keepaliveFailed, text)
                return DeadlineTable.never
            } else {
                return pingedAt + self.timeout
            }
        }
        guard now >= link.lastActivity + self.interval else { return link.lastActivity + self.interval }
        self.pingedAt = now
        session.ping(UInt64(bitPattern: now.rawValue))
        link.markDirty()
        return now + self.timeout
    }
}
