package import WeirBase
package import WeirXDS

/// What a client holds of one resource, as far as its answers tell (SVC-01).
package enum DeliveryState: Hashable, Sendable {
    /// The present content has not been sent, or there is none to send.
    case notSent
    /// Sent, and neither accepted nor rejected so far.
    case sent
    case accepted
    case rejected
}

/// One resource of one type of one stream.
package struct DeliveredResource: Sendable {
    package var name: String
    /// The present content; nil if there is none.
    package var resource: Resource?
    package var state: DeliveryState
}

/// One type of one stream.
package struct DeliveredType: Sendable {
    package var type: XDSType
    package var key: String
    /// The version of the newest response; for SotW also that of all its resources.
    package var version: String
    /// When the content of the type last changed.
    package var updated: WallTime?
    /// The last rejection, until the type is accepted again.
    package var rejection: Rejection?
    package var resources: [DeliveredResource]
}

/// One stream of a client.
package struct DeliveredStream: Sendable {
    package var node: NodeIdentity
    /// The same object for all streams of one connection.
    package var peer: PeerIdentity
    package var variant: ProtocolVariant
    package var types: [DeliveredType]
}

/// A walk over a shard's streams in pieces, for one question about clients.
package struct DeliveryWalk: Sendable {
    /// Whose streams to look at.
    package var matches: @Sendable (NodeIdentity) -> Bool
    /// Whether the size of contents counts.
    package var countsContents: Bool
    /// What the answer may still grow by, in bytes; negative: it is too large, and incomplete.
    package var budget: Int
    package var streams: [DeliveredStream] = []
    /// The slot to go on from; nil at the end.
    package var next: Int? = 0

    package init(budget: Int, countsContents: Bool, matches: @escaping @Sendable (NodeIdentity) -> Bool) {
        self.budget = budget
        self.countsContents = countsContents
        self.matches = matches
    }

    /// What the fields around a resource's own bytes come to, with the type URL.
    static let overhead = 96
}

extension Shard {
    /// Looks at up to `limit` slots, or fewer when the resources found are many. Bounded work, so that no push waits for a
    /// question.
    package func advance(_ walk: inout DeliveryWalk, slots limit: Int, resources: Int) {
        guard let start = walk.next else { return }
        var slot = start
        var found = 0
        while slot < min(self.links.count, start + limit), found < resources, walk.budget >= 0 {
            for id in self.streams.ids(from: slot, limit: 1) { found += self.add(id, to: &walk) }
            slot += 1
        }
        walk.next = slot < self.links.count && walk.budget >= 0 ? slot : nil
    }

    private func add(_ id: SlotID, to walk: inout DeliveryWalk) -> Int {
        guard let stream = self.streams[id], let identity = stream.identity, walk.matches(identity),
            id != self.selfCheck
        else { return 0 }
        var delivered = DeliveredStream(node: identity, peer: stream.peer, variant: stream.service.variant, types: [])
        walk.budget -= identity.encoded.count + DeliveryWalk.overhead
        var count = 0
        var index = self.links[Int(id.index)].firstType
        while index != TypeStream.none, walk.budget >= 0 {
            if let type = self.delivered(index, &walk) {
                count += type.resources.count
                delivered.types.append(type)
            }
            index = self.typeStreams[Int(index)].next
        }
        walk.streams.append(delivered)
        return count
    }

    private func delivered(_ index: Int32, _ walk: inout DeliveryWalk) -> DeliveredType? {
        guard let view = self.view(of: index) else { return nil }
        let rejection = self.typeStreams[Int(index)].isRejected ? self.rejections[index] : nil
        var result = DeliveredType(
            type: view.type, key: self.groups[Int(view.group)]?.key ?? "", version: self.sentVersion(index),
            updated: view.updatedAt, rejection: rejection, resources: [])
        let content = self.content(of: index, view)
        let judge = DeliveryJudge(self, index, view)
        if content.wildcard {
            for id in view.wildcardMembers where walk.budget >= 0 {
                self.add(id, content, judge, view, to: &result, &walk)
            }
        }
        for id in content.names where walk.budget >= 0 && !(content.wildcard && view[id].wild != nil) {
            self.add(id, content, judge, view, to: &result, &walk)
        }
        // What was rejected may have been a removal, which no resource shows.
        if rejection != nil, !result.resources.contains(where: { $0.state == .rejected }) {
            for place in result.resources.indices where result.resources[place].state == .accepted {
                result.resources[place].state = .rejected
            }
        }
        return result
    }

    private func add(
        _ id: NameID, _ content: Subscription.Content, _ judge: DeliveryJudge, _ view: TypeView,
        to result: inout DeliveredType, _ walk: inout DeliveryWalk
    ) {
        let delivered = self.delivered(id, content, judge, view)
        result.resources.append(delivered)
        let contents = walk.countsContents ? delivered.resource?.encoded.count ?? 0 : 0
        walk.budget -= view[id].name.utf8.count + DeliveryWalk.overhead + contents
    }

    func delivered(
        _ id: NameID, _ content: Subscription.Content, _ judge: DeliveryJudge, _ view: TypeView
    ) -> DeliveredResource {
        let resource = view.visible(id, to: content)
        let changed =
            content.wildcard && view[id].wild != nil
            ? view[id].wildChanged : max(view[id].namedChanged, resource === view[id].wild ? view[id].wildChanged : 0)
        let state = resource == nil ? .notSent : judge.state(of: id, changed: changed)
        return DeliveredResource(name: view[id].name, resource: resource, state: state)
    }

    /// The generation that a type stream has been sent; 0 for nothing.
    func sentGeneration(_ index: Int32) -> Generation {
        let record = self.typeStreams[Int(index)]
        guard let view = self.views[Int(record.view)] else { return 0 }
        guard record.cohort != TypeStream.none else { return record.base }
        return view.held(byCohort: record.cohort).generation
    }
}

/// Tells the state of each resource of one type stream.
struct DeliveryJudge {
    private let sent: Generation
    private let accepted: Generation
    /// The state of what was sent after the last acceptance.
    private let unsettled: DeliveryState
    /// Whether every response holds everything, so that all resources share its fate.
    private let isWhole: Bool
    private let owed: OwedAnswer?

    init(_ shard: Shard, _ index: Int32, _ view: TypeView) {
        let record = shard.typeStreams[Int(index)]
        let isDelta = shard.streams[shard.id(ofStream: index)]?.service.variant == .delta
        self.sent = shard.sentGeneration(index)
        self.accepted = shard.versions[Int(index)].acceptedGeneration
        self.unsettled = record.isAwaiting ? .sent : record.isRejected ? .rejected : .accepted
        self.isWhole = view.sendsFullSet && !isDelta
        self.owed = record.owed == TypeStream.none ? nil : shard.owed[record.owed]
    }

    func state(of id: NameID, changed: Generation) -> DeliveryState {
        if changed > self.sent || self.isOwed(id) { return .notSent }
        return self.isWhole || changed > self.accepted ? self.unsettled : .accepted
    }

    private func isOwed(_ id: NameID) -> Bool {
        guard let owed = self.owed, owed.resume == nil else { return false }
        return owed.everything || owed.names.contains(id)
    }
}
