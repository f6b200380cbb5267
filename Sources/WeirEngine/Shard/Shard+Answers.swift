import WeirBase
import WeirXDS

/// Answers to requests, given at the end of a round.
extension Shard {
    /// Notes that a type stream must be looked at in `flush`.
    func makeDue(_ index: Int32) {
        guard !self.typeStreams[Int(index)].isDue else { return }
        self.detach(index)
        self.typeStreams[Int(index)].isDue = true
        self.due.append(index)
    }

    /// Gives the answers due, tells the homes what is wanted, and ends the round's thinking: what stands in `sends`,
    /// `refusals`, `commands` and `events` afterwards is for the shell to carry out.
    package func flush() {
        self.settleInterest()
        let due = self.due
        self.due.removeAll(keepingCapacity: true)
        // Per stream in push order: clusters before the endpoints that were asked for in the same turn (ORD-01).
        for index in due.sorted(by: { self.pushOrder($0) < self.pushOrder($1) }) {
            guard self.typeStreams[Int(index)].isDue else { continue }
            self.typeStreams[Int(index)].isDue = false
            self.answer(index, ignoringOutstanding: false)
        }
        self.settleInterest()
    }

    private func pushOrder(_ index: Int32) -> Int { self.view(of: index)?.type.pushOrder ?? .max }

    /// Answers a detached type stream and puts it into a cohort; or holds the answer back while too much of the type is
    /// unanswered or the transport is stuck.
    func answer(_ index: Int32, ignoringOutstanding: Bool) {
        let record = self.typeStreams[Int(index)]
        guard record.stream != TypeStream.none, record.cohort == TypeStream.none,
            let view = self.views[Int(record.view)]
        else { return }
        guard record.subscription != TypeStream.none, let subscription = view.subscriptions[Int(record.subscription)]
        else {
            self.dropOwed(index)
            self.caughtUp(index)
            return
        }
        let isHeld = record.outstandingCount >= self.policy.maxOutstanding && !ignoringOutstanding
        if isHeld || self.isStuck(record.stream) {
            if !isHeld { self.links[Int(record.stream)].isHolding = true }
            self.fallBehind(index, in: view)
            return
        }
        self.caughtUp(index)
        self.answer(index, record, subscription, in: view)
    }

    private func answer(_ index: Int32, _ record: TypeStream, _ subscription: Subscription, in view: TypeView) {
        var owed = self.takeOwed(index)
        let pinned = owed.names
        defer { view.unpin(pinned) }
        let isDelta = self.isDelta(index)
        let base = owed.everything ? 0 : record.base
        let isAnswered = view.isAnswered(subscription.content)
        let fresh = view.withheld(owed, subscription.content, since: base)
        if !fresh.isEmpty {
            return self.answer(
                index, record, subscription, owed, base: base, withholding: fresh, isDelta: isDelta, in: view)
        }
        var held: [String: String]?
        var saysNothingIsLeft = false
        switch owed.resume {
        case .resources(let versions)?: held = versions
        case .version(let version)?:
            if subscription.content.wildcard, view.wildcardKnownAt == 0 { return self.wait(index, owed, in: view) }
            if isAnswered, self.isCurrent(version, subscription.content, view) {
                self.versions[Int(index)] = TypeVersions(acked: version, sent: version)
                return self.settleInto(index, record.subscription, isDelta: isDelta, version: version, view)
            }
            if !self.seesAnything(subscription.content, in: view) {
                // It holds something, and must hear that all of it is gone once that is known (SOTW-06).
                guard isAnswered else { return self.wait(index, owed, in: view) }
                saysNothingIsLeft = true
            }
            owed.resume = nil
        case nil: break
        }
        let encoded =
            saysNothingIsLeft
            ? self.encode(subscription.content, isDelta: false, names: [], base: 0, in: view, mustSend: true)
            : self.encodeAnswer(
                record.subscription, subscription, isDelta: isDelta, base: base, owed: owed.names, held: held, in: view)
        self.deliver(index, encoded, in: view)
        if held != nil, !isAnswered {
            // What is known has been dealt with; the rest is compared with what the client holds when it comes.
            for id in view.changes(for: record.subscription, since: base) { held?[view[id].name] = nil }
            owed = OwedAnswer(names: encoded.left, resume: held.map { .resources($0) })
            self.typeStreams[Int(index)].base = view.generation
            self.wait(index, owed, in: view)
            if !encoded.left.isEmpty { self.fallBehind(index, in: view) }
            return
        }
        if !encoded.left.isEmpty {
            // The rest follows when this was answered.
            view.waiting.remove(index)
            self.typeStreams[Int(index)].base = view.generation
            self.owe(index) { $0.names.formUnion(encoded.left) }
            return self.fallBehind(index, in: view)
        }
        if held != nil, encoded.bodies.isEmpty { self.versions[Int(index)].acked = encoded.version }
        self.settleInto(index, record.subscription, isDelta: isDelta, version: encoded.version, view)
        if !encoded.endpointNames.isEmpty, !encoded.bodies.isEmpty {
            self.repushEndpoints(after: index, record.stream, EndpointRepush(names: encoded.endpointNames))
        }
    }

