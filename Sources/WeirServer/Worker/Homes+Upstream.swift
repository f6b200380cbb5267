import WeirBase
import WeirEngine
import WeirLoop
import WeirUpstream

/// What comes from the upstream streams.
extension Homes: UpstreamClientDelegate {
    func upstream(_ client: UpstreamClient, opened stream: UpstreamStreamID, server: String) {
        if self.waits(stream.key, { $0.upstream(client, opened: stream, server: server) }) { return }
        guard let origin = self.find(stream, client) else { return client.close(stream) }
        if self.isSibling(client, of: origin) { return self.siblingOpened(client, stream, server, origin) }
        if origin.isWarming { self.endWarming(origin) }
        origin.openedAt = self.loop.now
        self.show(.upstream, stream.key, "\(origin.upstream): connected to \(server)")
        let (variant, now) = (client.variant, self.loop.now)
        self.work(on: origin.home, weight: origin.origin.weight) { [origin = origin.origin] in
            if let spoken = origin.variant, spoken != variant { origin.setVariant(variant) }
            origin.streamOpened(stream.number, server: server, now: now)
        }
    }

    func upstream(_ client: UpstreamClient, received message: borrowing Span<UInt8>, on stream: UpstreamStreamID) {
        guard let origin = self.find(stream, client) else { return }
        let weight = message.count / Self.bytesPerResource
        guard origin.home.isAway || weight >= Self.largeMin else {
            guard self.takes(stream, client, origin) else { return }
            origin.origin.streamReceived(stream.number, message: message, now: self.loop.now, wall: Loop.wallNow())
            return self.carryOut(origin.home)
        }
        let bytes = message.array(ByteRange(offset: 0, count: message.count))
        self.received(bytes, on: stream, client, readAt: self.loop.now, Loop.wallNow())
    }

    /// The same for a message that is large, or came while the group was away.
    private func received(
        _ bytes: [UInt8], on stream: UpstreamStreamID, _ client: UpstreamClient, readAt now: Instant, _ wall: WallTime
    ) {
        if self.waits(stream.key, bytes: bytes.count, { $0.received(bytes, on: stream, client, readAt: now, wall) }) {
            return
        }
        guard let origin = self.find(stream, client), self.takes(stream, client, origin) else { return }
        self.work(on: origin.home, weight: bytes.count / Self.bytesPerResource) { [origin = origin.origin] in
            origin.streamReceived(stream.number, message: bytes.span, now: now, wall: wall)
        }
    }

    /// Whether a message on a stream is for the group, and notes that one came.
    private func takes(_ stream: UpstreamStreamID, _ client: UpstreamClient, _ origin: HomeOrigin) -> Bool {
        let isBorrowed = self.isSibling(client, of: origin)
        if isBorrowed, !origin.borrowed.contains(stream.number) { return false }
        origin.outOfTouchSince = isBorrowed ? origin.outOfTouchSince ?? self.loop.now : nil
        return true
    }

    func upstream(_ client: UpstreamClient, closed stream: UpstreamStreamID, reason: String, lastHeard: Instant) {
        if let origin = self.find(stream, client), origin.home.isAway {
            let isSibling = self.isSibling(client, of: origin)
            origin.noteEnding(stream.number, isSibling: isSibling)
            _ = self.waits(stream.key) { homes in
                origin.noteEndingTold(stream.number, isSibling: isSibling)
                homes.upstream(client, closed: stream, reason: reason, lastHeard: lastHeard)
            }
            return
        }
        guard let origin = self.find(stream, client) else { return }
        if self.isSibling(client, of: origin) {
            guard origin.borrowed.remove(stream.number) != nil else { return }
        } else if origin.outOfTouchSince == nil {
            origin.outOfTouchSince = lastHeard
        }
        self.show(.upstream, stream.key, "\(origin.upstream): disconnected: \(reason)")
        let now = self.loop.now
        self.work(on: origin.home, weight: origin.origin.weight) { [origin = origin.origin] in
            origin.streamClosed(stream.number, reason: reason, now: now)
        }
    }

    /// A group that is answered by the server in use, if there is one: its question has an answer.
    func trialRequest(_ client: UpstreamClient) -> TrialRequest? {
        var fallback: TrialRequest?
        for case let origin? in self.groups.values.filter({ !$0.isAway }).map({ $0.origins[client.name] }) {
            guard let (message, wasAnswered) = origin.origin.trialRequest(client.variant) else { continue }
            let request = TrialRequest(message: message, expectsAnswer: wasAnswered)
            if wasAnswered { return request }
            fallback = request
        }
        return fallback
    }

    func upstream(_ client: UpstreamClient, unavailable server: String, error: String) {
        // That no sibling can be reached is nothing to the clients: their upstream is what they wait for.
        guard self.upstreams[client.name] === client else { return }
        for key in self.groups.keys { self.unavailable(client.name, server, error, key) }
    }

    private func unavailable(_ upstream: String, _ server: String, _ error: String, _ key: String) {
        if self.waits(key, { $0.unavailable(upstream, server, error, key) }) { return }
        guard let origin = self.groups[key]?.origins[upstream] else { return }
        self.show(.upstream, key, "\(upstream): \(server) is unavailable: \(error)")
        origin.origin.originUnavailable(server: server, error: error)
        self.carryOut(origin.home)
    }

    private func isSibling(_ client: UpstreamClient, of origin: HomeOrigin) -> Bool {
        client === self.siblings[origin.upstream]
    }

    private func find(_ stream: UpstreamStreamID, _ client: UpstreamClient) -> HomeOrigin? {
        let upstream = self.siblings.first { $0.value === client }?.key ?? client.name
        return self.groups[stream.key]?.origins[upstream]
    }
}
