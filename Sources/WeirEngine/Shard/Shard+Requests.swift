package import WeirBase
import WeirXDS

import WeirHash

extension Shard {
    /// One message arrived on a stream. Unknown ids are ignored: the stream was refused earlier in the round.
    package func receive(_ id: SlotID, _ bytes: borrowing Span<UInt8>) {
        guard self.isOpen(id) else { return }
        do throws(WireError) {
            if self.links[Int(id.index)].isDelta {
                if let answer = DeltaAcknowledgement(bytes), self.acknowledge(id, answer, in: bytes) { return }
                self.receive(id, try DeltaDiscoveryRequest(decoding: bytes), in: bytes)
            } else {
                if let answer = SotWAcknowledgement(bytes), self.acknowledge(id, answer, in: bytes) { return }
                self.receive(id, try DiscoveryRequest(decoding: bytes), in: bytes)
            }
        } catch {
            self.refuse(id, .invalidArgument, .malformed, "the discovery request cannot be decoded: \(error)")
        }
    }

    // MARK: SotW

    private func receive(_ id: SlotID, _ request: DiscoveryRequest, in bytes: borrowing Span<UInt8>) {
        guard !request.hasLocators else { return self.refuseLocators(id) }
        guard
            let index = self.findOrMake(
                id, typeURL: request.typeURL, node: request.node, names: request.resourceNames, in: bytes)
        else { return }
        guard let view = self.view(of: index) else { return }
        self.counterRows[view.counterRow].requests += 1
        let isFirst = !self.typeStreams[Int(index)].isInitialized
        self.typeStreams[Int(index)].isInitialized = true
        let changed = self.adoptNames(index, request.resourceNames, in: bytes, view)
        if self.watch != nil, isFirst || changed {
            let nonce = Nonce(request.responseNonce, in: bytes) ?? .none
            let names = Self.list("names", request.resourceNames, in: bytes)
            self.show(.request, index, view, nonce: nonce, detail: names)
        }
        if isFirst {
            // A leftover nonce means nothing here (SOTW-19); a leftover version may save sending everything.
            if !request.versionInfo.isEmpty, view.type.isFullSet {
                self.owe(index) { $0.resume = .version(bytes.string(request.versionInfo)) }
            }
            self.makeDue(index)
        } else {
            self.acknowledgeSotW(
                index, request.responseNonce, request.versionInfo, request.errorDetail, in: bytes, view)
            if changed { self.makeDue(index) }
        }
    }

    /// The usual ACK: the names are those of before, and nothing else is said. Returns false where it must be read as any
    /// other request.
    private func acknowledge(_ id: SlotID, _ answer: SotWAcknowledgement, in bytes: borrowing Span<UInt8>) -> Bool {
        let index = self.typeStream(of: id, typeURL: answer.typeURL, in: bytes)
        guard index != TypeStream.none, !self.links[Int(id.index)].isKeyedByRequest,
            self.typeStreams[Int(index)].isInitialized, self.typeStreams[Int(index)].subscription != TypeStream.none,
            self.typeStreams[Int(index)].namesDigest == Self.digest(answer.names, in: bytes),
            let view = self.view(of: index)
        else { return false }
        self.counterRows[view.counterRow].requests += 1
        self.acknowledgeSotW(index, answer.responseNonce, answer.versionInfo, nil, in: bytes, view)
        return true
    }

    private func acknowledgeSotW(
        _ index: Int32, _ responseNonce: ByteRange, _ versionInfo: ByteRange, _ errorDetail: ByteRange?,
        in bytes: borrowing Span<UInt8>, _ view: TypeView
    ) {
        // Without a nonce, or with one that is not the newest, it answers nothing (SOTW-12, SOTW-13).
        guard let nonce = Nonce(responseNonce, in: bytes), nonce != .none,
            nonce == self.typeStreams[Int(index)].nonce
        else { return }
        let wasAwaiting = self.typeStreams[Int(index)].isAwaiting
        self.typeStreams[Int(index)].outstanding = 0
        if let detail = errorDetail {
            self.reject(index, detail, in: bytes, view)
        } else if bytes.equals(versionInfo, text: self.sentVersion(index)) {
            if self.isWatched, wasAwaiting { self.show(.ack, index, view, nonce: nonce) }
            self.accept(index, view, counts: wasAwaiting)
        }
        if wasAwaiting { self.afterAnswer(index, in: view) }
    }

