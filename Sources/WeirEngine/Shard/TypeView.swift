import WeirXDS

import WeirBase
import WeirHash

/// One worker's view of one (group, type): the resources as its home last published them, and who subscribes to what.
///
/// Memory: one entry per resource or requested name, one subscription per distinct wish; nothing per stream.
final class TypeView {
    /// What is known of one name.
    struct Entry {
        var name: String
        /// In the wildcard lane: present or not.
        var wild: Resource?
        var wildChanged: Generation = 0
        /// Its place in `wildcardMembers`.
        var wildPosition: Int32 = -1
        /// In the named lane.
        var named: Presence = .unknown
        var namedChanged: Generation = 0
        /// Whether its absence is a removal: there was something to remove (UP-12: SotW clients are not told of names
        /// that never existed).
        var namedWasRemoved = false
        /// Whether something was there when it became unknown, which some client may hold still.
        var namedWasForgotten = false
        /// When it was last heard of without having changed: its time to live began anew.
        var refreshed: Generation = 0
        /// The subscriptions that name it.
        var subscribers: [Int32] = []
        /// Answers due that mention it: it must not be forgotten before they are given.
        var pins: Int32 = 0
        var isInUse = true
    }

    struct Recent {
        var name: NameID
        var lane: Lane
    }

    let type: XDSType
    /// The type URL as bytes, to find the type of a request without making a string.
    let typeURLBytes: [UInt8]
    /// The length and the last bytes of the type URL: different for all types but contrived ones, so that a request is
    /// compared with one URL.
    let typeMark: UInt64
    let group: Int32
    /// Where the shard counts what is done for the type.
    let counterRow: Int
    /// What pushes and ACKs touch.
    let state = Cell(ViewState())
    /// Counts the states that came here: as the home does, but never back.
    private(set) var generation: Generation {
        get { self.state.value.generation }
        set { self.state.value.generation = newValue }
    }
    /// What the home calls the newest state.
    private(set) var homeGeneration: Generation = 0
    private(set) var version = ""
    private(set) var equalVersions: [String] = []
    private(set) var passesVersionToSotW = false
    /// When the wildcard lane was first answered; 0 while it was not.
    private(set) var wildcardKnownAt: Generation = 0
    private(set) var receivedAt = Instant(rawValue: 0)
    private(set) var updatedAt: WallTime?

    private(set) var entries: ContiguousArray<Entry> = []
    private var freeEntries: [NameID] = []
    private var ids: [String: NameID] = [:]
    /// The wildcard set, in no particular order.
    private(set) var wildcardMembers: [NameID] = []
    private var wildcardHash = ContentHash.zero
    /// When anything was last heard of without having changed.
    var newestRefresh: Generation = 0
    /// What the newest update changed.
    private(set) var recent: [Recent] = []

    var subscriptions: ContiguousArray<Subscription?> {
        @inline(__always) _read { yield self.state.value.subscriptions }
        @inline(__always) _modify { yield &self.state.value.subscriptions }
    }
    private var freeSubscriptions: [Int32] = []
    private var subscriptionIndex: [Subscription.Content: Int32] = [:]
    private(set) var wildcardSubscriptions: [Int32] = []
    var wishes = Wishes()

    /// By index; those that are not in use have no members.
    var cohorts: ContiguousArray<Cohort> {
        @inline(__always) _read { yield self.state.value.cohorts }
        @inline(__always) _modify { yield &self.state.value.cohorts }
    }
    var freeCohorts: [Int32] = []

    /// A large update that was applied in a turn of its own: what it concerns is to be told in the next.
    var ahead: (update: Generation, dirty: [Int32])?
    /// The ids of its names, as far as they have been looked up, and the epoch in which that began.
    var preparedIDs: (update: Generation, epoch: Int, ids: [NameID])?
    /// Whether no update has come since it was made, or has forgotten everything.
    private var isBlank = true
    var staging = Staging() {
        didSet { self.state.value.isTrying = self.staging.trial != nil }
    }
    /// Whether there is a trial, which every ACK asks.
    var isTrying: Bool { self.state.value.isTrying }
    /// Whether it was said that responses are larger than clients take by default.
    var saidOversized = false

