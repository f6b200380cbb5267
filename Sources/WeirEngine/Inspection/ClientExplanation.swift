package import WeirBase
package import WeirXDS

/// A name that a client asked for and does not have, as its worker sees it.
package struct MissingName: Sendable {
    package enum Cause: Sendable {
        /// The worker has nothing of that name: the home knows why.
        case nothingHere
        /// The control plane said why it does not send it.
        case error(ResourceError)
        /// It is there, and the client has not been sent it.
        case unsent(Obstacle)
    }

    /// What keeps something that is there from being sent.
    package enum Obstacle: Sendable {
        /// The client has not answered an earlier response of the type.
        case acknowledgement
        /// The client does not read what was sent.
        case transport
        /// Nothing: it goes out next.
        case none
    }

    package var name: String
    package var cause: Cause
}

/// What one type of a stream has and lacks.
package struct TypeExplanation: Sendable {
    package var status: TypeStatus
    /// Resources by what the client said of them; `missing` are all that it lacks, of which `missingNames` has some.
    package var accepted = 0
    package var sent = 0
    package var rejected = 0
    package var missing = 0
    package var missingNames: [MissingName] = []
    /// Names that were not looked at, because there are too many.
    package var unexamined = 0
    /// It subscribes to everything, and nothing has come of that so far.
    package var awaitsWildcard = false
}

/// One stream of a client.
package struct StreamExplanation: Sendable {
    package var status: StreamStatus
    package var peer: PeerIdentity
    package var types: [TypeExplanation]

    /// Names listed of one type, and looked at.
    package static let namesMax = 100
    package static let examinedMax = 20_000
}

extension Shard {
    /// What a stream has and lacks; nil if it is gone. Bounded work for each type.
    package func explain(_ status: StreamStatus) -> StreamExplanation? {
        guard let id = self.streams.ids(from: status.slot, limit: 1).first, let stream = self.streams[id] else {
            return nil
        }
        var types: [TypeExplanation] = []
        var index = self.links[Int(id.index)].firstType
        while index != TypeStream.none {
            if let view = self.view(of: index),
                let known = status.types.first(where: { $0.type.typeURL == view.type.typeURL })
            {
                types.append(self.explain(index, view, known))
            }
            index = self.typeStreams[Int(index)].next
        }
        return StreamExplanation(status: status, peer: stream.peer, types: types)
    }

    private func explain(_ index: Int32, _ view: TypeView, _ status: TypeStatus) -> TypeExplanation {
        var result = TypeExplanation(status: status)
        let content = self.content(of: index, view)
        let judge = DeliveryJudge(self, index, view)
        result.awaitsWildcard = content.wildcard && view.wildcardKnownAt == 0
        var examined = 0
        if content.wildcard {
            for id in view.wildcardMembers.prefix(StreamExplanation.examinedMax) {
                self.add(id, content, judge, index, view, to: &result)
            }
            examined = min(view.wildcardMembers.count, StreamExplanation.examinedMax)
            result.unexamined += view.wildcardMembers.count - examined
        }
        for id in content.names {
            if content.wildcard, view[id].wild != nil { continue }
            guard examined < StreamExplanation.examinedMax else {
                result.unexamined += 1
                continue
            }
            examined += 1
            self.add(id, content, judge, index, view, to: &result)
        }
        return result
    }

    private func add(
        _ id: NameID, _ content: Subscription.Content, _ judge: DeliveryJudge, _ index: Int32, _ view: TypeView,
        to result: inout TypeExplanation
    ) {
        let delivered = self.delivered(id, content, judge, view)
        switch delivered.state {
        case .accepted: result.accepted += 1
        case .sent: result.sent += 1
        case .rejected: result.rejected += 1
        case .notSent:
            // A glob collection is nothing by itself: its members are.
            if case .populated = view[id].named { return }
            result.missing += 1
            guard result.missingNames.count < StreamExplanation.namesMax else { return }
            result.missingNames.append(
                MissingName(name: delivered.name, cause: self.cause(id, delivered.resource, index, view)))
        }
    }

