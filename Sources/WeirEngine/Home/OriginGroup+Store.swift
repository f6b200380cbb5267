import WeirBase
import WeirXDS

/// What a group hands to the store, and what it takes over from there when it is opened.
///
/// What comes from the store is *stale* until the control plane has confirmed it: it is in the group's truth at once, so
/// that the control plane is asked for the difference only, but clients are shown it when the control plane has spoken
/// of the type, or cannot be reached, or has said nothing for a moment. So a living control plane's newer state is the
/// first that clients see.
extension OriginGroup {
    // MARK: To the store

    /// Whether a type outlives the process. Files are at hand anyway.
    func isStored(_ type: XDSType) -> Bool {
        self.policy.isStored && self.variant != nil && (type != .sds || self.policy.storesSecrets)
    }

    /// Remembers changes that were just published. No copies: the list is the one that the workers were sent.
    func noteUnstored(
        _ changes: [ResourceChange], _ type: OriginType, _ lane: Lane, fromUpstream: Bool, isWhole: Bool
    ) {
        guard self.isStored(type.type), !type.owesStore else { return }
        // What nobody wants any more stays as it was last known: for a wildcard until the next, for names until some
        // client gives one up while others stay, so that names that come and go do not pile up.
        if case .unknown? = changes.first?.presence, changes.first?.isRefresh == false,
            lane == .wildcard || !self.hasMembers
        {
            return
        }
        let feed = lane == .wildcard ? type.wildcard : type.named
        let url = type.type.typeURL
        if isWhole { self.unstored[url, default: StoreDraft()].replacesWildcard = true }
        self.unstored[url, default: StoreDraft()].batches.append(
            StoreUpdate.Batch(changes: changes, source: fromUpstream ? feed?.acceptedFrom ?? "" : ""))
    }

    /// Notes that versions may have changed, if nothing else.
    func noteHead(_ type: OriginType) {
        guard self.isStored(type.type), !type.owesStore, self.unstored[type.type.typeURL] == nil else { return }
        guard self.storedHeads[type.type.typeURL] != self.head(of: type) else { return }
        self.unstored[type.type.typeURL] = StoreDraft()
    }

    /// Whether `takeStoreUpdates` has something to give.
    package var hasStoreUpdates: Bool { !self.unstored.isEmpty }

    /// What changed since the last call.
    package func takeStoreUpdates() -> [StoreUpdate] {
        let updates = self.unstored.map { url, draft in
            let head = self.types[url].map { draft.head ?? self.head(of: $0) }
            self.storedHeads[url] = head
            return StoreUpdate(
                typeURL: url, head: head, replacesWildcard: draft.replacesWildcard, isEverything: draft.isEverything,
                batches: draft.batches)
        }
        self.unstored.removeAll()
        return updates
    }

    /// Everything that is known, where changes on their way to the store were lost.
    package func offerEverythingToStore() {
        for type in self.types.values where !type.owesStore { self.offerToStore(type) }
    }

    private func offerToStore(_ type: OriginType) {
        guard self.isStored(type.type) else { return }
        var draft = StoreDraft()
        for lane in Lane.allCases {
            let feed = lane == .wildcard ? type.wildcard : type.named
            var changes = type.presentNames(in: lane).compactMap { name in
                type.resource(name, in: lane).map {
                    ResourceChange(lane: lane, name: name, presence: .present($0), collection: feed?.members[name])
                }
            }
            if lane == .named {
                for (name, presence) in type.byName {
                    if case .present = presence { continue }
                    changes.append(ResourceChange(lane: lane, name: name, presence: presence))
                }
            }
            let isConfirmed = { (change: ResourceChange) in
                change.presence.resource.map { feed?.confirmed.contains($0.name) == true } ?? false
            }
            draft.batches.append(
                StoreUpdate.Batch(changes: changes.filter(isConfirmed), source: feed?.acceptedFrom ?? ""))
            draft.batches.append(StoreUpdate.Batch(changes: changes.filter { !isConfirmed($0) }, source: ""))
        }
        draft.isEverything = true
        draft.replacesWildcard = type.wildcardKnown
        self.unstored[type.type.typeURL] = draft
    }

    /// What came from a sibling relay is stored when the control plane has confirmed the last of it; what was kept from
    /// clients, when they get it.
    func settleWithStore(_ type: OriginType) {
        guard type.owesStore, !type.gate.isClosed else { return }
        let isOpen = type.feeds.contains { feed in
            feed.isBorrowed || feed.unconfirmed != nil || feed.unanswered.keys.contains { type.byName[$0] != nil }
        }
        guard !isOpen else { return }
        type.owesStore = false
        self.offerToStore(type)
    }

    func head(of type: OriginType) -> StoredHead {
        StoredHead(
            variant: self.variant ?? .delta, wildcard: type.wildcardKnown ? self.lane(type, .wildcard) : nil,
            named: type.named == nil ? nil : self.lane(type, .named), equalVersions: type.equalVersions,
            updated: type.updated)
    }

    private func lane(_ type: OriginType, _ lane: Lane) -> StoredLane {
        let feed = lane == .wildcard ? type.wildcard : type.named
        let version = type.version(of: lane)
        return StoredLane(
            version: version.text, isDerived: version.isDerived, acceptedVersion: feed?.acceptedVersion ?? "",
            acceptedFrom: feed?.acceptedFrom ?? "")
    }