    /// Names held by name of which each new subscriber must be answered by the origin (AGG-23): few, and usually none.
    var uncached: Set<NameID> = []
    /// Those of them that came in this round: they answer whoever waited.
    var fresh: Set<NameID> = []
    /// Those of them that the home has been asked to fetch.
    var renewing: Set<NameID> = []

    /// Type streams of this view, whatever they are doing.
    var streams = 0
    /// Type streams that are not settled on the newest state; zero means converged.
    var unsettled: Int {
        get { self.state.value.unsettled }
        set { self.state.value.unsettled = newValue }
    }
    /// Type streams that newer content is held back from.
    var behind = 0
    /// What left, for clients that are behind (ORD-03).
    private(set) var retired = RetiredResources()
    var convergenceReported = true
    var track = PushTrack()
    /// Detached type streams that wait for the origin, so that an update must look at them.
    var waiting: Set<Int32> = []

    /// Changes of interest not yet told to the home.
    private var interestWildcard: Bool?
    private var interestNames: [NameID: Bool] = [:]
    var interestRenewals: [NameID] = []
    /// Names that lost their last subscriber, or never got one, since then: they may be forgotten.
    private var unwanted: [NameID] = []

    init(type: XDSType, group: Int32, counterRow: Int = 0) {
        self.type = type
        self.counterRow = counterRow
        let url = Array(type.typeURL.utf8)
        self.typeURLBytes = url
        self.typeMark = Self.mark(ofURL: ByteRange(offset: 0, count: url.count), in: url.span)
        self.group = group
    }

    /// Whether SotW responses of the type carry everything: types where absence means deletion, and types weir does
    /// not know, for which more is the safer side.
    var sendsFullSet: Bool { self.type.isFullSet || self.type.shortName == nil }

    /// Whether the origin's first answer to the wildcard is sure to come: in other types than these, silence can be one.
    var awaitsWildcard: Bool { self.type.isFullSet && self.wildcardKnownAt == 0 }

    // MARK: Names

    func reserve(names count: Int) {
        self.ids.reserveCapacity(self.ids.count + count)
        self.entries.reserveCapacity(self.entries.count + count)
    }

    func id(of name: String) -> NameID {
        if let id = self.ids[name] { return id }
        let id: NameID
        if let free = self.freeEntries.popLast() {
            self.entries[Int(free.rawValue)] = Entry(name: name)
            id = free
        } else {
            id = NameID(rawValue: Int32(self.entries.count))
            self.entries.append(Entry(name: name))
        }
        self.ids[name] = id
        if let glob = ResourceName.collection(of: name, type: self.type) { self.collections.add(id, to: glob) }
        return id
    }

    func existingID(of name: String) -> NameID? { self.ids[name] }

    subscript(id: NameID) -> Entry {
        _read { yield self.entries[Int(id.rawValue)] }
        _modify { yield &self.entries[Int(id.rawValue)] }
    }

    func isUnknown(_ id: NameID) -> Bool { self.isUnknown(self[id].named) }

    /// Forgets a name that nobody subscribes to and of which nothing is known. Only names that no client can still hold
    /// may go: one that left the wildcard set is kept until every wildcard cohort has been told.
    func releaseIfUnused(_ id: NameID) {
        let entry = self[id]
        guard entry.isInUse, entry.wild == nil, entry.subscribers.isEmpty, entry.pins == 0 else { return }
        // The home must be told its name first.
        guard case .unknown = entry.named, self.interestNames[id] == nil else { return }
        guard entry.wildChanged == 0 || self.wildcardSubscriptions.isEmpty else { return }
        guard self.errors[id] == nil else { return }
        self.free(id)
    }

