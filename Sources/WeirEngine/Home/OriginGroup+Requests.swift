import WeirBase
package import WeirXDS

/// What a group says to its control plane.
extension OriginGroup {
    /// The first request of a feed on a stream.
    func sendFirstRequest(_ feed: Feed, _ now: Instant) {
        // Nobody interested must never become a request for everything (UP-15).
        guard !feed.isEmpty, let type = self.types[feed.type.typeURL] else { return }
        feed.isRequested = true
        feed.isDirty = false
        let url = feed.type.typeURL
        let explicit = self.needsExplicitWildcard(feed)
        let isSameServer = feed.acceptedFrom == self.streams[feed.stream].server
        if !isSameServer { feed.acceptedVersion = "" }
        switch self.variant {
        case .sotw: self.send(feed.sotwRequest(explicitWildcard: explicit), feed)
        case .delta:
            if !isSameServer { feed.confirmed = [] }
            self.confirmAllOrNothing(feed, type)
            let held = self.heldVersions(feed, type)
            feed.presentedVersions = held
            // What this server never sent it will not call removed either.
            if feed.lane == .wildcard || !feed.globs.isEmpty {
                self.beginSweep(feed, type, except: feed.confirmed)
            }
            self.send(feed.firstDeltaRequest(held: held, explicitWildcard: explicit), feed)
        case nil: return
        }
        self.streams[feed.stream].requestedTypes.insert(url)
        self.noteTold(feed, type, now)
    }

    /// What a server was not asked for by name it is told all of, or nothing. It shows that it ignored what it was told only
    /// by sending that again (AGG-10): if all that is left to send were things it was not told of, nobody could tell, and
    /// what is gone of the others would stay. It may have sent a part only because its first answer was cut off, or
    /// because the rest was stored as another server's.
    private func confirmAllOrNothing(_ feed: Feed, _ type: OriginType) {
        guard feed.lane == .wildcard || !feed.globs.isEmpty else { return }
        let brought = type.presentNames(in: feed.lane).filter { feed.lane == .wildcard || feed.names[$0] == nil }
        let names = brought.compactMap { type.resource($0, in: feed.lane)?.name }
        if !names.allSatisfy(feed.confirmed.contains) { feed.confirmed.subtract(names) }
    }

    /// What a server that is not in use can be asked to see whether it answers: the first request of one type, without
    /// versions (UP-09), and whether the server in use has answered the same. Nil if nothing is wanted.
    package func trialRequest(_ variant: ProtocolVariant) -> (message: [UInt8], wasAnswered: Bool)? {
        let feeds = self.sortedTypes.flatMap { type in type.feeds.map { ($0, !type.presentNames(in: $0.lane).isEmpty) }
        }
        let usable = feeds.filter { !$0.0.isEmpty }
        guard let (feed, wasAnswered) = usable.first(where: \.1) ?? usable.first else { return nil }
        let explicit = !feed.type.acceptsLegacyWildcard
        switch variant {
        case .sotw:
            var request = feed.sotwRequest(explicitWildcard: explicit)
            request.versionInfo = ""
            request.node = self.node
            return (request.encoded, wasAnswered)
        case .delta:
            var request = feed.firstDeltaRequest(held: [:], explicitWildcard: explicit)
            request.node = self.node
            return (request.encoded, wasAnswered)
        }
    }

    /// A change of interest on a stream on which the feed was requested before.
    func sendChange(_ feed: Feed, _ now: Instant) {
        feed.isDirty = false
        guard feed.lane == .named, let type = self.types[feed.type.typeURL] else { return }
        let returned = feed.forgotten.intersection(feed.names.keys)
        switch self.variant {
        case .sotw:
            guard Set(feed.names.keys) != feed.toldNames || !returned.isEmpty else { return }
            // A SotW server sends a name again only if it was not in the list before.
            if !returned.isEmpty {
                self.send(feed.sotwRequest(explicitWildcard: false, without: returned), feed)
                self.noteGivenUp(returned, feed, again: true)
            }
            self.send(feed.sotwRequest(explicitWildcard: false), feed)
        case .delta:
            guard let request = feed.deltaChange() else { return }
            if !returned.isEmpty {
                // Servers should send what is subscribed again (DELTA-05), but some do not: it is given up first.
                var end = OutgoingDeltaRequest(typeURL: feed.type.typeURL)
                end.unsubscribe = returned.sorted()
                self.send(end, feed)
            }
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
            // Its answer may be on its way still, and would be taken for the answer to the next.
            if feed.firstAnswerOver == nil { self.streams[feed.stream].endedWildcards.insert(feed.type.typeURL) }
        } else {
            self.streams[feed.stream].endedWildcards.insert(feed.type.typeURL)
        }
    }

