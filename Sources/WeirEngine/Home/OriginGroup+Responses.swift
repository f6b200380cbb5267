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
                if self.streams[number].requestedTypes.contains(url) {
                    self.streams[number].nonces[url] = message.string(response.nonce)
                }
                guard let (type, feed) = self.feed(of: url, on: number) else {
                    return self.ignore(
                        url, version: message.string(response.versionInfo), nonce: message.string(response.nonce),
                        number)
                }
                let received = self.validated(
                    ResponseReader.read(response, type: type.type, in: message), type.type, in: message)
                self.acceptSotW(received, feed, type, in: message, now, wall)
            case .delta:
                let response = try DeltaDiscoveryResponse(decoding: message)
                let url = message.string(response.typeURL)
                guard let (type, feed) = self.feed(of: url, on: number) else {
                    return self.ignore(url, version: "", nonce: message.string(response.nonce), number)
                }
                let received = self.validated(
                    ResponseReader.read(response, type: type.type, in: message), type.type, in: message)
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

    private func feed(of typeURL: String, on number: Int) -> (OriginType, Feed)? {
        guard let type = self.types[typeURL] else { return nil }
        guard let feed = type.feeds.first(where: { $0.stream == number && $0.isRequested }) else { return nil }
        return (type, feed)
    }

    /// Neither ACK nor NACK for what was never requested (UP-17); what was is only late.
    private func ignore(_ typeURL: String, version: String, nonce: String, _ stream: Int) {
        if self.streams[stream].requestedTypes.contains(typeURL) {
            self.acknowledgeLate(typeURL, version: version, nonce: nonce, on: stream)
        } else {
            self.actions.append(.event(.ignored(typeURL: typeURL)))
        }
    }

    // MARK: SotW

    private func acceptSotW(
        _ received: ReceivedResponse, _ feed: Feed, _ type: OriginType, in message: borrowing Span<UInt8>,
        _ now: Instant, _ wall: WallTime
    ) {
        var changes = self.changes(received, feed, type, in: message, now)
        // Absence means deletion in the types that are always sent whole, and only of what was there (XLT-01, XLT-04).
        // A response of heartbeats alone is no set (TTL-06).
        let isHeartbeat = !received.resources.isEmpty && received.resources.allSatisfy { $0.any == nil }
        if type.type.isFullSet, !received.isPartial, !isHeartbeat {
            var mentioned = Set(received.resources.map(\.name))
            mentioned.formUnion(received.badNames)
            mentioned.formUnion(received.errors.map(\.name))
            let gone = type.presentNames(in: feed.lane).filter {
                !mentioned.contains(type.resource($0, in: feed.lane)?.name ?? $0)
            }
            for name in gone.sorted() { changes.append(self.absence(of: name, feed)) }
        }
        changes += self.errorChanges(received, feed, type)
        // The version counts once the response is acknowledged.
        if received.faults.isEmpty { feed.acceptedFrom = self.streams[feed.stream].server }
        self.finish(received, changes, feed, type, now, wall)
    }

    // MARK: Delta

    private func acceptDelta(
        _ received: ReceivedResponse, _ feed: Feed, _ type: OriginType, in message: borrowing Span<UInt8>,
        _ now: Instant, _ wall: WallTime
    ) {
        self.compareWithPresented(received, feed, type, now)
        let server = self.streams[feed.stream].server
        if feed.acceptedFrom != server {
            feed.acceptedFrom = server
            feed.confirmed = []
        }
        feed.confirmed.formUnion(received.resources.map(\.name))
        feed.confirmed.subtract(received.removed)
        var changes = self.changes(received, feed, type, in: message, now)
        for name in received.removed where !received.badNames.contains(name) {
            feed.newerVersions[name] = nil
            feed.renewing.remove(name)
            changes += self.removals(of: name, feed, type)
        }
        changes += self.errorChanges(received, feed, type)
        self.confirm(received, feed, now)
        self.finish(received, changes, feed, type, now, wall)
    }

    /// A server that honours what it was told does not send it again. One that does ignored it, and what its full answer
    /// leaves out is gone (AGG-10). The answer may come in several responses.
    private func compareWithPresented(
        _ received: ReceivedResponse, _ feed: Feed, _ type: OriginType, _ now: Instant
    ) {
        guard let presented = feed.presentedVersions else { return }
        if let over = feed.firstAnswerOver, over <= now {
            feed.presentedVersions = nil
            feed.mentioned = []
            return
        }
        feed.firstAnswerOver = now + self.policy.sweepDelay
        feed.mentioned.formUnion(received.resources.map(\.name))
        feed.mentioned.formUnion(received.badNames)
        // What is asked for by name may be sent again all the same (DELTA-12).
        let ignored = received.resources.contains {
            presented[$0.name] == $0.version && $0.any != nil && feed.names[$0.name] == nil
        }
        guard ignored, feed.lane == .wildcard || !feed.globs.isEmpty else { return }
        self.beginSweep(feed, type, except: feed.mentioned)
        feed.presentedVersions = nil
        feed.mentioned = []
    }

    func beginSweep(_ feed: Feed, _ type: OriginType, except confirmed: Set<String>) {
        var names = Set(type.presentNames(in: feed.lane)).subtracting(confirmed)
        if feed.lane == .named { names = names.filter { feed.names[$0] == nil } }
        feed.unconfirmed = names.isEmpty ? nil : names
    }

    /// Strikes what a response mentions, well or badly, off what is to be swept. Only a response that strikes something
    /// off can be a part of the full answer: others do not postpone the sweep.
    private func confirm(_ received: ReceivedResponse, _ feed: Feed, _ now: Instant) {
        guard let before = feed.unconfirmed else { return }
        if received.isPartial {
            // An entry whose name could not be read might be any of them.
            feed.unconfirmed = nil
            feed.sweepAt = nil
            return
        }
        var left = before.subtracting(received.resources.map(\.name))
        left.subtract(received.removed)
        left.subtract(received.badNames)
        left.subtract(received.errors.map(\.name))
        feed.unconfirmed = left
        if feed.sweepAt == nil || left.count < before.count {
            feed.sweepAt = now + self.policy.sweepDelay
            self.schedule(now + self.policy.sweepDelay)
        }
    }

    /// The full answer is over: what it did not mention is gone. It may have come in several responses, so this waits
    /// until none came for a while.
    func sweep(_ feed: Feed, _ type: OriginType, _ now: Instant, _ wall: WallTime) {
        feed.sweepAt = nil
        guard let unconfirmed = feed.unconfirmed else { return }
        feed.unconfirmed = nil
        self.publish(
            unconfirmed.sorted().map { self.absence(of: $0, feed) }, type, feed.lane,
            version: nil, cause: .upstream, now, wall)
        self.settleWithStore(type)
    }

    // MARK: Both

    private func finish(
        _ received: ReceivedResponse, _ changes: [ResourceChange], _ feed: Feed, _ type: OriginType, _ now: Instant,
        _ wall: WallTime
    ) {
        self.beginPush(.state)
        let push = self.draft?.id ?? .none
        feed.isBorrowed = self.streams[feed.stream].isBorrowed
        if feed.isBorrowed { type.owesStore = true } else { self.confirmRestored(type) }
        self.setOrigin(self.origin)
        let isFirstAnswer = feed.lane == .wildcard && !type.wildcardKnown
        if feed.lane == .wildcard { type.wildcardKnown = true }
        let changed = self.publish(
            changes, type, feed.lane, version: received.version, force: isFirstAnswer, cause: .upstream, now, wall)
        // What the response did not change was perhaps held back until now.
        if type.workers & ~type.synced != 0 { self.release(type, now, wall) }
        self.noteHead(type)
        self.settleWithStore(type)
        let url = type.type.typeURL
        self.endPush(received, feed, type, changed, now, wall)
        if received.faults.isEmpty {
            self.actions.append(
                .event(
                    .accepted(
                        typeURL: url, version: received.version, resources: received.resources.count,
                        fate: self.fate(changed, type), push: push)))
        } else {
            self.actions.append(
                .event(.rejected(typeURL: url, version: received.version, reason: received.rejection, push: push)))
        }
        self.answer(feed, received, type, changed: changed > 0, now)
    }

    private func endPush(
        _ received: ReceivedResponse, _ feed: Feed, _ type: OriginType, _ changed: Int, _ now: Instant,
        _ wall: WallTime
    ) {
        let isRejected = !received.faults.isEmpty
        let outcome = isRejected ? .rejected : changed > 0 ? self.outcome(.sent, type) : .unchanged
        // A delta response without a version of its own is called what clients have.
        let version = received.version.isEmpty && !isRejected ? type.version : received.version
        self.endPush(
            type, outcome, version: version, server: self.streams[feed.stream].server,
            detail: isRejected ? received.rejection : type.gate.hold?.detail ?? "", isResponse: true, now, wall)
    }

    private func fate(_ changed: Int, _ type: OriginType) -> PushFate {
        guard changed > 0 else { return .unchanged }
        if type.gate.trial != nil { return .tried }
        return type.gate.hold.map { .held($0.reason) } ?? .sent(changed)
    }
}
