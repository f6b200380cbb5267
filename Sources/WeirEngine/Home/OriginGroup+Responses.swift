package import WeirBase
import WeirXDS

/// What a control plane says to a group. Each response is applied whole and published as one update (AGG-21), in the
/// order in which they come (ORD-02).
extension OriginGroup {
    /// One message arrived on an upstream stream.
    package func streamReceived(_ number: Int, message: borrowing Span<UInt8>, now: Instant, wall: WallTime) {
        guard self.streams[number].isOpen else { return }
        do throws(WireError) {
            switch self.variant {
            case .sotw:
                let response = try DiscoveryResponse(decoding: message)
                let url = message.string(response.typeURL)
                guard self.isExpected(url, nonce: message.string(response.nonce), on: number),
                    let (type, feed) = self.feed(of: url, on: number)
                else { return self.ignore(url) }
                let received = ResponseReader.read(response, type: type.type, in: message)
                self.acceptSotW(received, feed, type, in: message, now, wall)
            case .delta:
                let response = try DeltaDiscoveryResponse(decoding: message)
                let url = message.string(response.typeURL)
                guard self.isExpected(url, nonce: message.string(response.nonce), on: number),
                    let (type, feed) = self.feed(of: url, on: number)
                else { return self.ignore(url) }
                let received = ResponseReader.read(response, type: type.type, in: message)
                self.acceptDelta(received, feed, type, in: message, now, wall)
            case nil: return
            }
        } catch {
            let reason = "the upstream sent bytes that are no discovery response: \(error)"
            self.actions.append(.event(.undecodable(reason: reason)))
            self.streamClosed(number, reason: reason, now: now)
            self.actions.append(.closeStream(number))
            self.actions.append(.openStream(number))
        }
    }

    /// Whether a response of this type was asked for on the stream. One that is not wanted any more is answered here.
    private func isExpected(_ typeURL: String, nonce: String, on number: Int) -> Bool {
        guard self.streams[number].requestedTypes.contains(typeURL) else { return false }
        self.streams[number].newestNonces[typeURL] = nonce
        if self.feed(of: typeURL, on: number) == nil { self.acknowledgeUnwanted(typeURL, on: number, nonce: nonce) }
        return true
    }

    private func feed(of typeURL: String, on number: Int) -> (OriginType, Feed)? {
        guard let type = self.types[typeURL] else { return nil }
        guard let feed = type.feeds.first(where: { $0.stream == number && $0.isRequested }) else { return nil }
        return (type, feed)
    }

    private func ignore(_ typeURL: String) { self.actions.append(.event(.ignored(typeURL: typeURL))) }

    // MARK: SotW

    private func acceptSotW(
        _ received: ReceivedResponse, _ feed: Feed, _ type: OriginType, in message: borrowing Span<UInt8>,
        _ now: Instant, _ wall: WallTime
    ) {
        var changes = self.changes(received, feed, type, in: message)
        // Absence means deletion in the types that are always sent whole, and only of what was there (XLT-01, XLT-04).
        if type.type.isFullSet, !received.isPartial {
            var mentioned = Set(received.resources.map(\.name))
            mentioned.formUnion(received.badNames)
            for name in type.presentNames(in: feed.lane).sorted() where !mentioned.contains(name) {
                changes.append(ResourceChange(lane: feed.lane, name: name, presence: .absent))
            }
        }
        if received.faults.isEmpty {
            feed.acceptedVersion = received.version
            feed.acceptedFrom = self.streams[feed.stream].server
        }
        self.finish(received, changes, feed, type, now, wall)
    }

    // MARK: Delta

