import WeirBase
import WeirXDS

/// Content on its way out.
extension Shard {
    /// A new state of one type of a group, from its home. Settled streams get it at once; the others when they answer.
    package func update(group key: String, _ update: TypeUpdate) {
        let before = self.sends.count
        defer { self.noteTaken(key, update, responses: self.sends.count - before) }
        guard let index = self.mainView(key, update.typeURL), let view = self.views[Int(index)] else { return }
        if view.staging.first != TypeStream.none { return self.update(index, view, staged: update) }
        if update.audience == .all || update.audience == .rest { self.update(index, view, update) }
    }

    /// The same for one view.
    func update(_ index: Int32, _ view: TypeView, _ update: TypeUpdate) {
        // What is new since a state that this worker does not have was on its way when it forgot the type: to take it for
        // everything would show clients a part. A home tells each worker the whole first.
        guard update.isFull || view.generation > 0 else { return }
        if !view.isWanted { self.touchedViews.insert(index) }
        let dirty = view.takeApplied(update) ?? view.apply(update)
        view.track.arrived(update, at: view.generation)
        view.forgetGone { self.oldestBase(of: index) }
        if !view.retired.isEmpty { self.retiring.insert(index) }
        if !view.fresh.isEmpty { self.freshViews.append(index) }
        let before = self.sends.count
        view.convergenceReported = dirty.isEmpty
        for subscription in dirty { self.push(subscription, in: view) }
        for waiting in view.waiting.sorted() { self.makeDue(waiting) }
        if self.sends.count > before { self.pushes.append(update.receivedAt) }
    }

    /// What, of the type streams of a view that are in no cohort, the one furthest behind has been sent; nil if none was
    /// sent anything: those hold nothing of which they would have to hear that it is gone, or say what they hold.
    private func oldestBase(of view: Int32) -> Generation? {
        var oldest: Generation?
        for record in self.typeStreams
        where record.view == view && record.stream != TypeStream.none && record.cohort == TypeStream.none
            && record.subscription != TypeStream.none && record.base > 0
        {
            oldest = min(oldest ?? .max, record.base)
        }
        return oldest
    }

    /// Brings the settled members of a subscription's cohorts to the newest state.
    private func push(_ subscription: Int32, in view: TypeView) {
        for cohort in view.subscriptions[Int(subscription)]?.cohorts ?? [] {
            guard let encoded = self.step(from: cohort, in: view) else { continue }
            if encoded.bodies.isEmpty {
                // Nothing to say to this variant: its members are at the newest state as they are.
                view.cohorts[Int(cohort)].generation = view.generation
                continue
            }
            if !encoded.left.isEmpty {
                // Too much to hand over at once: each is answered by itself, piece by piece.
                for member in view.cohorts[Int(cohort)].awaiting { self.fallBehind(member, in: view) }
                for member in view.cohorts[Int(cohort)].idle { self.makeDue(member) }
                continue
            }
            self.pushIdle(cohort, subscription, encoded, in: view)
        }
    }

    private func pushIdle(_ source: Int32, _ subscription: Int32, _ encoded: Encoded, in view: TypeView) {
        let cohort = view.cohorts[Int(source)]
        for member in cohort.awaiting { self.fallBehind(member, in: view) }
        guard !cohort.idle.isEmpty else { return }
        view.cohorts[Int(source)].idle.removeAll(keepingCapacity: false)
        let target = view.currentCohort(of: subscription, isDelta: cohort.isDelta, version: encoded.version)
        let first = self.register(encoded.bodies)
        let repush = encoded.endpointNames.map { EndpointRepush(names: $0) }
        var joined: [Int32] = view.cohorts[Int(target)].awaiting
        view.cohorts[Int(target)].awaiting = []
        joined.reserveCapacity(joined.count + cohort.idle.count)
        var kept: [Int32] = []
        let before = joined.count

        // The loop that runs per stream: plain data, no allocation, no reference counting.
        for member in cohort.idle {
            let stream = self.typeStreams[Int(member)].stream
            if self.links[Int(stream)].pending > 0 || self.isStuck(stream) {
                kept.append(member)
                continue
            }
            self.hand(member, stream, first, encoded.bodies.count)
            self.typeStreams[Int(member)].cohort = target
            self.typeStreams[Int(member)].isInAwaitingList = true
            self.typeStreams[Int(member)].position = Int32(joined.count)
            joined.append(member)
            self.unsettle(member, in: view)
            if let repush { self.repushEndpoints(after: member, stream, repush) }
        }
        view.cohorts[Int(target)].awaiting = joined
        if self.watch != nil { self.showResponses(joined[before...], count: encoded.bodies.count, in: view) }
        self.countResponses(of: view, (cohort.idle.count - kept.count) * encoded.bodies.count)
        self.keep(kept, in: source, view)
        // Either may be left without members: all were kept, or none was.
        for cohort in [source, target] where view.cohorts[Int(cohort)].isEmpty { view.removeCohort(cohort) }
    }