    private func free(_ id: NameID) {
        self.ids[self[id].name] = nil
        self.collections.remove(id)
        self.otherNames[id] = nil
        self.errors[id] = nil
        self[id] = Entry(name: "", isInUse: false)
        self.freeEntries.append(id)
        self.idEpoch += 1
    }

    /// Changes whenever an id may come to mean another name.
    private(set) var idEpoch = 0

    func pin(_ id: NameID) { self[id].pins += 1 }

    func unpin(_ ids: Set<NameID>) {
        for id in ids {
            self[id].pins -= 1
            self.releaseIfUnused(id)
        }
    }

    // MARK: Updates

    /// Takes a new state from the home. Returns the subscriptions that it concerns.
    func apply(_ update: TypeUpdate) -> [Int32] {
        // A home that let go of the type meanwhile counts anew, and what it said before may have been on its way still.
        self.generation = max(update.generation, self.generation + 1)
        self.homeGeneration = update.generation
        self.receivedAt = update.receivedAt
        self.updatedAt = update.receivedAtWall
        self.version = localCopy(update.version)
        self.equalVersions = update.equalVersions
        self.passesVersionToSotW = update.passesVersionToSotW
        self.recent.removeAll(keepingCapacity: true)
        let wasEmpty = self.isBlank
        self.isBlank = false

        var dirty = DirtySubscriptions(generation: self.generation)
        let ids = self.takePrepared(for: update)
        let changes = update.changes.span
        for index in changes.indices where !self.isAboutNothing(changes[index]) {
            self.apply(changes[index], ids.isEmpty ? self.id(of: changes[index].name) : ids[index], &dirty)
        }
        if update.isFull, !wasEmpty { self.forgetUnmentioned(by: update, &dirty) }
        if update.wildcardKnown || self.wildcardSubscriptions.isEmpty { self.endDoubts(&dirty) }
        if !self.doubtedMembers.isEmpty { self.endMemberDoubts(&dirty) }
        if update.wildcardKnown, self.wildcardKnownAt == 0 {
            self.wildcardKnownAt = self.generation
            dirty.wildcard = true
        }
        // The home asks for it no more: who wants it next must wait for what it is then.
        if !update.wildcardKnown { self.wildcardKnownAt = 0 }
        if dirty.wildcard { for subscription in self.wildcardSubscriptions { dirty.mark(subscription, in: self) } }
        for change in self.recent where change.lane == .named { self.releaseIfUnused(change.name) }
        self.releaseUnused(ids, of: changes)
        return dirty.marked
    }

    /// Forgets what was only made known for changes that turned out to be about nothing here.
    private func releaseUnused(_ prepared: [NameID], of changes: Span<ResourceChange>) {
        for index in prepared.indices where changes[index].presence.resource == nil {
            self.releaseIfUnused(prepared[index])
        }
    }

    func apply(_ change: ResourceChange, _ dirty: inout DirtySubscriptions) {
        self.apply(change, self.id(of: change.name), &dirty)
    }

