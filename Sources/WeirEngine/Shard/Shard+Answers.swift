import WeirBase
import WeirXDS

/// Answers to requests, given at the end of a round.
extension Shard {
    /// Notes that a type stream must be answered in `flush`.
    func makeDue(_ index: Int32) {
        self.detach(index)
        guard !self.typeStreams[Int(index)].isDue, !self.typeStreams[Int(index)].isEnlisted else { return }
        self.typeStreams[Int(index)].isDue = true
        self.links[Int(self.typeStreams[Int(index)].stream)].pending += 1
        self.due.append(index)
    }

    func notDue(_ index: Int32) {
        guard self.typeStreams[Int(index)].isDue else { return }
        self.typeStreams[Int(index)].isDue = false
        self.links[Int(self.typeStreams[Int(index)].stream)].pending -= 1
    }

    /// Notes that a stream gets in `flush` whatever is held back from it, without waiting for ACKs (ORD-10).
    func move(stream: Int32) {
        guard !self.links[Int(stream)].isMoving else { return }
        self.links[Int(stream)].isMoving = true
        self.moving.append(stream)
    }

    /// Gives the answers due and what is held back, tells the homes what is wanted, and ends the round's thinking: what
    /// stands in `sends`, `refusals`, `commands` and `events` afterwards is for the shell to carry out.
    ///
    /// A stream moves as a whole: when it is sent anything here, it is sent everything, what comes and changes in push
    /// order (ORD-01), then what goes of the types that later ones refer to (ORD-03).
    package func flush() {
        self.settleInterest()
        for index in self.enlistAll() where !self.putsOff(index) { self.bringForward(index) }
        self.handLate()
        self.settleInterest()
        self.forgetRetired()
        self.checkAcks()
    }

    /// The type streams whose turn it is, in push order.
    private func enlistAll() -> [Int32] {
        var enlisted: [Int32] = []
        for stream in self.moving where self.links[Int(stream)].isMoving {
            self.links[Int(stream)].isMoving = false
            self.enlist(stream, &enlisted)
        }
        self.moving.removeAll(keepingCapacity: true)
        let due = self.due
        self.due.removeAll(keepingCapacity: true)
        for index in due where self.typeStreams[Int(index)].isDue && !self.isHeld(index) {
            self.enlist(self.typeStreams[Int(index)].stream, &enlisted)
        }
        for index in due where self.typeStreams[Int(index)].isDue { self.holdBack(index) }
        return enlisted.sorted(by: { self.pushOrder($0) < self.pushOrder($1) })
    }

    /// Whether too much of the type is unanswered for an answer to overtake.
    private func isHeld(_ index: Int32) -> Bool {
        let record = self.typeStreams[Int(index)]
        return record.outstandingCount >= self.policy.maxOutstanding && record.subscription != TypeStream.none
    }

    /// Enlists what a stream has to be sent; or holds it back while its transport is stuck.
    private func enlist(_ stream: Int32, _ enlisted: inout [Int32]) {
        let isStuck = self.isStuck(stream)
        if isStuck { self.links[Int(stream)].isHolding = true }
        var index = self.links[Int(stream)].firstType
        while index != TypeStream.none {
            let record = self.typeStreams[Int(index)]
            if record.isDue || record.isBehind {
                if isStuck, record.subscription != TypeStream.none {
                    self.holdBack(index)
                } else {
                    self.notDue(index)
                    self.typeStreams[Int(index)].isEnlisted = true
                    enlisted.append(index)
                }
            }
            index = record.next
        }
    }

    private func holdBack(_ index: Int32) {
        self.notDue(index)
        if let view = self.view(of: index) { self.fallBehind(index, in: view) }
    }

    /// A stream with so many types that they fill its queue in one turn is sent the rest when these have left. Only types
    /// that weir does not know are put off: the others are few, and have an order to keep among them.
    private func putsOff(_ index: Int32) -> Bool {
        let stream = self.typeStreams[Int(index)].stream
        guard stream != TypeStream.none, self.isFull(stream), let view = self.view(of: index), !view.type.isKnown
        else { return false }
        self.typeStreams[Int(index)].isEnlisted = false
        self.links[Int(stream)].isHolding = true
        self.fallBehind(index, in: view)
        return true
    }

    private func pushOrder(_ index: Int32) -> Int { self.view(of: index)?.type.pushOrder ?? .max }

    private func bringForward(_ index: Int32) {
        self.typeStreams[Int(index)].isEnlisted = false
        let splitting = self.isNamedByOthersToCome(index)
        if self.typeStreams[Int(index)].cohort == TypeStream.none {
            self.answer(index, splitting: splitting)
        } else {
            self.catchUp(index, splitting: splitting)
        }
    }

