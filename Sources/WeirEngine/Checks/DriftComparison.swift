import WeirBase
package import WeirHash
package import WeirXDS

/// One name of which a group holds something else than the control plane says to somebody new.
package struct DriftDifference: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable {
        /// Both have it, with different content.
        case different
        /// The control plane has it, the group does not.
        case missing
        /// The group holds it, the control plane does not have it.
        case extra
    }

    package var type: XDSType
    package var lane: Lane
    package var name: String
    package var kind: Kind
    /// What is held; nil: nothing.
    package var held: ContentHash?

    package init(type: XDSType, lane: Lane, name: String, kind: Kind, held: ContentHash?) {
        self.type = type
        self.lane = lane
        self.name = name
        self.kind = kind
        self.held = held
    }

    /// Differences that are remembered of one look; the first by type and name, so that two looks remember the same.
    package static let countMax = 1000

    /// Those that were there in both looks while the group was told nothing of the name: what is on its way, or comes
    /// late, is there in the first one only, or has changed what is held.
    package static func lasting(_ earlier: [DriftDifference], _ later: [DriftDifference]) -> [DriftDifference] {
        var before: [Place: ContentHash?] = [:]
        for difference in earlier { before[difference.place] = difference.held }
        return later.filter { difference in
            guard let held = before[difference.place] else { return false }
            return held == difference.held
        }
    }

    private struct Place: Hashable {
        var type: XDSType
        var lane: Lane
        var name: String
    }

    private var place: Place { Place(type: self.type, lane: self.lane, name: self.name) }

    fileprivate var order: (Int, String, UInt8, String) {
        (self.type.pushOrder, self.type.typeURL, self.lane.rawValue, self.name)
    }
}

/// The group's side of a look for drift. What is compared is what the control plane last said, not what clients are given:
/// what a guard holds back is no drift.
extension OriginGroup {
    /// The server that an upstream stream is open to; nil while it is not, or while a sibling relay is at the other end.
    package func server(ofStream number: Int) -> String? {
        let stream = self.streams[number]
        return stream.isOpen && !stream.isBorrowed ? stream.server : nil
    }

    /// A probe that asks what an upstream stream asks. Nil where there is nothing to compare: nothing is asked or answered
    /// so far, or what is held is not the control plane's.
    package func driftProbe(ofStream number: Int) -> DriftProbe? {
        guard let variant = self.variant, self.server(ofStream: number) != nil else { return nil }
        let questions = self.sortedTypes.flatMap { type in
            type.feeds.filter { $0.stream == number }.compactMap { self.question($0, type) }
        }
        return questions.isEmpty ? nil : DriftProbe(variant: variant, node: self.node, questions: questions)
    }

    private func question(_ feed: Feed, _ type: OriginType) -> DriftQuestion? {
        guard feed.isRequested, !feed.isEmpty, !feed.isBorrowed, !type.isStale, feed.unconfirmed == nil else {
            return nil
        }
        switch feed.lane {
        case .wildcard:
            guard type.wildcardKnown else { return nil }
            let explicit = !type.type.acceptsLegacyWildcard
            return DriftQuestion(type: type.type, lane: .wildcard, wire: explicit ? ["*"] : [], awaited: [])
        case .named:
            let names = feed.toldNames.intersection(feed.names.keys)
            let awaited = names.filter { name in
                if case .present(let resource)? = type.byName[name] { return resource.hasBody }
                return false
            }
            guard !names.isEmpty else { return nil }
            return DriftQuestion(type: type.type, lane: .named, wire: names.sorted(), awaited: Set(awaited))
        }
    }

    /// What differs, the first by type and name, and how many there are. To be asked while the upstream stream is still the
    /// one that was open when the probe was made.
    package func differences(from probe: DriftProbe) -> (first: [DriftDifference], count: Int) {
        guard probe.failure == nil else { return ([], 0) }
        var all: [DriftDifference] = []
        for question in probe.questions {
            guard let type = self.types[question.type.typeURL], !type.isStale,
                let feed = question.lane == .wildcard ? type.wildcard : type.named, !feed.isBorrowed,
                feed.unconfirmed == nil
            else { continue }
            all += self.differences(question, feed, type, probe.variant)
        }
        return (Array(all.sorted { $0.order < $1.order }.prefix(DriftDifference.countMax)), all.count)
    }

    private func differences(
        _ question: DriftQuestion, _ feed: Feed, _ type: OriginType, _ variant: ProtocolVariant
    ) -> [DriftDifference] {
        var found: [DriftDifference] = []
        var seen: Set<String> = []
        func note(_ name: String, _ kind: DriftDifference.Kind, _ held: ContentHash?) {
            found.append(
                DriftDifference(type: question.type, lane: question.lane, name: name, kind: kind, held: held))
        }
        for key in type.presentNames(in: question.lane) {
            guard let held = type.resource(key, in: question.lane), seen.insert(held.name).inserted else { continue }
            guard held.hasBody, held.timeToLive == nil, !held.mustBeFetched, !question.unclear.contains(held.name)
            else { continue }
            if let fresh = question.received[held.name] {
                if fresh != held.hash { note(held.name, .different, held.hash) }
            } else if question.gone.contains(held.name) || question.gone.contains(key)
                || self.absenceProves(key, question, feed, variant)
            {
                note(held.name, .extra, held.hash)
            }
        }
        for name in question.received.keys where !seen.contains(name) && !question.unclear.contains(name) {
            if self.isMissed(name, question, feed, type) { note(name, .missing, nil) }
        }
        return found
    }

    /// Whether silence about a name that is held means that the control plane does not have it (XLT-01, XLT-04).
    private func absenceProves(
        _ key: String, _ question: DriftQuestion, _ feed: Feed, _ variant: ProtocolVariant
    ) -> Bool {
        guard question.lastAnswer != nil, !question.isPartial else { return false }
        if variant == .sotw { return question.type.isFullSet }
        // In delta a name is answered by itself, a wildcard and a collection as a whole.
        return question.lane == .wildcard || feed.names[key] == nil
    }

    /// Whether what came is asked for here and was answered otherwise. What was never answered is waited for.
    private func isMissed(_ name: String, _ question: DriftQuestion, _ feed: Feed, _ type: OriginType) -> Bool {
        guard question.lane == .named else { return true }
        // One that was asked for by another name is held under its own.
        let keys = [name] + (question.aliases[name] ?? [])
        return keys.contains { key in
            let known = feed.names[key] != nil ? key : feed.collection(of: key)
            switch known.flatMap({ type.byName[$0] }) {
            case .absent?, .populated?: return true
            case .present?, .unknown?, nil: return false
            }
        }
    }
}