    /// Members that cannot be sent this by itself stay where they are. Those whose bytes are stuck in the transport wait
    /// until these have left; those from whose stream something else is held back get all of it in `flush`, so that no
    /// type overtakes what came before it (ORD-02).
    private func keep(_ kept: [Int32], in cohort: Int32, _ view: TypeView) {
        for (position, member) in kept.enumerated() {
            self.typeStreams[Int(member)].position = Int32(position)
            self.fallBehind(member, in: view)
            self.move(stream: self.typeStreams[Int(member)].stream)
        }
        view.cohorts[Int(cohort)].idle = kept
    }

    /// Registers bodies for this round; returns the number of the first.
    func register(_ bodies: [SharedBody]) -> Int32 {
        let first = Int32(self.bodies.count)
        self.bodies.append(contentsOf: bodies)
        return first
    }

    /// Hands the responses of one type to one stream. The only thing that is the stream's own is the nonce.
    @inline(__always)
    func hand(_ member: Int32, _ stream: Int32, _ first: Int32, _ count: Int) {
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

    func countResponses(of view: TypeView, _ count: Int) {
        self.counterRows[view.counterRow].responses += count
    }

    /// Hands over responses to a type stream that is in no cohort.
    func deliver(_ index: Int32, _ encoded: Encoded, in view: TypeView) {
        guard !encoded.bodies.isEmpty else { return }
        let first = self.register(encoded.bodies)
        self.hand(index, self.typeStreams[Int(index)].stream, first, encoded.bodies.count)
        self.versions[Int(index)].sent = encoded.version
        if self.watch != nil { self.showResponses(CollectionOfOne(index), count: encoded.bodies.count, in: view) }
        self.countResponses(of: view, encoded.bodies.count)
        self.unsettle(index, in: view)
    }

    // MARK: From one state to the next

    /// A cohort whose members do not hold the newest state of what they subscribe to; nil if they do.
    private func behind(_ index: Int32, in view: TypeView) -> (Cohort, Subscription)? {
        let cohort = view.cohorts[Int(index)]
        guard let subscription = view.subscriptions[Int(cohort.subscription)], cohort.generation < subscription.changed
        else { return nil }
        return (cohort, subscription)
    }

    /// What members of a cohort must be sent to hold the newest state, encoded once; nil if they hold it.
    private func step(from index: Int32, in view: TypeView) -> Encoded? {
        guard let (cohort, subscription) = self.behind(index, in: view) else { return nil }
        if let step = cohort.step, step.to >= subscription.changed, step.encoded.isUsable(at: self.now) {
            return step.encoded
        }
        let names = view.changes(for: cohort.subscription, since: cohort.generation)
        let encoded = self.encode(
            subscription.content, isDelta: cohort.isDelta, names: names, base: cohort.generation, in: view)
        view.cohorts[Int(index)].step = (view.generation, encoded)
        return encoded
    }

    /// The same for members whose removals go out later.
    private func split(from index: Int32, in view: TypeView) -> SplitEncoded? {
        guard let (cohort, subscription) = self.behind(index, in: view) else { return nil }
        if let split = cohort.split, split.to >= subscription.changed, split.encoded.isUsable(at: self.now) {
            return split.encoded
        }
        let names = view.changes(for: cohort.subscription, since: cohort.generation)
        let encoded = self.encodeSplit(
            subscription.content, isDelta: cohort.isDelta, names: names, base: cohort.generation, in: view)
        view.cohorts[Int(index)].split = (view.generation, encoded)
        return encoded
    }

    /// What comes and what changes; then, apart from it, what goes.
    func encodeSplit(
        _ content: Subscription.Content, isDelta: Bool, names: [NameID], base: Generation, in view: TypeView,
        resume: [String: String]? = nil, asked: Set<NameID> = []
    ) -> SplitEncoded {
        let leaving = names.filter { view.visible($0, to: content) == nil }
        guard !leaving.isEmpty || resume != nil else {
            return SplitEncoded(
                first: self.encode(content, isDelta: isDelta, names: names, base: base, in: view, asked: asked))
        }
        let encoded = self.encodeApart(
            content, isDelta: isDelta, names: names, leaving: leaving, base: base, in: view, resume: resume,
            asked: asked)
        self.noteSize(of: encoded.first, in: view)
        self.noteSize(of: encoded.late, in: view)
        return encoded
    }

    private func encodeApart(
        _ content: Subscription.Content, isDelta: Bool, names: [NameID], leaving: [NameID], base: Generation,
        in view: TypeView, resume: [String: String]?, asked: Set<NameID>
    ) -> SplitEncoded {
        let staying = names.filter { view.visible($0, to: content) != nil }
        let encoder = self.encoder(view)
        if isDelta {
            let gone = resume.map { self.gone($0, besides: names, content, base, in: view) } ?? []
            let mustSend = resume == nil && content.wildcard && view.wildcardKnownAt > base
            let refreshed = view.refreshedOnly(staying, content, since: base).subtracting(asked)
            let failed = view.errorsOnly(names, content, since: base).subtracting(asked)
            var first = encoder.delta(
                content, names: staying, mustSend: mustSend, skipping: resume ?? [:],
                refreshed: resume == nil ? refreshed : [], failed: resume == nil ? failed : [])
            if !first.left.isEmpty, resume == nil {
                // What goes must not overtake what did not fit.
                first.left.formUnion(leaving)
                return SplitEncoded(first: first)
            }
            return SplitEncoded(
                first: first, late: encoder.delta(content, names: leaving, gone: gone, mustSend: false, failed: failed))
        }
        let retired = view.retired(content, since: base)
        let whole = self.encode(content, isDelta: false, names: names, base: base, in: view, asked: asked)
        guard view.sendsFullSet, !retired.isEmpty, !whole.bodies.isEmpty else { return SplitEncoded(first: whole) }
        return SplitEncoded(
            first: encoder.sotw(content, names: staying, retired: retired, mustSend: false),
            late: Encoded(
                bodies: whole.bodies, version: whole.version, endpointNames: nil, usableUntil: whole.usableUntil))
    }

    private func encoder(_ view: TypeView) -> ResponseEncoder {
        ResponseEncoder(
            view: view, identifier: self.policy.controlPlaneIdentifier, maxBytes: self.policy.maxResponseBytes,
            now: self.now)
    }

    func encode(
        _ content: Subscription.Content, isDelta: Bool, names: [NameID], base: Generation, in view: TypeView,
        resume: [String: String]? = nil, mustSend: Bool = false, asked: Set<NameID> = []
    ) -> Encoded {
        let encoder = self.encoder(view)
        let wildcardAnswered = content.wildcard && view.wildcardKnownAt > base
        let encoded: Encoded
        let refreshed = view.refreshedOnly(names, content, since: base).subtracting(asked)
        let failed = view.errorsOnly(names, content, since: base).subtracting(asked)
        if isDelta, let held = resume {
            let gone = self.gone(held, besides: names, content, base, in: view)
            encoded = encoder.delta(content, names: names, gone: gone, mustSend: false, skipping: held)
        } else if isDelta {
            encoded = encoder.delta(
                content, names: names, mustSend: wildcardAnswered, refreshed: refreshed, failed: failed)
        } else {
            // There is no heartbeat in SotW that is safe in every type, so who knows times to live gets the whole
            // (TTL-05, TTL-06); to the others it is no news. Nor is an error of what is sent all the same (NAME-14).
            let known = failed.filter { view.visible($0, to: content) != nil }
            let old = content.wrapsTimeToLive ? known.subtracting(refreshed) : known.union(refreshed)
            let news = old.isEmpty ? names : names.filter { !old.contains($0) }
            encoded = encoder.sotw(
                content, names: self.sotwNames(news, content, base, in: view), mustSend: mustSend || wildcardAnswered)
        }
        self.noteSize(of: encoded, in: view)
        return encoded
    }

    /// A whole SotW set, or one large resource, cannot be split. Clients of gRPC refuse what is above 4 MiB for ever,
    /// unless they are told otherwise, so that it must be heard of (WIRE-06).
    private func noteSize(of encoded: Encoded, in view: TypeView) {
        for body in encoded.bodies where body.bytes.count > self.policy.maxResponseBytes {
            self.counterRows[view.counterRow].oversized += 1
            guard !view.saidOversized else { continue }
            view.saidOversized = true
            self.events.append(
                .oversized(
                    key: self.groups[Int(view.group)]?.key ?? "", type: view.type, bytes: body.bytes.count))
        }
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

    /// Names a reconnecting delta client holds of the wildcard set, of a collection or by an alias that are not there any
    /// more.
    func gone(
        _ held: [String: String], besides names: [NameID], _ content: Subscription.Content, _ base: Generation,
        in view: TypeView
    ) -> [String] {
        let listed = Set(names)
        let answered = Set(content.globs.filter { view[$0].namedChanged > base && !view.isUnknown($0) })
        let isWildcardAnswered = content.wildcard && view.wildcardKnownAt > base
        let present = self.ownNames(content, in: view)
        guard isWildcardAnswered || !answered.isEmpty else {
            return self.goneByAlias(held, besides: present, content, in: view)
        }
        return held.keys.filter { name in
            if present.contains(name) { return false }
            let glob =
                content.globs.isEmpty
                ? nil : ResourceName.collection(of: name, type: view.type).flatMap { view.existingID(of: $0) }
            if let glob = glob, content.globs.contains(glob) {
                guard answered.contains(glob) else { return false }
            } else if !isWildcardAnswered {
                return false
            }
            guard let id = view.existingID(of: name) else { return true }
            return view.visible(id, to: content) == nil && !content.contains(id) && !listed.contains(id)
        }.sorted()
    }

    // MARK: Catching up

    /// A type stream answered everything outstanding: it settles, or its stream gets what it missed.
    func afterAnswer(_ index: Int32, in view: TypeView) {
        self.becomeIdle(index, in: view)
        let record = self.typeStreams[Int(index)]
        if record.isBehind {
            self.move(stream: record.stream)
        } else if !record.isDue {
            self.settle(index, in: view)
            self.noteTried(index, view)
        }
    }

    /// Sends one member of a cohort what it missed, if anything; the removals only later with `splitting`.
    func catchUp(_ index: Int32, splitting: Bool) {
        let record = self.typeStreams[Int(index)]
        guard record.cohort != TypeStream.none, let view = self.views[Int(record.view)] else { return }
        let split =
            splitting
            ? self.split(from: record.cohort, in: view)
            : self.step(from: record.cohort, in: view).map { SplitEncoded(first: $0) }
        self.caughtUp(index)
        guard let encoded = split, !encoded.isEmpty else {
            if !record.isAwaiting { self.settle(index) }
            return
        }
        if !encoded.left.isEmpty { return self.makeDue(index) }
        let isDelta = view.cohorts[Int(record.cohort)].isDelta
        self.detach(index)
        self.deliver(index, encoded.first, in: view)
        self.join(
            index, cohort: view.currentCohort(of: record.subscription, isDelta: isDelta, version: encoded.version),
            in: view)
        self.handLater(index, encoded.late)
        self.repushEndpoints(after: index, record.stream, of: encoded.first)
    }

    /// Removals go out when the other types of the stream have had their turn (ORD-03).
    func handLater(_ index: Int32, _ encoded: Encoded) {
        if !encoded.bodies.isEmpty { self.late.append((index, encoded)) }
    }

    func handLate() {
        for (index, encoded) in self.late {
            let record = self.typeStreams[Int(index)]
            guard let view = self.views[Int(record.view)] else { continue }
            let first = self.register(encoded.bodies)
            if record.cohort != TypeStream.none { self.moveToAwaiting(index, in: view) }
            self.hand(index, record.stream, first, encoded.bodies.count)
            if self.watch != nil { self.showResponses(CollectionOfOne(index), count: encoded.bodies.count, in: view) }
            self.countResponses(of: view, encoded.bodies.count)
            self.unsettle(index, in: view)
        }
        self.late.removeAll(keepingCapacity: true)
    }

    // MARK: Endpoints after clusters

    func repushEndpoints(after member: Int32, _ stream: Int32, of encoded: Encoded) {
        guard let names = encoded.endpointNames, !encoded.bodies.isEmpty, self.hasEndpoints(after: member) else {
            return
        }
        self.repushEndpoints(after: member, stream, self.endpointRepush(of: names))
    }

    /// Whether the stream has endpoints at all: until then their names are of no use.
    private func hasEndpoints(after member: Int32) -> Bool {
        var index = self.typeStreams[Int(member)].next
        while index != TypeStream.none {
            let record = self.typeStreams[Int(index)]
            if self.views[Int(record.view)]?.type == .eds { return true }
            index = record.next
        }
        return false
    }

    /// One for all streams that are answered the same in this round.
    private func endpointRepush(of names: EndpointNames) -> EndpointRepush {
        if let memo = self.repushMemo, memo.round == self.round, memo.repush.names === names { return memo.repush }
        let repush = EndpointRepush(names: names)
        self.repushMemo = (self.round, repush)
        return repush
    }

    /// Sends again, unchanged as they may be, the endpoints of clusters that were just sent: Envoy keeps a changed
    /// cluster in warming until EDS answers anew, and may not ask (ORD-05).
    func repushEndpoints(after member: Int32, _ stream: Int32, _ repush: EndpointRepush) {
        var index = self.typeStreams[Int(member)].next
        while index != TypeStream.none {
            let record = self.typeStreams[Int(index)]
            if let view = self.views[Int(record.view)], view.type == .eds {
                if record.subscription != TypeStream.none { self.repush(index, record, stream, repush, in: view) }
                return
            }
            index = record.next
        }
    }

    private func repush(
        _ index: Int32, _ record: TypeStream, _ stream: Int32, _ repush: EndpointRepush, in view: TypeView
    ) {
        guard record.cohort != TypeStream.none, !record.isEnlisted else {
            return self.oweEndpoints(index, record, repush, in: view)
        }
        let isDelta = view.cohorts[Int(record.cohort)].isDelta
        let key = EndpointRepush.Key(
            view: record.view, generation: view.generation, subscription: record.subscription, isDelta: isDelta)
        let first: (Int32, Int)
        if let known = repush.encoded[key] {
            first = known
        } else {
            let content = self.content(of: index, view)
            let ids = repush.names.list.compactMap { view.existingID(of: $0) }.filter {
                view.visible($0, to: content) != nil
            }
            let encoded = self.encode(content, isDelta: isDelta, names: ids, base: view.generation, in: view)
            first = encoded.left.isEmpty ? (self.register(encoded.bodies), encoded.bodies.count) : (0, -1)
            repush.encoded[key] = first
        }
        guard first.1 != 0 else { return }
        if first.1 < 0 || self.isFull(stream) {
            self.owe(index) { $0.names.formUnion(repush.names.list.compactMap { view.existingID(of: $0) }) }
            return self.makeDue(index)
        }
        self.moveToAwaiting(index, in: view)
        self.hand(index, record.stream, first.0, first.1)
        if self.watch != nil { self.showResponses(CollectionOfOne(index), count: first.1, in: view) }
        self.countResponses(of: view, first.1)
        self.unsettle(index, in: view)
    }

    /// The same for a stream that is to be sent something of the type anyhow, or waits to be.
    private func oweEndpoints(_ index: Int32, _ record: TypeStream, _ repush: EndpointRepush, in view: TypeView) {
        // A first answer to one who holds nothing has all of them.
        guard record.wasAnswered || self.owed(record)?.resume != nil else { return }
        let content = self.content(of: index, view)
        let ids = repush.names.list.compactMap { view.existingID(of: $0) }.filter {
            content.contains($0) || view.visible($0, to: content) != nil
        }
        var resumes = false
        self.owe(index) { owed in
            guard case .resources(var held)? = owed.resume else { return }
            // That the client holds them from an earlier stream does not help the cluster it was just sent. Of those that
            // are not known yet, too: they may come unchanged.
            for name in repush.names.list where held.versions[name] != nil { held.versions[name] = "" }
            owed.resume = .resources(held)
            resumes = true
        }
        guard record.wasAnswered || resumes, !ids.isEmpty else { return }
        self.owe(index) { $0.names.formUnion(ids) }
        self.makeDue(index)
    }

    /// A member of a cohort has something outstanding again.
    func moveToAwaiting(_ index: Int32, in view: TypeView) {
        guard !self.typeStreams[Int(index)].isInAwaitingList else { return }
        let cohort = self.typeStreams[Int(index)].cohort
        self.leaveList(self.typeStreams[Int(index)], in: view)
        self.typeStreams[Int(index)].isInAwaitingList = true
        self.typeStreams[Int(index)].position = Int32(view.cohorts[Int(cohort)].awaiting.count)
        view.cohorts[Int(cohort)].awaiting.append(index)
    }
}

/// The endpoints to send again after one CDS push, encoded once per subscription that wants some of them.
final class EndpointRepush {
    struct Key: Hashable {
        var view: Int32
        var generation: Generation
        var subscription: Int32
        var isDelta: Bool
    }

    let names: EndpointNames
    /// Bodies of this round: the first and how many.
    var encoded: [Key: (Int32, Int)] = [:]

    init(names: EndpointNames) { self.names = names }
}

/// The EDS names of the clusters in a response. Put in order when somebody asks: for many clusters that costs more than to
/// encode them, and a stream that has no endpoints yet does not.
final class EndpointNames {
    private let clusters: [Resource]
    /// Each once, in order.
    private(set) lazy var list: [String] = Set(self.clusters.compactMap(\.endpointsName)).sorted()

    /// Nil if none of them gets its endpoints by EDS.
    init?(of clusters: [Resource]) {
        guard !clusters.isEmpty else { return nil }
        self.clusters = clusters
    }
}