    /// Takes a SotW list of names as the whole wish of the type. Returns whether it changed.
    private func adoptNames(
        _ index: Int32, _ names: [ByteRange], in bytes: borrowing Span<UInt8>, _ view: TypeView
    ) -> Bool {
        let digest = Self.digest(names, in: bytes)
        let record = self.typeStreams[Int(index)]
        if record.subscription != TypeStream.none, record.namesDigest == digest { return false }
        self.typeStreams[Int(index)].namesDigest = digest
        if self.subscribeAsOthers(index, names, in: bytes, isDelta: false, view) {
            self.typeStreams[Int(index)].hasNamed = true
            return true
        }
        if names.count > self.policy.changesAtOnceMax { view.reserve(names: names.count) }
        var wildcard = names.isEmpty && !record.hasNamed && view.type.acceptsLegacyWildcard
        var ids: Set<NameID> = []
        for name in names {
            let text = ResourceName.canonical(bytes.string(name))
            if text == "*" { wildcard = true } else { ids.insert(view.id(of: text)) }
        }
        if !names.isEmpty { self.typeStreams[Int(index)].hasNamed = true }
        var content = Subscription.Content(wildcard: wildcard, names: ids.sorted())
        content.wrapsTimeToLive =
            !content.isNothing && self.streams[self.id(ofStream: index)]?.takesTimeToLive == true
        defer { self.noteWish(index, names, in: bytes, isDelta: false, view) }
        return self.subscribe(index, to: content, view)
    }

    /// A digest of the piece of the message in which the names stand, tags included: equal lists have equal pieces, and
    /// a false difference costs only time.
    private static func digest(_ names: [ByteRange], in bytes: borrowing Span<UInt8>) -> UInt64 {
        guard let first = names.first, let last = names.last else { return 0 }
        return self.digest(ByteRange(offset: first.offset, count: last.end - first.offset), in: bytes)
    }

    private static func digest(_ names: ByteRange?, in bytes: borrowing Span<UInt8>) -> UInt64 {
        guard let names else { return 0 }
        return ContentHash(of: bytes.extracting(names.offset..<names.end)).low | 1
    }

    // MARK: Delta

    private func receive(_ id: SlotID, _ request: DeltaDiscoveryRequest, in bytes: borrowing Span<UInt8>) {
        guard !request.hasLocators else { return self.refuseLocators(id) }
        guard
            let index = self.findOrMake(
                id, typeURL: request.typeURL, node: request.node, names: request.subscribe,
                gone: request.unsubscribe, in: bytes)
        else { return }
        guard let view = self.view(of: index) else { return }
        self.counterRows[view.counterRow].requests += 1
        let isFirst = !self.typeStreams[Int(index)].isInitialized
        self.typeStreams[Int(index)].isInitialized = true
        self.applyDelta(index, request, in: bytes, view, isFirst: isFirst)
        if self.watch != nil, isFirst || !request.subscribe.isEmpty || !request.unsubscribe.isEmpty {
            let wishes = [
                Self.list("subscribes", request.subscribe, in: bytes),
                Self.list("unsubscribes", request.unsubscribe, in: bytes),
            ].filter { !$0.isEmpty }
            let nonce = Nonce(request.responseNonce, in: bytes) ?? .none
            self.show(.request, index, view, nonce: nonce, detail: wishes.joined(separator: "; "))
        }
        if isFirst {
            self.noteInitialVersions(index, request, in: bytes)
        } else {
            self.acknowledgeDelta(index, request.responseNonce, request.errorDetail, in: bytes, view)
        }
    }