    /// Whether the stream's next types may still name, on the client, what this one removes.
    private func isNamedByOthersToCome(_ index: Int32) -> Bool {
        guard self.view(of: index)?.type.removalsGoLast == true else { return false }
        var other = self.typeStreams[Int(index)].next
        while other != TypeStream.none {
            if self.typeStreams[Int(other)].isEnlisted, self.view(of: other)?.type.removalsGoLast == false {
                return true
            }
            other = self.typeStreams[Int(other)].next
        }
        return false
    }

    private func forgetRetired() {
        for index in self.retiring.sorted() {
            guard self.views[Int(index)]?.behind ?? 0 == 0 else { continue }
            self.views[Int(index)]?.forgetRetired()
            self.retiring.remove(index)
        }
    }

    /// Answers a detached type stream and puts it into a cohort.
    private func answer(_ index: Int32, splitting: Bool) {
        let record = self.typeStreams[Int(index)]
        guard record.stream != TypeStream.none, let view = self.views[Int(record.view)] else { return }
        self.caughtUp(index)
        guard record.subscription != TypeStream.none, let subscription = view.subscriptions[Int(record.subscription)]
        else { return self.dropOwed(index) }
        self.answer(index, record, subscription, splitting: splitting, in: view)
    }

    private func answer(
        _ index: Int32, _ record: TypeStream, _ subscription: Subscription, splitting: Bool, in view: TypeView
    ) {
        var owed = self.takeOwed(index)
        let pinned = owed.names
        defer { view.unpin(pinned) }
        let isDelta = self.isDelta(index)
        let base = owed.everything ? 0 : record.base
        let isAnswered = view.isAnswered(subscription.content)
        let withheld = view.withheld(from: subscription.content, owed: owed.names, isNew: base == 0)
        guard withheld.isEmpty else {
            return self.answer(index, record, subscription, withholding: withheld, base: base, owed, in: view)
        }
        var held: HeldVersions?
        var saysNothingIsLeft = false
        switch owed.resume {
        case .resources(let versions)?:
            held = self.outlived(versions, since: owed.resumedAt, subscription.content, view)
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
        let request = AnswerRequest(
            subscription: record.subscription, isDelta: isDelta, base: base,
            // Whoever asks for everything again must hear of what went meanwhile too.
            left: owed.everything && isDelta && record.base > 0 ? record.base : nil, owed: owed.names,
            splitting: splitting)
        let encoded =
            saysNothingIsLeft
            ? SplitEncoded(
                first: self.encode(subscription.content, isDelta: false, names: [], base: 0, in: view, mustSend: true))
            : self.encodeAnswer(request, subscription, held: held, in: view)
        self.deliver(index, encoded.first, in: view)
        self.handLater(index, encoded.late)
        self.repushEndpoints(after: index, record.stream, of: encoded.first)
        let undecided = isDelta ? self.undecided(owed.names, subscription.content, view) : []
        if held != nil && !isAnswered || !undecided.isEmpty {
            // What is known has been dealt with; the rest is compared with what the client holds when it comes.
            let told = view.changes(for: record.subscription, since: base)
            if let known = held {
                // What it was told is gone it does not hold any more, should it come after all.
                let gone = self.gone(known.versions, besides: told, subscription.content, base, in: view)
                for name in gone { held?.versions[name] = nil }
            }
            for id in told { held?.versions[view.visible(id, to: subscription.content)?.name ?? view[id].name] = nil }
            owed = OwedAnswer(
                names: undecided.union(encoded.left), resume: held.map { .resources($0) }, resumedAt: owed.resumedAt)
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
        if held != nil, encoded.isEmpty { self.versions[Int(index)].acked = encoded.version }
        self.settleInto(index, record.subscription, isDelta: isDelta, version: encoded.version, view)
    }

    /// What a client that came back some time ago still holds of what it said: what has a time to live may be over by now,
    /// so that a heartbeat would not do (TTL-02).
    private func outlived(
        _ held: HeldVersions, since: Instant?, _ content: Subscription.Content, _ view: TypeView
    ) -> HeldVersions {
        guard let since = since, since < self.now else { return held }
        var held = held
        for name in held.versions.keys {
            guard let id = view.existingID(of: name), view.visible(id, to: content)?.timeToLive != nil else { continue }
            held.versions[name] = ""
        }
        return held
    }

    /// The names given up beside a wildcard of which only the wildcard's first answer says whether they are gone
    /// (DELTA-06).
    private func undecided(_ owed: Set<NameID>, _ content: Subscription.Content, _ view: TypeView) -> Set<NameID> {
        guard content.wildcard, view.awaitsWildcard else { return [] }
        return owed.filter { !content.contains($0) }
    }

    /// Answers without what must be fetched for this stream first (AGG-23), and has it fetched.
    private func answer(
        _ index: Int32, _ record: TypeStream, _ subscription: Subscription, withholding withheld: Set<NameID>,
        base: Generation, _ owed: OwedAnswer, in view: TypeView
    ) {
        view.renew(withheld)
        self.touchedViews.insert(record.view)
        let isDelta = self.isDelta(index)
        // What is always sent whole has no parts.
        if !isDelta, view.sendsFullSet { return self.wait(index, owed, in: view) }
        var held: HeldVersions?
        if case .resources(let versions)? = owed.resume {
            held = self.outlived(versions, since: owed.resumedAt, subscription.content, view)
        }
        let changed = view.changes(for: record.subscription, since: base)
        let names = changed + owed.names.subtracting(changed).sorted()
        let encoded = self.encode(
            subscription.content, isDelta: isDelta, names: names.filter { !withheld.contains($0) }, base: base,
            in: view, resume: held?.versions, asked: owed.names)
        self.deliver(index, encoded, in: view)
        self.repushEndpoints(after: index, record.stream, of: encoded)
        for id in names where !withheld.contains(id) { held?.versions[view[id].name] = nil }
        let undecided = isDelta ? self.undecided(owed.names, subscription.content, view) : []
        self.typeStreams[Int(index)].base = view.generation
        self.wait(
            index,
            OwedAnswer(
                names: withheld.union(encoded.left).union(undecided), resume: held.map { .resources($0) },
                resumedAt: owed.resumedAt), in: view)
        if !encoded.left.isEmpty { self.fallBehind(index, in: view) }
    }

    private func seesAnything(_ content: Subscription.Content, in view: TypeView) -> Bool {
        content.wildcard || content.names.contains { view.visible($0, to: content) != nil }
    }

    /// Keeps a reconnected client's list of what it holds until the origin has spoken.
    private func wait(_ index: Int32, _ owed: OwedAnswer, in view: TypeView) {
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
        _ request: AnswerRequest, _ subscription: Subscription, held: HeldVersions?, in view: TypeView
    ) -> SplitEncoded {
        let (isDelta, base) = (request.isDelta, request.base)
        // A new client is owed everything, so names it asked for add nothing.
        let isPlain =
            base == 0 && held == nil && request.left == nil
            && request.owed.allSatisfy { subscription.content.contains($0) }
        if isPlain, let full = isDelta ? subscription.full.delta : subscription.full.sotw,
            full.isUsable(at: self.now)
        {
            return SplitEncoded(first: full)
        }
        let key = AnswerKey(idEpoch: view.idEpoch, request: request, held: held?.number)
        let isShared = held == nil || key.held != nil
        if isShared, let memo = self.answerMemos[ObjectIdentifier(view)], memo.key == key,
            memo.generation == view.generation, memo.encoded.isUsable(at: self.now)
        {
            return memo.encoded
        }
        var names = view.changes(for: request.subscription, since: base)
        names += request.owed.subtracting(names).sorted()
        if let left = request.left { names += Set(view.left(since: left)).subtracting(names).sorted() }
        let splits = request.splitting && !isPlain
        // Who has nothing holds nothing of which there could be less to say.
        let asked = isPlain ? [] : request.owed
        let encoded =
            splits
            ? self.encodeSplit(
                subscription.content, isDelta: isDelta, names: names, base: base, in: view,
                resume: held?.versions, asked: asked)
            : SplitEncoded(
                first: self.encode(
                    subscription.content, isDelta: isDelta, names: names, base: base, in: view,
                    resume: held?.versions, asked: asked))
        if isPlain {
            if isDelta {
                view.subscriptions[Int(request.subscription)]?.full.delta = encoded.first
            } else {
                view.subscriptions[Int(request.subscription)]?.full.sotw = encoded.first
            }
        } else if isShared {
            let memo = AnswerMemo(view: view, key: key, generation: view.generation, encoded: encoded)
            self.answerMemos[ObjectIdentifier(view)] = memo
        }
        return encoded
    }

    private func isDelta(_ index: Int32) -> Bool {
        self.links[Int(self.typeStreams[Int(index)].stream)].isDelta
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

/// What makes two answers of one view the same.
struct AnswerRequest: Hashable {
    var subscription: Int32
    var isDelta: Bool
    var base: Generation
    /// Since when a client that is sent everything must hear of what left the wildcard set; nil: never held anything.
    var left: Generation?
    var owed: Set<NameID>
    /// Whether removals go out apart.
    var splitting: Bool
}

struct AnswerKey: Hashable {
    var idEpoch: Int
    var request: AnswerRequest
    /// `HeldVersions.number`; nil: the client said nothing about what it holds.
    var held: UInt64?
}

/// The newest answer of a view to a change of subscription, or to a client that came back: streams of one group tend to
/// make the same change in a row, and to come back together.
struct AnswerMemo {
    /// Held, so that no other view comes to stand at its address.
    let view: TypeView
    var key: AnswerKey
    var generation: Generation
    var encoded: SplitEncoded
}