    private func seesAnything(_ content: Subscription.Content, in view: TypeView) -> Bool {
        content.wildcard || content.names.contains { view.visible($0, to: content) != nil }
    }

    /// Keeps a reconnected client's list of what it holds until the origin has spoken.
    func wait(_ index: Int32, _ owed: OwedAnswer, in view: TypeView) {
        self.owe(index) { $0 = owed }
        view.waiting.insert(index)
    }

    private func settleInto(
        _ index: Int32, _ subscription: Int32, isDelta: Bool, version: String, _ view: TypeView
    ) {
        view.waiting.remove(index)
        self.join(
            index, cohort: view.currentCohort(of: subscription, isDelta: isDelta, version: version), in: view)
        if !self.typeStreams[Int(index)].isAwaiting { self.settle(index) }
    }

    /// Encodes the answer to a detached type stream; the usual ones are shared.
    private func encodeAnswer(
        _ index: Int32, _ subscription: Subscription, isDelta: Bool, base: Generation, owed: Set<NameID>,
        held: [String: String]?, in view: TypeView
    ) -> Encoded {
        // A new client is owed everything, so names it asked for add nothing.
        let isPlain = base == 0 && held == nil && owed.allSatisfy { subscription.content.contains($0) }
        if isPlain, let full = isDelta ? subscription.full.delta : subscription.full.sotw,
            full.isUsable(at: self.now)
        {
            return full
        }
        let key = AnswerKey(
            view: ObjectIdentifier(view), idEpoch: view.idEpoch, subscription: index, isDelta: isDelta, base: base,
            owed: owed)
        if held == nil, let memo = self.answerMemo, memo.key == key, memo.generation == view.generation,
            memo.encoded.isUsable(at: self.now)
        {
            return memo.encoded
        }
        var names = view.changes(for: index, since: base)
        names += owed.subtracting(names).sorted()
        let encoded = self.encode(
            subscription.content, isDelta: isDelta, names: names, base: base, in: view, resume: held, asked: owed)
        if isPlain {
            if isDelta {
                view.subscriptions[Int(index)]?.full.delta = encoded
            } else {
                view.subscriptions[Int(index)]?.full.sotw = encoded
            }
        } else if held == nil {
            self.answerMemo = AnswerMemo(key: key, generation: view.generation, encoded: encoded)
        }
        return encoded
    }

    private func isDelta(_ index: Int32) -> Bool {
        self.streams[self.id(ofStream: index)]?.service.variant == .delta
    }

    /// Whether a SotW client that presents this version holds exactly what it would be sent (SOTW-18): only sure for
    /// types that are always sent whole, and for names only where the version is made from the content.
    private func isCurrent(_ version: String, _ content: Subscription.Content, _ view: TypeView) -> Bool {
        guard view.type.isFullSet else { return false }
        // What is left of a time to live must be said again.
        if content.wrapsTimeToLive, view.hasTimeToLive(content) { return false }
        if view.passesVersionToSotW {
            guard content.wildcard, content.names.isEmpty else { return false }
            return version == view.version || view.equalVersions.contains(version)
        }
        return version == view.derivedVersion(for: content)
    }
}

/// What makes two answers the same.
struct AnswerKey: Hashable {
    var view: ObjectIdentifier
    var idEpoch: Int
    var subscription: Int32
    var isDelta: Bool
    var base: Generation
    var owed: Set<NameID>
}

/// The newest answer to a change of subscription: streams of one group tend to make the same change in a row.
struct AnswerMemo {
    var key: AnswerKey
    var generation: Generation
    var encoded: Encoded
}