    private func apply(_ change: ResourceChange, _ id: NameID, _ dirty: inout DirtySubscriptions) {
        let hadError = self.errors[id] != nil
        if self.noteError(id, change, &dirty) {
            self.recent.append(Recent(name: id, lane: change.lane))
            return
        }
        if change.isRefresh, self.refresh(id, change, &dirty) {
            self.recent.append(Recent(name: id, lane: change.lane))
            return
        }
        switch change.lane {
        case .wildcard:
            if case .present(let resource) = change.presence {
                self.doubted.remove(id)
                self.setWild(id, resource)
            } else {
                guard self[id].wild != nil else { return }
                if case .unknown = change.presence, self.doubts(id) { return }
                self.doubted.remove(id)
                self.setWild(id, nil)
            }
            dirty.wildcard = true
            // Those who name it may have been shown it from here.
            if self.isUnknown(id), self[id].wild == nil { self[id].namedWasRemoved = true }
            // Who has it by a wildcard and gives that up for its name loses it.
            if self.isAbsent(id), self[id].wild != nil { self[id].namedWasRemoved = true }
            if self.isUnknown(id) { for subscription in self[id].subscribers { dirty.mark(subscription, in: self) } }
        case .named:
            if case .unknown = change.presence, self.doubtsMember(id) { return }
            self.doubtedMembers.remove(id)
            self.noteFreshness(id, change.presence)
            // Fetched for one more stream, and still the same: those who have it need not hear of it.
            if case .present(let new) = change.presence, new.mustBeFetched, case .present(let old) = self[id].named,
                old.hash == new.hash, old.version == new.version
            {
                self[id].named = change.presence
                return
            }
            if self.isSeenAlready(id, change.presence) {
                self[id].named = change.presence
                self[id].namedChanged = self[id].wildChanged
                return
            }
            // Why it is not there is all that is new, or that nobody says why any more.
            if self.isAbsent(id), hadError || change.error != nil, case .absent = change.presence { break }
            // Who had it through a collection was told that it is gone when that was news.
            let isNews = !self.isAbsent(id) || change.presence.resource != nil
            self.noteRemoval(id, change.presence)
            self.noteRetirement(of: self[id].named.resource, by: change.presence.resource, .named)
            self[id].named = change.presence
            self[id].namedChanged = self.generation
            self.noteNames(id, change)
            for subscription in isNews ? self.subscribers(of: id) : self[id].subscribers
            where !self.isShadowed(id, for: subscription) {
                dirty.mark(subscription, in: self)
            }
        }
        self.recent.append(Recent(name: id, lane: change.lane))
    }

    /// Notes whether what is to be known of a name is a removal to SotW clients.
    private func noteRemoval(_ id: NameID, _ presence: Presence) {
        let wasPresent = self[id].named.resource != nil
        // Some client that is behind may hold it still, though it was gone before it became unknown.
        let wasThere = wasPresent || self[id].namedWasRemoved || self[id].namedWasForgotten
        switch presence {
        case .absent where wasPresent: self[id].namedWasRemoved = true
        case .absent where self.isUnknown(id):
            if self[id].wild != nil || self[id].namedWasForgotten { self[id].namedWasRemoved = true }
        case .absent: break
        case .present, .populated, .unknown: self[id].namedWasRemoved = false
        }
        self[id].namedWasForgotten = self.isUnknown(presence) && wasThere
    }

    private func isUnknown(_ presence: Presence) -> Bool { if case .unknown = presence { true } else { false } }

    /// Whether the origin's first answer to a name is what its subscribers were given from the wildcard: by an earlier
    /// update, for one that brings both has shown them nothing yet.
    private func isSeenAlready(_ id: NameID, _ presence: Presence) -> Bool {
        guard self[id].wildChanged < self.generation else { return false }
        guard self.isUnknown(id), let wild = self[id].wild, case .present(let resource) = presence else { return false }
        return wild.hash == resource.hash && wild.version == resource.version
    }

    private func setWild(_ id: NameID, _ resource: Resource?) {
        if let old = self[id].wild { self.wildcardHash.subtract(old.identity) }
        if let new = resource { self.wildcardHash.add(new.identity) }
        self.noteRetirement(of: self[id].wild, by: resource, .wildcard)
        if resource != nil, self[id].wildPosition < 0 {
            self[id].wildPosition = Int32(self.wildcardMembers.count)
            self.wildcardMembers.append(id)
        } else if resource == nil, self[id].wildPosition >= 0 {
            let position = self[id].wildPosition
            let last = self.wildcardMembers.removeLast()
            if last != id {
                self.wildcardMembers[Int(position)] = last
                self[last].wildPosition = position
            }
            self[id].wildPosition = -1
        }
        self[id].wild = resource
        self[id].wildChanged = self.generation
        if resource == nil { self.departed.append(id) }
    }

    /// What the home let go of, when it had not heard yet that it is wanted here again.
    var doubted: Set<NameID> = []
    var doubtedMembers: Set<NameID> = []

