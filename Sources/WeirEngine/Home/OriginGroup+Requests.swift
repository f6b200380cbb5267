import WeirBase
import WeirXDS

/// What a group says to its control plane.
extension OriginGroup {
    /// The first request of a feed on a stream.
    func sendFirstRequest(_ feed: Feed, _ now: Instant) {
        // Nobody interested must never become a request for everything (UP-15).
        guard !feed.isEmpty, let type = self.types[feed.type.typeURL] else { return }
        feed.isRequested = true
        self.streams[feed.stream].requestedTypes.insert(feed.type.typeURL)
        feed.isDirty = false
        let explicit = self.needsExplicitWildcard(feed)
        let isSameServer = feed.acceptedFrom == self.streams[feed.stream].server
        if !isSameServer { feed.acceptedVersion = "" }
        switch self.variant {
        case .sotw: self.send(self.sotwRequest(feed, explicitWildcard: explicit), feed)
        case .delta:
            let held = isSameServer ? self.heldVersions(feed, type) : [:]
            feed.presentedVersions = held
            if !isSameServer, feed.lane == .wildcard { self.beginSweep(feed, type) }
            self.send(feed.firstDeltaRequest(held: held, explicitWildcard: explicit), feed)
        case nil: return
        }
        self.noteTold(feed, type, now)
    }

    /// A change of interest on a stream on which the feed was requested before.
    func sendChange(_ feed: Feed, _ now: Instant) {
        feed.isDirty = false
        guard feed.lane == .named, let type = self.types[feed.type.typeURL] else { return }
        switch self.variant {
        case .sotw:
            guard Set(feed.names.keys) != feed.toldNames else { return }
            self.send(self.sotwRequest(feed, explicitWildcard: false), feed)
        case .delta:
            guard let request = feed.deltaChange() else { return }
            self.send(request, feed)
        case nil: return
        }
        self.noteTold(feed, type, now)
    }

    /// Delta can end a wildcard; SotW cannot end a legacy one, so its responses are ignored from here on.
    func sendEndOfWildcard(_ feed: Feed) {
        guard self.streams[feed.stream].isOpen else { return }
        if self.variant == .delta {
            var request = OutgoingDeltaRequest(typeURL: feed.type.typeURL)
            request.unsubscribe = ["*"]
            self.send(request, feed)
            self.streams[feed.stream].namedTypes.insert(feed.type.typeURL)
        } else {
            self.streams[feed.stream].endedWildcards.insert(feed.type.typeURL)
        }
    }

    /// Remembers what the server was told, and begins to count the time for names that are new to it.
    private func noteTold(_ feed: Feed, _ type: OriginType, _ now: Instant) {
        if feed.lane == .wildcard {
            feed.toldWildcard = true
            return
        }
        self.streams[feed.stream].namedTypes.insert(feed.type.typeURL)
        let wanted = Set(feed.names.keys)
        for name in wanted where type.byName[name] == nil && feed.unanswered[name] == nil {
            feed.unanswered[name] = now + self.policy.doesNotExistAfter
            self.schedule(now + self.policy.doesNotExistAfter)
        }
        feed.toldNames = wanted
    }

    /// The versions of what is cached, as this server calls them.
    private func heldVersions(_ feed: Feed, _ type: OriginType) -> [String: String] {
        var held: [String: String] = [:]
        for name in type.presentNames(in: feed.lane) {
            held[name] = feed.newerVersions[name] ?? type.resource(name, in: feed.lane)?.version
        }
        return held
    }

    // MARK: Answers to responses

    func acknowledge(_ feed: Feed, _ received: ReceivedResponse, _ now: Instant) {
        let detail = received.faults.isEmpty ? nil : ErrorDetail(code: 3, message: received.rejection)
        switch self.variant {
        case .sotw:
            var request = self.sotwRequest(feed, explicitWildcard: self.needsExplicitWildcard(feed))
            request.errorDetail = detail
            self.send(request, feed)
            // It carries the present names, so that it may be the first to mention some.
            if let type = self.types[feed.type.typeURL] { self.noteTold(feed, type, now) }
        case .delta:
            var request = OutgoingDeltaRequest(typeURL: feed.type.typeURL)
            request.responseNonce = received.nonce
            request.errorDetail = detail
            self.send(request, feed)
        case nil: return
        }
    }

    /// Whether an empty list of names would not mean the wildcard: after names were sent, and in the types for which
    /// empty means nothing (UP-14, NAME-15).
    private func needsExplicitWildcard(_ feed: Feed) -> Bool {
        !feed.type.acceptsLegacyWildcard || self.streams[feed.stream].namedTypes.contains(feed.type.typeURL)
    }

    private func sotwRequest(_ feed: Feed, explicitWildcard: Bool) -> OutgoingRequest {
        let nonce = self.streams[feed.stream].newestNonces[feed.type.typeURL] ?? ""
        return feed.sotwRequest(nonce: nonce, explicitWildcard: explicitWildcard)
    }

    /// A response for a type that was requested on this stream and is not wanted any more. The server may have sent it
    /// before it heard so, and hold what it heard for stale: it is told again with the nonce it expects (UP-02, UP-13).
    func acknowledgeUnwanted(_ typeURL: String, on number: Int, nonce: String) {
        switch self.variant {
        case .sotw:
            // An empty list ends names; after a legacy wildcard alone it would mean everything.
            guard self.streams[number].namedTypes.contains(typeURL) else { return }
            var request = OutgoingRequest(typeURL: typeURL)
            request.responseNonce = nonce
            self.actions.append(.send(stream: number, message: request.encoded))
        case .delta:
            var request = OutgoingDeltaRequest(typeURL: typeURL)
            request.responseNonce = nonce
            self.actions.append(.send(stream: number, message: request.encoded))
        case nil: return
        }
    }

    private func send(_ request: OutgoingRequest, _ feed: Feed) {
        var request = request
        request.node = self.nodeOnce(feed.stream)
        self.actions.append(.send(stream: feed.stream, message: request.encoded))
    }

    private func send(_ request: OutgoingDeltaRequest, _ feed: Feed) {
        var request = request
        request.node = self.nodeOnce(feed.stream)
        self.actions.append(.send(stream: feed.stream, message: request.encoded))
    }

    private func nodeOnce(_ stream: Int) -> [UInt8]? {
        guard !self.streams[stream].hasSentNode else { return nil }
        self.streams[stream].hasSentNode = true
        return self.node
    }
}