    /// Subscribes, then unsubscribes (DELTA-19), whatever the nonce (DELTA-09) and also in a NACK (DELTA-10).
    private func applyDelta(
        _ index: Int32, _ request: DeltaDiscoveryRequest, in bytes: borrowing Span<UInt8>, _ view: TypeView,
        isFirst: Bool
    ) {
        let legacy = isFirst && request.subscribe.isEmpty && view.type.acceptsLegacyWildcard
        guard isFirst || !request.subscribe.isEmpty || !request.unsubscribe.isEmpty else { return }
        let isPlain = isFirst && request.unsubscribe.isEmpty
        if isPlain, self.subscribeAsOthers(index, request.subscribe, in: bytes, isDelta: true, view) {
            return self.makeDue(index)
        }
        let old = self.content(of: index, view)
        // A stream that was sent nothing is owed everything as it is.
        let isOwedAll = isPlain && self.typeStreams[Int(index)].base == 0
        if request.subscribe.count > self.policy.changesAtOnceMax { view.reserve(names: request.subscribe.count) }
        var wildcard = old.wildcard || legacy
        var names = Set(old.names)
        var owed: Set<NameID> = []
        var everything = false
        for range in request.subscribe {
            let name = ResourceName.canonical(bytes.string(range))
            if name == "*" {
                wildcard = true
                everything = !isOwedAll
            } else {
                let id = view.id(of: name)
                names.insert(id)
                if !isOwedAll { owed.insert(id) }
            }
        }
        for range in request.unsubscribe {
            let name = ResourceName.canonical(bytes.string(range))
            if name == "*" {
                wildcard = false
                everything = false
            } else if let id = view.existingID(of: name), names.remove(id) != nil {
                view.forgetUnlessUsed(id)
                self.touchedViews.insert(self.typeStreams[Int(index)].view)
                // With a wildcard the client must be told what becomes of the name (DELTA-06); without, nothing.
                owed.insert(id)
            }
        }
        var content = Subscription.Content(wildcard: wildcard, names: names.sorted())
        content.globs = view.globs(among: names)
        owed.formUnion(view.members(of: view.globs(among: wildcard ? owed : owed.intersection(names))))
        if !wildcard { owed = owed.filter { view.isNamed($0, by: content) } }
        let changed = self.subscribe(index, to: content, view)
        if everything || !owed.isEmpty {
            self.owe(index) {
                $0.names.formUnion(owed)
                $0.everything = $0.everything || everything
            }
        }
        if !wildcard, self.typeStreams[Int(index)].owed != TypeStream.none {
            // An answer that was held back says nothing about names that were given up meanwhile (DELTA-07).
            self.owe(index) { $0.names = $0.names.filter { view.isNamed($0, by: content) } }
        }
        if !isFirst { self.forgetHeld(index, request, in: bytes, content, view) }
        if isFirst || changed || everything || !owed.isEmpty { self.makeDue(index) }
        if isPlain { self.noteWish(index, request.subscribe, in: bytes, isDelta: true, view) }
    }

    /// What a reconnected client said it holds, and then asked for again or gave up, it may have dropped in between: it
    /// is answered like any other wish (DELTA-05, DELTA-06). An empty version stands for what it may hold and is sent all
    /// the same: if it is gone, the client must hear of it.
    private func forgetHeld(
        _ index: Int32, _ request: DeltaDiscoveryRequest, in bytes: borrowing Span<UInt8>,
        _ content: Subscription.Content, _ view: TypeView
    ) {
        let place = self.typeStreams[Int(index)].owed
        guard place != TypeStream.none, case .resources(let said)? = self.owed[place]?.resume else { return }
        var held = said.versions
        // Of which names of its own an alias was, nobody knows yet.
        if view.type == .vhds, !request.subscribe.isEmpty || !request.unsubscribe.isEmpty {
            held = held.mapValues { _ in "" }
        }
        for range in request.subscribe {
            let name = ResourceName.canonical(bytes.string(range))
            // Of the wildcard everything is sent then; what is gone from it is still to be told.
            if name == "*" { held = held.mapValues { _ in "" } } else { held[name] = nil }
            // So it is with the members of a collection.
            for member in Self.members(of: name, among: held, view) { held[member] = "" }
        }
        for range in request.unsubscribe {
            let name = ResourceName.canonical(bytes.string(range))
            if name == "*" {
                held.removeAll()
            } else if held[name] != nil {
                // What becomes of one that is in a collection, the collection's first answer says.
                let isMember = view.existingID(of: name).map { view.isMember($0, of: content) } ?? false
                held[name] = isMember ? "" : nil
            }
            // Beside a wildcard, its first answer says what becomes of the members, which nothing may be known of yet.
            for member in Self.members(of: name, among: held, view) { held[member] = content.wildcard ? "" : nil }
        }
        self.owed[place]?.resume = .resources(HeldVersions(held))
    }

    /// Which of the names that a client holds are members of the glob collection of this name.
    private static func members(of name: String, among held: [String: String], _ view: TypeView) -> [String] {
        guard ResourceName.isGlob(name, type: view.type) else { return [] }
        return held.keys.filter { ResourceName.collection(of: $0, type: view.type) == name }
    }

