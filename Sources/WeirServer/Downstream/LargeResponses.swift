import WeirBase
import WeirEngine

/// Remembers which streams were sent a large response a moment ago. A gRPC client whose receive limit (4 MiB unless
/// raised) is smaller ends the stream without a word of why, comes back, and is sent the same again: this is how an
/// operator learns of it. Confined to the worker's loop; as many entries as there are streams.
struct LargeResponses {
    /// From this size on a response is large.
    static let bytesMin = 1 << 20
    /// A stream that ends later than this after the response ends for another reason.
    static let suspicion = Nanoseconds.seconds(5)

    struct Sent {
        var at: Instant
        var bytes: Int
    }

    /// By handle: the newest five seconds or less, and the five before.
    private var recent: [UInt64: Sent] = [:]
    private var older: [UInt64: Sent] = [:]
    private var turnedAt = Instant(rawValue: 0)

    /// Notes those of a round's sends that are large.
    mutating func note(_ sends: ContiguousArray<Send>, _ bodies: ContiguousArray<SharedBody>, at now: Instant) {
        guard bodies.contains(where: { $0.count >= Self.bytesMin }) else { return }
        for send in sends {
            let bytes = bodies[Int(send.body)].count
            if bytes >= Self.bytesMin { self.recent[send.handle] = Sent(at: now, bytes: bytes) }
        }
    }

    /// What a stream that has ended was sent so shortly before that it may be why.
    mutating func closed(_ handle: UInt64, at now: Instant) -> Sent? {
        guard !self.recent.isEmpty || !self.older.isEmpty else { return nil }
        let sent = self.recent.removeValue(forKey: handle)
        let before = self.older.removeValue(forKey: handle)
        guard let last = sent ?? before, now - last.at <= Self.suspicion else { return nil }
        return last
    }

    /// Forgets what is too long ago. To be called a few times a second.
    mutating func tick(at now: Instant) {
        guard now - self.turnedAt >= Self.suspicion else { return }
        self.turnedAt = now
        self.older = self.recent
        self.recent = [:]
    }
}