    /// Remembers what the server was told, and begins to count the time for names that are new to it.
    private func noteTold(_ feed: Feed, _ type: OriginType, _ now: Instant, forgottenToo: Bool = true) {
        if feed.lane == .wildcard {
            feed.toldWildcard = true
            return
        }
        // The usual ACK: the server knows these names.
        if feed.isTold, feed.forgotten.isEmpty { return }
        feed.isTold = true
        self.streams[feed.stream].namedTypes.insert(feed.type.typeURL)
        let wanted = Set(feed.names.keys)
        let new =
            self.streams[feed.stream].isBorrowed ? [] : wanted.subtracting(feed.toldNames.subtracting(feed.forgotten))
        // What was borrowed is there only until the origin has had its say, and so is what must be fetched (AGG-23).
        for name in new where type.byName[name] == nil || feed.isBorrowed || feed.renewing.contains(name) {
            feed.unanswered[name] = now + self.policy.doesNotExistAfter
            self.schedule(now + self.policy.doesNotExistAfter)
        }
        self.noteGivenUp(feed.toldNames.subtracting(wanted), feed)
        feed.toldNames = wanted
        if forgottenToo { feed.forgotten = [] } else { feed.forgotten.formIntersection(wanted) }
    }

    /// The versions of what is cached, as this server calls them.
    private func heldVersions(_ feed: Feed, _ type: OriginType) -> [String: String] {
        var held: [String: String] = [:]
        for key in type.presentNames(in: feed.lane) {
            guard let resource = type.resource(key, in: feed.lane), resource.hasBody else { continue }
            guard feed.confirmed.contains(resource.name), !feed.renewing.contains(key) else { continue }
            // Its time might be over before there is word of it, and a server that was told of it would not send it again.
            if resource.timeToLive != nil { continue }
            held[resource.name] = feed.newerVersions[resource.name] ?? resource.version
        }
        return held
    }

    // MARK: Answers to responses

    func acknowledge(_ feed: Feed, _ received: ReceivedResponse, _ type: OriginType, _ now: Instant) {
        let rejection = received.faults.isEmpty ? nil : received.rejection
        self.acknowledge(feed, nonce: received.nonce, rejection: rejection, type, now)
    }

    /// Acknowledges the response of a nonce, or says why it is rejected.
    func acknowledge(_ feed: Feed, nonce: String, rejection: String?, _ type: OriginType, _ now: Instant) {
        let detail = rejection.map { ErrorDetail(code: 3, message: $0) }
        switch self.variant {
        case .sotw:
            var request = feed.sotwRequest(explicitWildcard: self.needsExplicitWildcard(feed))
            request.errorDetail = detail
            self.send(request, feed)
            // An ACK carries the present names too; one that was forgotten and is wanted again stays to be told.
            self.noteTold(feed, type, now, forgottenToo: false)
            self.renew(feed, type, now)
        case .delta:
            var request = OutgoingDeltaRequest(typeURL: feed.type.typeURL)
            request.responseNonce = nonce
            request.errorDetail = detail
            self.send(request, feed)
        case nil: return
        }
    }

    /// Gives up and asks for again, with the newest nonce, the names that were and did not come.
    private func renew(_ feed: Feed, _ type: OriginType, _ now: Instant) {
        guard feed.lane == .named, var givenUp = self.streams[feed.stream].givenUp[feed.type.typeURL] else { return }
        // What must be fetched is there, and missing all the same.
        for name in type.presentNames(in: .named) where !feed.renewing.contains(name) { givenUp[name] = nil }
        let missing = givenUp.filter { feed.names[$0.key] != nil && $0.value < UpstreamStream.renewalsMax }.keys
        for name in missing { givenUp[name, default: 0] += 1 }
        self.streams[feed.stream].givenUp[feed.type.typeURL] = givenUp.isEmpty ? nil : givenUp
        guard !missing.isEmpty else { return }
        feed.forgotten.formUnion(missing)
        self.sendChange(feed, now)
    }

    private func noteGivenUp(_ names: Set<String>, _ feed: Feed, again: Bool = false) {
        guard self.variant == .sotw, !names.isEmpty else { return }
        var givenUp = self.streams[feed.stream].givenUp[feed.type.typeURL] ?? [:]
        for name in names { givenUp[name] = again ? givenUp[name] ?? 0 : 0 }
        if givenUp.count > UpstreamStream.givenUpMax { givenUp = givenUp.filter { feed.names[$0.key] != nil } }
        self.streams[feed.stream].givenUp[feed.type.typeURL] = givenUp
    }

    /// Whether an empty list of names would not mean the wildcard: after names were sent, and in the types for which
    /// empty means nothing (UP-14, NAME-15).
    private func needsExplicitWildcard(_ feed: Feed) -> Bool {
        !feed.type.acceptsLegacyWildcard || self.streams[feed.stream].namedTypes.contains(feed.type.typeURL)
    }

    /// A response that crossed the last unsubscribe: it is answered, so that a server that waits for ACKs goes on.
    func acknowledgeLate(_ typeURL: String, version: String, nonce: String, on stream: Int) {
        switch self.variant {
        case .sotw:
            var request = OutgoingRequest(typeURL: typeURL)
            request.versionInfo = version
            request.responseNonce = nonce
            self.actions.append(.send(stream: stream, message: request.encoded))
        case .delta:
            var request = OutgoingDeltaRequest(typeURL: typeURL)
            request.responseNonce = nonce
            self.actions.append(.send(stream: stream, message: request.encoded))
        case nil: return
        }
    }

    private func send(_ request: OutgoingRequest, _ feed: Feed) {
        var request = request
        request.responseNonce = self.streams[feed.stream].nonces[feed.type.typeURL] ?? ""
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
