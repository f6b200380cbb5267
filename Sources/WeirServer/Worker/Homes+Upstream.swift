import WeirBase
import WeirEngine
import WeirLoop
import WeirUpstream

/// What comes from the upstream streams.
extension Homes: UpstreamClientDelegate {
    func upstream(_ client: UpstreamClient, opened stream: UpstreamStreamID, server: String) {
        guard let origin = self.find(stream, client) else { return client.close(stream) }
        if self.isSibling(client, of: origin) { return self.siblingOpened(client, stream, server, origin) }
        if origin.isWarming { self.endWarming(origin) }
        origin.openedAt = self.loop.now
        if let variant = origin.origin.variant, variant != client.variant { origin.origin.setVariant(client.variant) }
        self.show(.upstream, stream.key, "\(origin.upstream): connected to \(server)")
        origin.origin.streamOpened(stream.number, server: server, now: self.loop.now)
        self.carryOut(origin.home)
    }

    func upstream(_ client: UpstreamClient, received message: borrowing Span<UInt8>, on stream: UpstreamStreamID) {
        guard let origin = self.find(stream, client) else { return }
        let isBorrowed = self.isSibling(client, of: origin)
        if isBorrowed, !origin.borrowed.contains(stream.number) { return }
        origin.outOfTouchSince = isBorrowed ? origin.outOfTouchSince ?? self.loop.now : nil
        origin.origin.streamReceived(stream.number, message: message, now: self.loop.now, wall: Loop.wallNow())
        self.carryOut(origin.home)
    }

    func upstream(_ client: UpstreamClient, closed stream: UpstreamStreamID, reason: String, lastHeard: Instant) {
        guard let origin = self.find(stream, client) else { return }
        if self.isSibling(client, of: origin) {
            guard origin.borrowed.remove(stream.number) != nil else { return }
        } else if origin.outOfTouchSince == nil {
            origin.outOfTouchSince = lastHeard
        }
        self.show(.upstream, stream.key, "\(origin.upstream): disconnected: \(reason)")
        origin.origin.streamClosed(stream.number, reason: reason, now: self.loop.now)
        self.carryOut(origin.home)
    }

    /// A group that is answered by the server in use, if there is one: its question has an answer.
    func trialRequest(_ client: UpstreamClient) -> TrialRequest? {
        var fallback: TrialRequest?
        for case let origin? in self.groups.values.map({ $0.origins[client.name] }) {
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
        for case let origin? in self.groups.values.map({ $0.origins[client.name] }) {
            self.show(.upstream, origin.origin.key, "\(origin.upstream): \(server) is unavailable: \(error)")
            origin.origin.originUnavailable(server: server, error: error)
            self.carryOut(origin.home)
        }
    }

    private func isSibling(_ client: UpstreamClient, of origin: HomeOrigin) -> Bool {
        client === self.siblings[origin.upstream]
    }

    private func find(_ stream: UpstreamStreamID, _ client: UpstreamClient) -> HomeOrigin? {
        let upstream = self.siblings.first { $0.value === client }?.key ?? client.name
        return self.groups[stream.key]?.origins[upstream]
    }
}
