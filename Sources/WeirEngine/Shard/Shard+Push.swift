import WeirBase
import WeirXDS

/// Content on its way out.
extension Shard {
    /// A new state of one type of a group, from its home. Settled streams get it at once; the others when they answer.
    package func update(group key: String, _ update: TypeUpdate) {
        guard let group = self.groupIndex[key] else { return }
        let views = self.groups[Int(group)]?.views ?? []
        guard let index = views.first(where: { self.views[Int($0)]?.type.typeURL == update.typeURL }),
            let view = self.views[Int(index)]
        else { return }
        // What is new since a state that this worker does not have was on its way when it forgot the type: to take it for
        // everything would show clients a part. A home tells each worker the whole first.
        guard update.isFull || view.generation > 0 else { return }
        if !view.isWanted { self.touchedViews.insert(index) }
        let dirty = view.apply(update)
        let before = self.sends.count
        view.convergenceReported = dirty.isEmpty
        for subscription in dirty { self.push(subscription, in: view) }
        for waiting in view.waiting.sorted() { self.makeDue(waiting) }
        if self.sends.count > before { self.pushes.append(update.receivedAt) }
    }

    /// Brings the settled members of a subscription's cohorts to the newest state.
    private func push(_ subscription: Int32, in view: TypeView) {
        for cohort in view.subscriptions[Int(subscription)]?.cohorts ?? [] {
            guard let encoded = self.step(from: cohort, in: view) else { continue }
            if encoded.bodies.isEmpty {
                // Nothing to say to this variant: its members are at the newest state as they are.
                view.cohorts[Int(cohort)]?.generation = view.generation
                continue
            }
            if !encoded.left.isEmpty {
                // Too much to hand over at once: each is answered by itself, piece by piece.
                for member in view.cohorts[Int(cohort)]?.awaiting ?? [] { self.fallBehind(member, in: view) }
                for member in view.cohorts[Int(cohort)]?.idle ?? [] { self.makeDue(member) }
                continue
            }
            self.pushIdle(cohort, subscription, encoded, in: view)
        }
    }

    private func pushIdle(_ source: Int32, _ subscription: Int32, _ encoded: Encoded, in view: TypeView) {
        guard let cohort = view.cohorts[Int(source)] else { return }
        for member in cohort.awaiting { self.fallBehind(member, in: view) }
        guard !cohort.idle.isEmpty else { return }
        view.cohorts[Int(source)]?.idle.removeAll(keepingCapacity: false)
        let target = view.currentCohort(of: subscription, isDelta: cohort.isDelta, version: encoded.version)
        let first = self.register(encoded.bodies)
        let repush = EndpointRepush(names: encoded.endpointNames)
        var joined: [Int32] = view.cohorts[Int(target)]?.awaiting ?? []
        view.cohorts[Int(target)]?.awaiting = []
        joined.reserveCapacity(joined.count + cohort.idle.count)
        var stuck: [Int32] = []

        // The loop that runs per stream: plain data, no allocation, no reference counting.
        let order = view.type.pushOrder
        for member in cohort.idle {
            let stream = self.typeStreams[Int(member)].stream
            if self.links[Int(stream)].behind > 0, self.overtakes(member, stream, order, source, cohort, in: view) {
                continue
            }
            if self.isStuck(stream) {
                stuck.append(member)
                continue
            }
            self.hand(member, stream, first, encoded.bodies.count)
            self.typeStreams[Int(member)].cohort = target
            self.typeStreams[Int(member)].isInAwaitingList = true
            self.typeStreams[Int(member)].position = Int32(joined.count)
            joined.append(member)
            self.unsettle(member, in: view)
            if !repush.names.isEmpty { self.repushEndpoints(after: member, stream, repush) }
        }
        view.cohorts[Int(target)]?.awaiting = joined
        self.countResponses(of: view, (cohort.idle.count - stuck.count) * encoded.bodies.count)
        self.keepStuck(stuck, in: source, view)
        // Either may be left without members: all were stuck, or none was.
        for cohort in [source, target] where view.cohorts[Int(cohort)]?.isEmpty == true { view.removeCohort(cohort) }
    }