    private func acceptDelta(
        _ received: ReceivedResponse, _ feed: Feed, _ type: OriginType, in message: borrowing Span<UInt8>,
        _ now: Instant, _ wall: WallTime
    ) {
        if let presented = feed.presentedVersions {
            feed.presentedVersions = nil
            // A server that honours what it was told does not send it again. One that does ignored it, and what its full
            // answer leaves out is gone (AGG-10).
            let ignored = received.resources.contains { presented[$0.name] == $0.version && $0.any != nil }
            if ignored, feed.lane == .wildcard { self.beginSweep(feed, type) }
        }
        var changes = self.changes(received, feed, type, in: message)
        for name in received.removed where !received.badNames.contains(name) {
            feed.unanswered[name] = nil
            feed.newerVersions[name] = nil
            if feed.lane == .wildcard || feed.names[name] != nil {
                changes.append(ResourceChange(lane: feed.lane, name: name, presence: .absent))
            }
        }
        if feed.unconfirmed != nil {
            for resource in received.resources { feed.unconfirmed?.remove(resource.name) }
            for name in received.removed { feed.unconfirmed?.remove(name) }
            feed.sweepAt = now + self.policy.sweepDelay
            self.schedule(now + self.policy.sweepDelay)
        }
        feed.acceptedFrom = self.streams[feed.stream].server
        self.finish(received, changes, feed, type, now, wall)
    }

    func beginSweep(_ feed: Feed, _ type: OriginType) {
        let names = type.presentNames(in: feed.lane)
        feed.unconfirmed = names.isEmpty ? nil : Set(names)
    }

    /// The full answer is over: what it did not mention is gone. It may have come in several responses, so this waits
    /// until none came for a while.
    func sweep(_ feed: Feed, _ type: OriginType, _ now: Instant, _ wall: WallTime) {
        feed.sweepAt = nil
        guard let unconfirmed = feed.unconfirmed else { return }
        feed.unconfirmed = nil
        self.publish(
            unconfirmed.sorted().map { ResourceChange(lane: feed.lane, name: $0, presence: .absent) }, type,
            version: nil, now, wall)
    }

    // MARK: Both

    /// The resources of a response that differ from what is held.
    private func changes(
        _ received: ReceivedResponse, _ feed: Feed, _ type: OriginType, in message: borrowing Span<UInt8>
    ) -> [ResourceChange] {
        var changes: [ResourceChange] = []
        for resource in received.resources {
            // A server may send more names than were asked for; nobody here could be sent them.
            if feed.lane == .named, feed.names[resource.name] == nil { continue }
            feed.unanswered[resource.name] = nil
            let held = type.resource(resource.name, in: feed.lane)
            // A heartbeat keeps a resource alive and is no update (TTL-02).
            if resource.any == nil, resource.hasTTL, held != nil { continue }
            if let held = held, held.hasSameContent(any: resource.any, extras: resource.extras, in: message) {
                if let version = resource.version {
                    feed.newerVersions[resource.name] = version == held.version ? nil : version
                }
                continue
            }
            feed.newerVersions[resource.name] = nil
            let new = Resource(
                name: resource.name, version: resource.version, type: type.type, any: resource.any,
                extras: resource.extras, aliases: resource.aliases, hasTTL: resource.hasTTL, in: message)
            changes.append(ResourceChange(lane: feed.lane, name: resource.name, presence: .present(new)))
        }
        return changes
    }

    private func finish(
        _ received: ReceivedResponse, _ changes: [ResourceChange], _ feed: Feed, _ type: OriginType, _ now: Instant,
        _ wall: WallTime
    ) {
        let isFirstAnswer = feed.lane == .wildcard && !type.wildcardKnown
        if feed.lane == .wildcard { type.wildcardKnown = true }
        self.publish(changes, type, version: received.version, force: isFirstAnswer, now, wall)
        let url = type.type.typeURL
        if received.faults.isEmpty {
            self.actions.append(
                .event(
                    .accepted(
                        typeURL: url, version: received.version, resources: received.resources.count,
                        changed: changes.count)))
        } else {
            self.actions.append(
                .event(.rejected(typeURL: url, version: received.version, reason: received.rejection)))
        }
        self.acknowledge(feed, received, now)
    }
}
