import WeirBase
import WeirXDS

/// When the rules change while streams live.
extension Shard {
    /// What came of asking the rules again for some streams.
    package struct Rekeyed: Sendable {
        /// Streams of which at least one type went to another group.
        package var moved = 0
        /// Streams that no rule matches any more: they were ended.
        package var refused = 0
        /// Streams that keep the key they have, because their node was too large to be kept whole, or because their new group
        /// would be of an upstream that does not run.
        package var kept = 0
        /// Where to go on; nil: that was all.
        package var next: Int?

        package init() {}
    }

    /// Asks the rules for the keys of streams that have one, in slots from `start` on. A type whose key is another now moves
    /// to that group: its client is sent what is there, in delta also what is not there any more, and keeps what it has
    /// until the group can answer. `runs` says whether an upstream is there.
    package func rekey(from start: Int, limit: Int, runs: (String) -> Bool = { _ in true }) -> Rekeyed {
        var result = Rekeyed()
        for id in self.streams.ids(from: start, limit: limit) {
            guard let stream = self.streams[id], let identity = stream.identity, id != self.selfCheck else { continue }
            guard identity.isWhole else {
                result.kept += 1
                continue
            }
            switch self.rekey(id, stream, identity, runs) {
            case .refused: result.refused += 1
            case .moved: result.moved += 1
            case .kept: result.kept += 1
            case .same: break
            }
        }
        result.next = start + limit < self.links.count ? start + limit : nil
        return result
    }

    private enum Outcome { case same, moved, kept, refused }

    private func rekey(
        _ id: SlotID, _ stream: DownstreamStream, _ identity: NodeIdentity, _ runs: (String) -> Bool
    ) -> Outcome {
        var types: [Int32] = []
        var next = self.links[Int(id.index)].firstType
        while next != TypeStream.none {
            types.append(next)
            next = self.typeStreams[Int(next)].next
        }
        var outcome = Outcome.same
        for index in types {
            guard let view = self.view(of: index) else { continue }
            let request = KeyRequest(
                node: identity.encoded, typeURL: view.type.typeURL,
                resourceNames: self.content(of: index, view).names.map { view[$0].name }, peer: stream.peer)
            switch self.resolve(request) {
            case .refused(let message):
                self.refuse(id, .invalidArgument, .noRule, message)
                return .refused
            case .denied(let message):
                self.refuse(id, .permissionDenied, .identity, message)
                return .refused
            case .group(_, let upstream, _, _, _, _) where !runs(upstream): return .kept
            case .group(let key, let upstream, let coldTimeout, _, let upstreamNode, let scope):
                let group = self.group(key, upstream, coldTimeout, upstreamNode, openedBy: identity.encoded)
                self.streams[id]?.keyScope = scope
                self.links[Int(id.index)].isKeyedByRequest = scope == .request
                self.streams[id]?.group = group
                guard view.group != group else { continue }
                self.moveHolding(index, of: id, to: group, view)
                outcome = .moved
            }
        }
        return outcome
    }

    /// A type of a delta stream whose names make its key. The key is that of the names that are subscribed to after the
    /// request: delta requests tell only what changes, and an ACK tells nothing. Returns where the type is now; nil: the
    /// stream was refused.
    func rekey(
        _ existing: Int32, of id: SlotID, subscribe: [ByteRange], unsubscribe: [ByteRange],
        in bytes: borrowing Span<UInt8>
    ) -> Int32? {
        guard !subscribe.isEmpty || !unsubscribe.isEmpty else { return existing }
        guard let view = self.view(of: existing), let stream = self.streams[id], let identity = stream.identity else {
            return existing
        }
        var gone: Set<String> = []
        for name in unsubscribe { gone.insert(ResourceName.canonical(bytes.string(name))) }
        var names = self.content(of: existing, view).names.map { view[$0].name }
        var seen = Set(names)
        for range in subscribe {
            let name = ResourceName.canonical(bytes.string(range))
            if seen.insert(name).inserted { names.append(name) }
        }
        names.removeAll(where: gone.contains)
        // Nothing is left that could have a key: it stays where it is until it asks for something.
        guard !names.isEmpty else { return existing }
        let request = KeyRequest(
            node: identity.encoded, typeURL: view.type.typeURL, resourceNames: names, peer: stream.peer)
        switch self.resolve(request) {
        case .refused(let message):
            self.refuse(id, .invalidArgument, .noRule, message)
            return nil
        case .denied(let message):
            self.refuse(id, .permissionDenied, .identity, message)
            return nil
        case .group(let key, let upstream, let coldTimeout, _, let upstreamNode, _):
            let group = self.group(key, upstream, coldTimeout, upstreamNode, openedBy: identity.encoded)
            return view.group == group ? existing : self.moveHolding(existing, of: id, to: group, view)
        }
    }

    /// Moves a type with its subscription to another group, as if its client had come back to it holding what it was sent.
    @discardableResult
    private func moveHolding(_ existing: Int32, of id: SlotID, to group: Int32, _ old: TypeView) -> Int32 {
        let record = self.typeStreams[Int(existing)]
        let content = self.content(of: existing, old)
        let names = content.names.map { old[$0].name }
        let isDelta = self.streams[id]?.service.variant == .delta
        let held = isDelta ? self.held(by: existing, content, old) : [:]
        let holdsSomething = record.wasAnswered || record.owed != TypeStream.none
        self.unlink(existing, from: Int(id.index))
        self.removeTypeStream(existing)

        let index = self.makeTypeStream(id, view: self.view(of: group, old.type), type: old.type)
        // Nonces go on, so that an answer to the old group's last response is not taken for one to the new group's.
        self.typeStreams[Int(index)].nonce = record.nonce
        self.typeStreams[Int(index)].hasNamed = record.hasNamed
        self.typeStreams[Int(index)].namesDigest = record.namesDigest
        self.typeStreams[Int(index)].isInitialized = record.isInitialized
        self.typeStreams[Int(index)].wasAnswered = record.wasAnswered
        guard !content.isNothing, let view = self.view(of: index) else { return index }
        let ids = Set(names.map { view.id(of: $0) })
        var new = Subscription.Content(wildcard: content.wildcard, names: ids.sorted())
        new.globs = isDelta ? view.globs(among: ids) : []
        new.wrapsTimeToLive = content.wrapsTimeToLive
        _ = self.subscribe(index, to: new, view)
        if isDelta {
            self.owe(index) {
                $0.names.formUnion(ids)
                $0.resume = .resources(HeldVersions(held))
            }
        } else if view.type.isFullSet, holdsSomething {
            self.owe(index) { $0.resume = .matchesNothing }
        }
        self.makeDue(index)
        return index
    }

    /// What a delta client may hold of a group. Without versions: those of one group say nothing about another's content
    /// (AGG-02).
    private func held(by index: Int32, _ content: Subscription.Content, _ view: TypeView) -> [String: String] {
        var held: [String: String] = [:]
        let place = self.typeStreams[Int(index)].owed
        if place != TypeStream.none, case .resources(let named)? = self.owed[place]?.resume {
            held = named.versions.mapValues { _ in "" }
        }
        let record = self.typeStreams[Int(index)]
        guard record.wasAnswered, record.subscription != TypeStream.none else { return held }
        var ids = Set(view.changes(for: record.subscription, since: self.sentGeneration(index)))
        if content.wildcard { ids.formUnion(view.wildcardMembers) }
        ids.formUnion(view.expand(content, gone: false).filter { view.visible($0, to: content) != nil })
        for id in ids { held[view.otherNames[id] ?? view[id].name] = "" }
        return held
    }
}