    /// Lets earlier types that are behind go first. Returns true if that made the member itself due for an answer (its
    /// clusters were sent, so its endpoints are owed again): then it gets everything in `flush`.
    private func overtakes(
        _ member: Int32, _ stream: Int32, _ order: Int, _ source: Int32, _ cohort: Cohort, in view: TypeView
    ) -> Bool {
        // It is on no list at this point; say so, in case it is touched meanwhile.
        self.typeStreams[Int(member)].cohort = TypeStream.none
        self.typeStreams[Int(member)].base = cohort.generation
        self.versions[Int(member)].sent = cohort.version
        view.detached += 1
        self.flushBehind(stream: stream, before: order)
        if self.typeStreams[Int(member)].isDue { return true }
        self.typeStreams[Int(member)].cohort = source
        view.detached -= 1
        return false
    }

    /// Members whose bytes are stuck in the transport stay where they are.
    private func keepStuck(_ stuck: [Int32], in cohort: Int32, _ view: TypeView) {
        for (position, member) in stuck.enumerated() {
            self.typeStreams[Int(member)].position = Int32(position)
            self.links[Int(self.typeStreams[Int(member)].stream)].isHolding = true
            self.fallBehind(member, in: view)
        }
        view.cohorts[Int(cohort)]?.idle = stuck
    }

    /// Registers bodies for this round; returns the number of the first.
    func register(_ bodies: [SharedBody]) -> Int32 {
        let first = Int32(self.bodies.count)
        self.bodies.append(contentsOf: bodies)
        return first
    }

    /// Hands the responses of one type to one stream. The only thing that is the stream's own is the nonce.
    @inline(__always)
    private func hand(_ member: Int32, _ stream: Int32, _ first: Int32, _ count: Int) {
        var nonce = self.typeStreams[Int(member)].nonce
        var outstanding = self.typeStreams[Int(member)].outstanding
        for i in 0..<count {
            nonce = nonce.next
            outstanding = outstanding << 1 | 1
            self.sends.append(
                Send(handle: self.typeStreams[Int(member)].handle, body: first + Int32(i), nonce: nonce))
        }
        self.typeStreams[Int(member)].nonce = nonce
        self.typeStreams[Int(member)].outstanding = outstanding
        self.typeStreams[Int(member)].sentAt = self.milliseconds
        self.typeStreams[Int(member)].wasAnswered = true
        self.links[Int(stream)].sentRound = self.round
        self.links[Int(stream)].hasUnsent = true
        self.links[Int(stream)].queued += Int32(truncatingIfNeeded: count)
    }

    private func countResponses(of view: TypeView, _ count: Int) {
        self.counters[view.type, default: TypeCounters()].responses += count
    }

    /// Hands over responses to a type stream that is in no cohort.
    func deliver(_ index: Int32, _ encoded: Encoded, in view: TypeView) {
        guard !encoded.bodies.isEmpty else { return }
        let first = self.register(encoded.bodies)
        self.hand(index, self.typeStreams[Int(index)].stream, first, encoded.bodies.count)
        self.versions[Int(index)].sent = encoded.version
        self.countResponses(of: view, encoded.bodies.count)
        self.unsettle(index, in: view)
    }

    // MARK: From one state to the next

    /// What members of a cohort must be sent to hold the newest state, encoded once; nil if they hold it.
    private func step(from index: Int32, in view: TypeView) -> Encoded? {
        guard let cohort = view.cohorts[Int(index)],
            let subscription = view.subscriptions[Int(cohort.subscription)],
            cohort.generation < subscription.changed
        else { return nil }
        if let step = cohort.step, step.to >= subscription.changed, step.encoded.isUsable(at: self.now) {
            return step.encoded
        }
        let names = view.changes(for: cohort.subscription, since: cohort.generation)
        let encoded = self.encode(
            subscription.content, isDelta: cohort.isDelta, names: names, base: cohort.generation, in: view)
        view.cohorts[Int(index)]?.step = (view.generation, encoded)
        return encoded
    }