    // MARK: From the store

    /// Takes over what was stored of the group. Only right after it was made: what is in memory is always newer.
    package func restore(_ types: [RestoredType]) {
        guard self.types.isEmpty, let variant = self.variant else { return }
        // What was spoken last decides which versions clients know; a server that has learned more is asked anyway.
        if let last = types.first?.head.variant, last != variant { self.setVariant(last) }
        for type in types {
            self.restored[type.typeURL] = RestoredContent(type)
            self.storedHeads[type.typeURL] = type.head
        }
    }

    /// Whether something restored has not been confirmed by the control plane yet.
    package var isStale: Bool { self.types.values.contains { $0.isStale } }

    /// Answers new wishes with what was stored, where nothing newer is known.
    func fillFromRestored(_ change: InterestChange, _ type: OriginType, _ now: Instant, _ wall: WallTime) {
        guard var content = self.restored[change.typeURL] else { return }
        if type.generation == 0, self.origin.lastError.isEmpty {
            type.heldBackUntil = now + self.policy.restoreDelay
            self.schedule(now + self.policy.restoreDelay)
        }
        if change.wildcard == true, !type.wildcardKnown, let lane = content.head.wildcard, let feed = type.wildcard {
            type.wildcardKnown = true
            feed.acceptedVersion = lane.acceptedVersion
            self.take(content.takeWildcard(), lane, content.head, feed, type, now, wall)
        }
        if let lane = content.head.named, let feed = type.named {
            let wanted = change.added.filter { type.byName[$0] == nil }
            self.take(content.takeNames(wanted, globs: feed.globs), lane, content.head, feed, type, now, wall)
        }
        self.restored[change.typeURL] = content
        if type.generation == 0 { type.heldBackUntil = nil }
        self.resumeHold(content.head.hold, type, now, wall)
    }

    private func take(
        _ entries: [StoredEntry], _ lane: StoredLane, _ head: StoredHead, _ feed: Feed, _ type: OriginType,
        _ now: Instant, _ wall: WallTime
    ) {
        guard !entries.isEmpty || feed.lane == .wildcard else { return }
        if feed.acceptedFrom.isEmpty { feed.acceptedFrom = lane.acceptedFrom }
        var changes: [ResourceChange] = []
        for entry in entries {
            changes.append(
                ResourceChange(
                    lane: feed.lane, name: entry.name, presence: entry.presence, collection: entry.collection))
            if let collection = entry.collection { feed.members[entry.name] = collection }
            guard let resource = entry.presence.resource else { continue }
            if entry.source == feed.acceptedFrom { feed.confirmed.insert(resource.name) }
            if feed.lane == .named {
                feed.aliases.note(resource, keys: feed.aliases.keys(of: resource.name) + [entry.name])
            }
        }
        let effective = changes.filter { type.apply($0) }
        type.isStale = true
        type.advance(
            upstreamVersion: lane.isDerived ? nil : lane.version, lane: feed.lane, contentChanged: true,
            wall: head.updated ?? wall)
        for version in head.equalVersions { _ = type.noteEqual(version) }
        self.tell(type, effective, now, wall)
        self.scheduleExpiries(type)
    }

    /// The control plane has spoken of a type: nothing restored counts any more that is not in use.
    func confirmRestored(_ type: OriginType) {
        guard type.isStale || self.restored[type.type.typeURL] != nil else { return }
        type.isStale = false
        type.heldBackUntil = nil
        self.restored[type.type.typeURL] = nil
    }

    /// A control plane that has said nothing for a while, though it was told what is held, has nothing to say.
    package func silenceConfirms() { for type in self.types.values { type.isStale = false } }

    /// Shows clients what was held back.
    func release(_ type: OriginType, _ now: Instant, _ wall: WallTime) {
        type.heldBackUntil = nil
        if type.generation > 0, type.workers & ~type.synced != 0 { self.tell(type, [], now, wall) }
    }

    /// The control plane cannot be reached: what is stored is the best there is.
    func releaseSoon() {
        for type in self.types.values where type.heldBackUntil != nil {
            type.heldBackUntil = Instant(rawValue: 0)
            self.schedule(Instant(rawValue: 0))
        }
    }
}

/// What was stored of one type, as far as nobody has asked for it yet.
struct RestoredContent {
    let head: StoredHead
    /// Entries that nobody has asked for.
    var count: Int { self.wild.count + self.named.count }
    private var wild: [StoredEntry] = []
    private var named: [String: StoredEntry] = [:]

    init(_ type: RestoredType) {
        self.head = type.head
        for entry in type.entries {
            if entry.lane == .wildcard { self.wild.append(entry) } else { self.named[entry.name] = entry }
        }
    }

    mutating func takeWildcard() -> [StoredEntry] {
        defer { self.wild = [] }
        return self.wild
    }

    /// What is stored under these names, and the members of those of them that are glob collections.
    mutating func takeNames(_ names: [String], globs: Set<String>) -> [StoredEntry] {
        var taken: [StoredEntry] = []
        for name in names {
            if let entry = self.named.removeValue(forKey: name) { taken.append(entry) }
            guard globs.contains(name) else { continue }
            for member in self.named.values.filter({ $0.collection == name }).sorted(by: { $0.name < $1.name }) {
                self.named[member.name] = nil
                taken.append(member)
            }
        }
        return taken
    }
}