    /// What a reconnecting client holds counts in the first request of a type only (DELTA-12).
    private func noteInitialVersions(
        _ index: Int32, _ request: DeltaDiscoveryRequest, in bytes: borrowing Span<UInt8>
    ) {
        guard !request.initialVersions.isEmpty else { return }
        let held = self.heldVersions(request, in: bytes)
        self.owe(index) {
            $0.resume = .resources(held)
            $0.resumedAt = self.now
        }
    }

    private func heldVersions(_ request: DeltaDiscoveryRequest, in bytes: borrowing Span<UInt8>) -> HeldVersions {
        let key = HeldMemo.Key(request.initialVersions, in: bytes)
        if self.policy.trustsVersionsOfNames, let known = self.heldMemo[key] { return known }
        var held: [String: String] = [:]
        held.reserveCapacity(request.initialVersions.count)
        for entry in request.initialVersions {
            held[ResourceName.canonical(bytes.string(entry.name))] = bytes.string(entry.version)
        }
        if self.policy.trustsVersionsOfNames { return self.heldMemo.note(held, key) }
        for name in request.subscribe { held[ResourceName.canonical(bytes.string(name))] = nil }
        return HeldVersions(held)
    }

    /// The usual ACK, without what a request could say besides. Returns false where it must be read as any other.
    private func acknowledge(
        _ id: SlotID, _ answer: DeltaAcknowledgement, in bytes: borrowing Span<UInt8>
    ) -> Bool {
        let index = self.typeStream(of: id, typeURL: answer.typeURL, in: bytes)
        guard index != TypeStream.none, !self.links[Int(id.index)].isKeyedByRequest,
            self.typeStreams[Int(index)].isInitialized, let view = self.view(of: index)
        else { return false }
        self.counterRows[view.counterRow].requests += 1
        self.acknowledgeDelta(index, answer.responseNonce, nil, in: bytes, view)
        return true
    }

    private func acknowledgeDelta(
        _ index: Int32, _ responseNonce: ByteRange, _ errorDetail: ByteRange?, in bytes: borrowing Span<UInt8>,
        _ view: TypeView
    ) {
        guard let nonce = Nonce(responseNonce, in: bytes), nonce != .none else { return }
        let age = self.typeStreams[Int(index)].nonce.distance(to: nonce)
        guard age < 64, self.typeStreams[Int(index)].outstanding & (1 << UInt64(age)) != 0 else { return }
        self.typeStreams[Int(index)].outstanding &= ~(1 << UInt64(age))
        if let detail = errorDetail {
            self.reject(index, detail, in: bytes, view, age: age)
        } else {
            let settles = !self.typeStreams[Int(index)].isAwaiting
            if self.isWatched { self.show(.ack, index, view, nonce: nonce) }
            self.accept(index, view, counts: true, isNewest: age == 0 || settles)
        }
        if !self.typeStreams[Int(index)].isAwaiting { self.afterAnswer(index, in: view) }
    }

    // MARK: Both

    private func accept(_ index: Int32, _ view: TypeView, counts: Bool, isNewest: Bool = true) {
        if counts { self.counterRows[view.counterRow].acks += 1 }
        guard isNewest else { return }
        let record = self.typeStreams[Int(index)]
        let held: (version: String, generation: Generation) =
            record.cohort == TypeStream.none
            ? (self.versions[Int(index)].sent, record.base) : view.held(byCohort: record.cohort)
        self.versions[Int(index)].note(acked: held.version, everything: record.isAwaiting ? nil : held.generation)
        if self.typeStreams[Int(index)].isRejected {
            self.typeStreams[Int(index)].isRejected = false
            self.rejections[index] = nil
        }
    }

    private func reject(
        _ index: Int32, _ detail: ByteRange, in bytes: borrowing Span<UInt8>, _ view: TypeView, age: UInt32 = 0
    ) {
        self.counterRows[view.counterRow].nacks += 1
        let status =
            (try? ErrorDetail(decoding: detail, in: bytes))
            ?? ErrorDetail(code: 0, message: "(undecodable error detail)")
        let version = self.sentVersion(index)
        if self.watch != nil {
            let nonce = Nonce(rawValue: self.typeStreams[Int(index)].nonce.rawValue &- age)
            self.show(.nack, index, view, nonce: nonce, detail: status.message)
        }
        self.typeStreams[Int(index)].isRejected = true
        self.rejections[index] = Rejection(version: version, message: status.message, at: self.wall)
        let stream = self.streams[self.id(ofStream: index)]
        self.noteRejected(index, age: age, status.message, view)
        self.events.append(
            .nack(
                node: stream?.identity?.id ?? "", key: self.groups[Int(view.group)]?.key ?? "", type: view.type,
                version: version, push: self.sentPush(index, view), detail: status))
    }