    func encode(
        _ content: Subscription.Content, isDelta: Bool, names: [NameID], base: Generation, in view: TypeView,
        resume: [String: String]? = nil, mustSend: Bool = false, asked: Set<NameID> = []
    ) -> Encoded {
        let encoder = ResponseEncoder(
            view: view, identifier: self.policy.controlPlaneIdentifier, maxBytes: self.policy.maxResponseBytes,
            now: self.now)
        let wildcardAnswered = content.wildcard && view.wildcardKnownAt > base
        let refreshed = view.refreshedOnly(names, content, since: base).subtracting(asked)
        let names = view.withoutRefetched(names, refreshed, content)
        let failed = view.errorsOnly(names, content, since: base).subtracting(asked)
        if isDelta {
            guard let held = resume else {
                return encoder.delta(
                    content, names: names, mustSend: wildcardAnswered, refreshed: refreshed, failed: failed)
            }
            let gone = self.gone(held, content, base, in: view)
            return encoder.delta(content, names: names, gone: gone, mustSend: false, skipping: held)
        }
        // There is no heartbeat in SotW that is safe in every type, so who knows times to live gets the whole (TTL-05,
        // TTL-06); to the others it is no news. Nor is an error of what is sent all the same (NAME-14).
        let old = content.wrapsTimeToLive ? failed.subtracting(refreshed) : failed.union(refreshed)
        let news = old.isEmpty ? names : names.filter { !old.contains($0) }
        return encoder.sotw(
            content, names: self.sotwNames(news, content, base, in: view), mustSend: mustSend || wildcardAnswered)
    }

    /// What a SotW client must hear of: what it sees now, and what it saw before. A name that never existed is no news
    /// to it (UP-12, SOTW-10).
    private func sotwNames(
        _ names: [NameID], _ content: Subscription.Content, _ base: Generation, in view: TypeView
    ) -> [NameID] {
        names.filter { id in
            if view.visible(id, to: content) != nil { return true }
            if let known = view.errors[id], known.since > base { return true }
            guard base > 0 else { return false }
            if content.wildcard, view[id].wildChanged > base { return true }
            return content.contains(id) && view[id].namedWasRemoved
        }
    }

    /// Names a reconnecting delta client holds of the wildcard set that are not in it any more.
    private func gone(
        _ held: [String: String], _ content: Subscription.Content, _ base: Generation, in view: TypeView
    ) -> [String] {
        let answered = Set(content.globs.filter { view[$0].namedChanged > base && !view.isUnknown($0) })
        let isWildcardAnswered = content.wildcard && view.wildcardKnownAt > base
        guard isWildcardAnswered || !answered.isEmpty else { return [] }
        return held.keys.filter { name in
            let glob =
                content.globs.isEmpty
                ? nil : ResourceName.collection(of: name, type: view.type).flatMap { view.existingID(of: $0) }
            if let glob = glob, content.globs.contains(glob) {
                guard answered.contains(glob) else { return false }
            } else if !isWildcardAnswered {
                return false
            }
            guard let id = view.existingID(of: name) else { return true }
            return view.visible(id, to: content) == nil && !content.contains(id)
        }.sorted()
    }

    // MARK: Catching up

    /// A type stream answered everything outstanding: it settles, or gets what it missed.
    func afterAnswer(_ index: Int32) {
        self.becomeIdle(index)
        let record = self.typeStreams[Int(index)]
        if record.cohort == TypeStream.none {
            // Detached with an answer due that was held back.
            if record.isBehind { self.makeDue(index) } else if !record.isDue { self.settle(index) }
            return
        }
        if record.isBehind {
            self.catchUp(index)
        } else {
            self.settle(index)
        }
    }

    /// Sends one member of a cohort what it missed, if anything.
    func catchUp(_ index: Int32) {
        let record = self.typeStreams[Int(index)]
        guard record.cohort != TypeStream.none, let view = self.views[Int(record.view)] else { return }
        guard let encoded = self.step(from: record.cohort, in: view), !encoded.bodies.isEmpty else {
            self.caughtUp(index)
            if !record.isAwaiting { self.settle(index) }
            return
        }
        if !encoded.left.isEmpty { return self.makeDue(index) }
        let isDelta = view.cohorts[Int(record.cohort)]?.isDelta ?? false
        self.detach(index)
        self.deliver(index, encoded, in: view)
        self.join(
            index, cohort: view.currentCohort(of: record.subscription, isDelta: isDelta, version: encoded.version),
            in: view)
        self.caughtUp(index)
        if !encoded.endpointNames.isEmpty {
            self.repushEndpoints(after: index, record.stream, EndpointRepush(names: encoded.endpointNames))
        }
    }