    /// Which names stand in which glob collections.
    var collections = Collections()
    /// Why resources are not sent.
    var errors: [NameID: KnownError] = [:]
    /// Names under which a resource with another one was asked for: the resource's own.
    var otherNames: [NameID: String] = [:]
    /// Members of glob collections that are gone, of which some client may have to be told.
    var goneMembers: [NameID] = []
    var goneMembersPruneAt = 0

    /// Names that left the wildcard set and that some cohort may have to be told of.
    var departed: [NameID] = []
    /// Twice as many as could not be forgotten when that was last tried, so that the work stays in proportion.
    var departedPruneAt = 0

    /// SotW responses are whole, so that a removal can only be held back by sending once more what is removed.
    private func noteRetirement(of old: Resource?, by new: Resource?, _ lane: Lane) {
        guard self.type == .cds else { return }
        if let old = old, new == nil {
            self.retired.left(old, lane, at: self.generation)
        } else if old == nil, let new = new {
            self.retired.appeared(new.name, lane, at: self.generation)
        }
    }

    /// Nobody is behind: what left is of no use to anybody.
    func forgetRetired() { self.retired = RetiredResources() }

    /// What a client with this subscription, having been sent `base`, holds of resources that left since then.
    func retired(_ content: Subscription.Content, since base: Generation) -> [Resource] {
        self.retired.held(at: base) { name, lane in
            guard let id = self.ids[name], self.visible(id, to: content) == nil else { return false }
            return lane == .wildcard ? content.wildcard : content.contains(id)
        }
    }

    /// Type streams that are in no cohort.
    var detached = 0

    /// Whether a subscriber sees the name through its wildcard, so that the named lane is nothing to it.
    private func isShadowed(_ id: NameID, for subscription: Int32) -> Bool {
        self[id].wild != nil && self.subscriptions[Int(subscription)]?.content.wildcard == true
    }

    // MARK: Digests

    /// A version derived from what a SotW client with this subscription sees: equal on every relay that holds the same,
    /// and changed exactly when it changes (XLT-06).
    /// `retired` is seen besides.
    func derivedVersion(for subscription: Subscription.Content, and retired: [Resource] = []) -> String {
        var hash = subscription.wildcard ? self.wildcardHash : .zero
        for resource in retired { hash.add(resource.identity) }
        for id in subscription.names {
            if subscription.wildcard, self[id].wild != nil { continue }
            if let resource = self.visible(id, to: subscription) { hash.add(resource.identity) }
        }
        return hash.shortHex
    }

    /// The version a SotW response to this subscription carries.
    func sotwVersion(for subscription: Subscription.Content) -> String {
        self.passesVersionToSotW && !self.version.isEmpty ? self.version : self.derivedVersion(for: subscription)
    }

    // MARK: Subscriptions

    /// The interned subscription of this content, made if it is new. Holds one reference until `release`.
    func retain(_ content: Subscription.Content) -> Int32 {
        if let index = self.subscriptionIndex[content] {
            self.subscriptions[Int(index)]?.streams += 1
            return index
        }
        var subscription = Subscription(content: content)
        subscription.streams = 1
        subscription.changed = self.generation
        subscription.changedBefore = self.generation
        let index: Int32
        if let free = self.freeSubscriptions.popLast() {
            index = free
            self.subscriptions[Int(index)] = subscription
        } else {
            index = Int32(self.subscriptions.count)
            self.subscriptions.append(subscription)
        }
        self.subscriptionIndex[content] = index
        for name in content.names {
            self[name].subscribers.append(index)
            if self[name].subscribers.count == 1 { self.noteInterest(in: name, true) }
        }
        if content.wildcard {
            self.wildcardSubscriptions.append(index)
            if self.wildcardSubscriptions.count == 1 { self.interestWildcard = true }
        }
        return index
    }

    /// One stream more for a subscription that has some.
    func retain(_ index: Int32) { self.subscriptions[Int(index)]?.streams += 1 }