    /// The version of the newest response to a type stream.
    func sentVersion(_ index: Int32) -> String {
        let record = self.typeStreams[Int(index)]
        guard record.cohort != TypeStream.none, let view = self.views[Int(record.view)] else {
            return self.versions[Int(index)].sent
        }
        return view.cohorts[Int(record.cohort)].version
    }

    func content(of index: Int32, _ view: TypeView) -> Subscription.Content {
        let subscription = self.typeStreams[Int(index)].subscription
        guard subscription != TypeStream.none else { return Subscription.Content(wildcard: false, names: []) }
        return view.subscriptions[Int(subscription)]?.content ?? Subscription.Content(wildcard: false, names: [])
    }

    /// Gives a type stream another subscription and notes what it is owed for it. Returns whether it changed.
    func subscribe(_ index: Int32, to content: Subscription.Content, _ view: TypeView) -> Bool {
        let old = self.content(of: index, view)
        let had = self.typeStreams[Int(index)].subscription
        guard content != old else { return false }
        self.detach(index)
        self.versions[Int(index)].acceptedGeneration = 0
        self.typeStreams[Int(index)].subscription = content.isNothing ? TypeStream.none : view.retain(content)
        if had != TypeStream.none { view.release(had) }
        self.touchedViews.insert(self.typeStreams[Int(index)].view)
        if content.isNothing {
            // Whatever it subscribes to next is new to it.
            self.typeStreams[Int(index)].base = 0
            self.dropOwed(index)
            self.caughtUp(index)
            self.settle(index)
        } else if had != TypeStream.none {
            let endsWildcard = old.wildcard && !content.wildcard
            self.forgetPresentedVersion(index, old, content)
            var added = content.names.filter {
                !old.contains($0) || endsWildcard && view.isDifferentByName($0)
            }
            added += view.members(of: content.globs.filter { !old.contains($0) })
            if endsWildcard { added += view.members(of: content.globs).filter { view.isDifferentByName($0) } }
            let everything = content.wildcard && !old.wildcard
            if everything || !added.isEmpty {
                self.owe(index) {
                    $0.names.formUnion(added)
                    $0.everything = $0.everything || everything
                }
            }
        }
        return true
    }

    /// A client that gives something up before it was answered lets go of it, and will want it anew: the version that it
    /// presented says nothing any more of what it holds (SOTW-18).
    private func forgetPresentedVersion(
        _ index: Int32, _ old: Subscription.Content, _ new: Subscription.Content
    ) {
        let place = self.typeStreams[Int(index)].owed
        guard place != TypeStream.none, case .version? = self.owed[place]?.resume else { return }
        guard old.wildcard && !new.wildcard || old.names.contains(where: { !new.contains($0) }) else { return }
        self.owed[place]?.resume = .matchesNothing
    }

    func owe(_ index: Int32, _ change: (inout OwedAnswer) -> Void) {
        if self.typeStreams[Int(index)].owed == TypeStream.none {
            self.typeStreams[Int(index)].owed = self.owed.insert(OwedAnswer())
        }
        let place = self.typeStreams[Int(index)].owed
        guard var answer = self.owed[place], let view = self.view(of: index) else { return }
        let before = answer.names
        change(&answer)
        for id in answer.names.subtracting(before) { view.pin(id) }
        self.owed[place] = answer
        view.unpin(before.subtracting(answer.names))
    }

    func owed(_ record: TypeStream) -> OwedAnswer? {
        record.owed == TypeStream.none ? nil : self.owed[record.owed]
    }

    /// Takes what a type stream is owed; the names stay pinned until `unpin`.
    func takeOwed(_ index: Int32) -> OwedAnswer {
        let place = self.typeStreams[Int(index)].owed
        guard place != TypeStream.none else { return OwedAnswer() }
        let answer = self.owed[place] ?? OwedAnswer()
        self.owed.remove(place)
        self.typeStreams[Int(index)].owed = TypeStream.none
        return answer
    }

    func dropOwed(_ index: Int32) {
        guard self.typeStreams[Int(index)].owed != TypeStream.none else { return }
        self.view(of: index)?.unpin(self.takeOwed(index).names)
    }

    private func refuseLocators(_ id: SlotID) {
        self.refuse(
            id, .invalidArgument, .locators,
            "resource locators with dynamic parameters are not supported; subscribe by resource name")
    }
}