    /// Sends a stream what is held back from its types before `order`, in push order and without waiting for ACKs, so
    /// that a later type never overtakes an earlier one (ORD-02, ORD-10). A stream that does not read gets nothing.
    func flushBehind(stream: Int32, before order: Int) {
        var index = self.links[Int(stream)].firstType
        while index != TypeStream.none {
            let next = self.typeStreams[Int(index)].next
            if self.typeStreams[Int(index)].isBehind, let view = self.view(of: index), view.type.pushOrder < order {
                if self.isStuck(stream) {
                    self.links[Int(stream)].isHolding = true
                    return
                }
                if self.typeStreams[Int(index)].cohort == TypeStream.none {
                    self.answer(index, ignoringOutstanding: true)
                } else {
                    self.catchUp(index)
                }
            }
            index = next
        }
    }

    // MARK: Endpoints after clusters

    /// Sends again, unchanged as they may be, the endpoints of clusters that were just sent: Envoy keeps a changed
    /// cluster in warming until EDS answers anew, and may not ask (ORD-05).
    func repushEndpoints(after member: Int32, _ stream: Int32, _ repush: EndpointRepush) {
        var index = self.typeStreams[Int(member)].next
        while index != TypeStream.none {
            let record = self.typeStreams[Int(index)]
            if let view = self.views[Int(record.view)], view.type == .eds {
                if record.subscription != TypeStream.none, record.wasAnswered {
                    self.repush(index, record, stream, repush, in: view)
                }
                return
            }
            index = record.next
        }
    }

    private func repush(
        _ index: Int32, _ record: TypeStream, _ stream: Int32, _ repush: EndpointRepush, in view: TypeView
    ) {
        guard record.cohort != TypeStream.none else {
            self.owe(index) { $0.names.formUnion(repush.names.compactMap { view.existingID(of: $0) }) }
            self.makeDue(index)
            return
        }
        let isDelta = view.cohorts[Int(record.cohort)]?.isDelta ?? false
        let key = EndpointRepush.Key(view: record.view, subscription: record.subscription, isDelta: isDelta)
        let first: (Int32, Int)
        if let known = repush.encoded[key] {
            first = known
        } else {
            let content = self.content(of: index, view)
            let ids = repush.names.compactMap { view.existingID(of: $0) }.filter {
                view.visible($0, to: content) != nil
            }
            let encoded = self.encode(content, isDelta: isDelta, names: ids, base: view.generation, in: view)
            first = encoded.left.isEmpty ? (self.register(encoded.bodies), encoded.bodies.count) : (0, -1)
            repush.encoded[key] = first
        }
        guard first.1 != 0 else { return }
        if first.1 < 0 || self.isFull(stream) {
            self.owe(index) { $0.names.formUnion(repush.names.compactMap { view.existingID(of: $0) }) }
            return self.makeDue(index)
        }
        if !record.isInAwaitingList {
            // It has something outstanding again.
            self.moveToAwaiting(index, in: view)
        }
        self.hand(index, record.stream, first.0, first.1)
        self.countResponses(of: view, first.1)
        self.unsettle(index, in: view)
    }

    private func moveToAwaiting(_ index: Int32, in view: TypeView) {
        let cohort = self.typeStreams[Int(index)].cohort
        self.leaveList(self.typeStreams[Int(index)], in: view)
        self.typeStreams[Int(index)].isInAwaitingList = true
        self.typeStreams[Int(index)].position = Int32(view.cohorts[Int(cohort)]?.awaiting.count ?? 0)
        view.cohorts[Int(cohort)]?.awaiting.append(index)
    }
}

/// The endpoints to send again after one CDS push, encoded once per subscription that wants some of them.
final class EndpointRepush {
    struct Key: Hashable {
        var view: Int32
        var subscription: Int32
        var isDelta: Bool
    }

    let names: [String]
    /// Bodies of this round: the first and how many.
    var encoded: [Key: (Int32, Int)] = [:]

    init(names: [String]) { self.names = Set(names).sorted() }
}