    func release(_ index: Int32) {
        self.subscriptions[Int(index)]?.streams -= 1
        guard let subscription = self.subscriptions[Int(index)], subscription.streams == 0 else { return }
        self.subscriptionIndex[subscription.content] = nil
        self.wishes.forget(index)
        self.subscriptions[Int(index)] = nil
        self.freeSubscriptions.append(index)
        for name in subscription.content.names {
            self[name].subscribers.removeAll { $0 == index }
            if self[name].subscribers.isEmpty { self.noteInterest(in: name, false) }
        }
        if subscription.content.wildcard {
            self.wildcardSubscriptions.removeAll { $0 == index }
            if self.wildcardSubscriptions.isEmpty { self.interestWildcard = false }
        }
    }

    /// A name that a request mentioned may be subscribed to by nobody after all.
    func forgetUnlessUsed(_ id: NameID) { self.unwanted.append(id) }

    private func noteInterest(in name: NameID, _ wanted: Bool) {
        if !wanted { self.unwanted.append(name) }
        // Wanted and unwanted again within one turn, or the other way round: the home need not know.
        if let noted = self.interestNames[name], noted != wanted {
            self.interestNames[name] = nil
        } else {
            self.interestNames[name] = wanted
        }
    }

    private var toldWildcard = false

    /// What the home must be told since the last call; nil if nothing. Names nobody wants any more may be forgotten.
    func takeInterest() -> InterestChange? {
        defer {
            for name in self.unwanted { self.releaseIfUnused(name) }
            self.unwanted.removeAll(keepingCapacity: true)
        }
        guard self.interestWildcard != nil || !self.interestNames.isEmpty || !self.interestRenewals.isEmpty else {
            return nil
        }
        var change = InterestChange(typeURL: self.type.typeURL)
        if let wildcard = self.interestWildcard, wildcard != self.toldWildcard {
            change.wildcard = wildcard
            self.toldWildcard = wildcard
        }
        for (name, wanted) in self.interestNames {
            if wanted { change.added.append(self[name].name) } else { change.removed.append(self[name].name) }
        }
        self.interestNames.removeAll(keepingCapacity: true)
        self.interestWildcard = nil
        change.renewed = self.interestRenewals.map { self[$0].name }.sorted()
        self.interestRenewals.removeAll()
        // In order for those who look; of so many nobody does, and it would take longer than all else.
        if change.added.count <= Self.namesSortedMax { change.added.sort() }
        if change.removed.count <= Self.namesSortedMax { change.removed.sort() }
        return change.isEmpty ? nil : change
    }

    private static let namesSortedMax = 4096

    /// Whether any stream subscribes to anything.
    var isWanted: Bool { self.subscriptionIndex.count > 0 }

    /// Forgets all content, because the home stops telling a worker that wants nothing of the type: what is kept would
    /// grow stale unseen (AGG-07).
    func forgetContent() {
        self.ahead = nil
        self.preparedIDs = nil
        self.isBlank = true
        self.unwanted.removeAll()
        self.uncached.removeAll()
        self.fresh.removeAll()
        self.renewing.removeAll()
        self.interestRenewals.removeAll()
        self.entries.removeAll()
        self.freeEntries.removeAll()
        self.ids.removeAll()
        self.collections = Collections()
        self.otherNames = [:]
        self.errors = [:]
        self.goneMembers = []
        self.wildcardMembers.removeAll()
        self.wildcardHash = .zero
        self.recent.removeAll()
        self.doubted.removeAll()
        self.doubtedMembers.removeAll()
        self.departed.removeAll()
        self.departedPruneAt = 0
        self.goneMembersPruneAt = 0
        self.retired = RetiredResources()
        self.generation = 0
        self.homeGeneration = 0
        self.newestRefresh = 0
        self.wildcardKnownAt = 0
        self.version = ""
        self.equalVersions = []
    }
}

/// A string with storage of its own. Streams keep the version they acknowledged; if all workers shared one string they
/// would fight over its reference count.
private func localCopy(_ text: String) -> String { String(decoding: Array(text.utf8), as: UTF8.self) }