    private func cause(_ id: NameID, _ resource: Resource?, _ index: Int32, _ view: TypeView) -> MissingName.Cause {
        guard resource != nil else { return view.errors[id].map { .error($0.error) } ?? .nothingHere }
        let record = self.typeStreams[Int(index)]
        if record.isAwaiting { return .unsent(.acknowledgement) }
        return .unsent(self.links[Int(record.stream)].hasUnsent ? .transport : .none)
    }
}

/// What the home of a group knows of a type, and of names that a client lacks.
package struct OriginExplanation: Sendable {
    package enum Name: Sendable {
        /// It exists; clients are kept from it.
        case withheld
        /// The control plane said that it does not exist, or did not answer in time.
        case absent
        case error(ResourceError)
        /// Asked for; without an answer it counts as not existing after this long.
        case asked(remaining: Nanoseconds)
        /// Asked for, and nothing has come.
        case neverSent
        /// The control plane has not been asked for it yet.
        case notAsked
        /// It is there.
        case present
    }

    package var upstream: String
    package var state: OriginState
    /// Whether the stream on which it is asked for is open.
    package var isStreamOpen: Bool
    /// What the control plane said last, whether clients have it or not.
    package var version: String
    package var hold: HoldStatus?
    package var rollout: RolloutStatus?
    /// Whether what was stored is kept back while the control plane may yet say something newer.
    package var isHeldBack: Bool
    package var names: [String: Name] = [:]
}

extension FederatedGroup {
    /// What is known of a type and of names in it: one for each upstream that is asked for some of them, the group's own
    /// first.
    package func explain(typeURL: String, names: [String], now: Instant) -> [OriginExplanation] {
        let origins = self.origins.filter { $0.origin.types[typeURL] != nil || $0.origin === self.own }
        var left = Set(names)
        var result: [OriginExplanation] = []
        for (upstream, origin) in origins.reversed() {
            // Who is asked for a name knows of it; the own one answers for the rest.
            let mine = origin === self.own ? left : left.filter { origin.types[typeURL]?.named?.names[$0] != nil }
            left.subtract(mine)
            result.insert(origin.explain(upstream, typeURL, mine.sorted(), now), at: 0)
        }
        return result
    }
}

extension OriginGroup {
    fileprivate func explain(_ upstream: String, _ typeURL: String, _ names: [String], _ now: Instant)
        -> OriginExplanation
    {
        guard let type = self.types[typeURL] else {
            return OriginExplanation(
                upstream: upstream, state: self.origin, isStreamOpen: self.openStreams > 0, version: "",
                isHeldBack: false)
        }
        let feed = names.isEmpty ? type.wildcard ?? type.named : type.named ?? type.wildcard
        let isOpen = self.variant == nil || feed.map { self.streams[$0.stream].isOpen } ?? false
        var result = OriginExplanation(
            upstream: upstream, state: self.origin, isStreamOpen: isOpen, version: type.version,
            hold: type.holdStatus, rollout: type.rolloutStatus, isHeldBack: type.heldBackUntil != nil)
        for name in names { result.names[name] = self.explain(name, type, now) }
        return result
    }

    private func explain(_ name: String, _ type: OriginType, _ now: Instant) -> OriginExplanation.Name {
        for lane in [Lane.named, .wildcard] {
            if let entry = type.gate.withheld[Slot(lane: lane, name: name)], entry.candidate.presence.resource != nil,
                entry.served.resource == nil
            {
                return .withheld
            }
            if let error = type.errors[lane]?[name] { return .error(error) }
        }
        switch type.presence(Slot(lane: .named, name: name)) {
        case .absent: return .absent
        case .present, .populated: return .present
        case .unknown: break
        }
        guard let feed = type.named, feed.names[name] != nil else { return .notAsked }
        if let deadline = feed.unanswered[name] { return .asked(remaining: max(.zero, deadline - now)) }
        return feed.toldNames.contains(name) || self.variant == nil ? .neverSent : .notAsked
    }
}
