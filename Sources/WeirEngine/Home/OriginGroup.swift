package import WeirBase
package import WeirXDS

/// The home of one group: its truth, what its workers want of it, and its conversation with the origin.
///
/// Pure: events go in, `takeActions` gives what the shell must do. Not thread safe: confined to the home worker's loop.
/// The group is subscribed upstream once for all its clients (AGG-01): one ADS stream carries all its types. Only where a
/// type has a wildcard and names at the same time does the later of the two go on a second stream, because one
/// subscription could not tell which resources belong to the wildcard (AGG-17).
package final class OriginGroup {
    package let key: String
    /// The encoded node sent upstream; the same for the group's life (UP-01).
    package let node: [UInt8]
    /// What the origin speaks; nil for one within the process, which has no streams.
    package internal(set) var variant: ProtocolVariant?
    let policy: OriginPolicy
    var guards: GuardPolicy

    var types: [String: OriginType] = [:]
    var streams: [UpstreamStream] = [UpstreamStream(), UpstreamStream()]
    var actions: [OriginAction] = []
    /// Workers that have streams of the group.
    private(set) var members: UInt64 = 0
    package private(set) var origin = OriginState(isConnected: false, server: "", lastError: "")
    /// What an origin within the process has; nil while it has nothing.
    var snapshot: Snapshot?
    /// What changed and was not handed to the store yet, by type.
    var unstored: [String: StoreDraft] = [:]
    /// What the store was told of versions, by type.
    var storedHeads: [String: StoredHead] = [:]
    /// What was stored and nobody has asked for yet, by type.
    var restored: [String: RestoredContent] = [:]
    /// The push that is being made.
    var draft: PushDraft?
    /// Pushes that were given an id here.
    var pushesCounted: UInt64 = 0
    /// Counts the pushes that were tried.
    var lastTrial = 0
    /// Types that have names of other origins: nothing of them is tried.
    var neverStaged: Set<String> = []
    private var flushAt: Instant?
    private var lastFlush: Instant?
    private var isIdle = false

    package init(key: String, node: [UInt8], variant: ProtocolVariant?, policy: OriginPolicy) {
        self.key = key
        self.node = node
        self.variant = variant
        self.policy = policy
        self.guards = policy.guards
    }

    /// What to do, in order; empty afterwards.
    package func takeActions() -> [OriginAction] {
        let actions = self.actions
        self.actions.removeAll(keepingCapacity: true)
        return actions
    }

    /// The numbers of the upstream streams that are wanted, open or not.
    package var wantedStreams: [Int] { self.streams.indices.filter { self.streams[$0].isWanted } }

    /// The upstream streams of the group that are open.
    package var openStreams: Int { self.streams.count { $0.isOpen } }

    /// Whether somebody wants something; the origins that are not the group's own have no members (NAME-07).
    package var hasMembers: Bool { self.members != 0 || self.types.values.contains { !$0.wishes.isEmpty } }

    package var typeStatuses: [OriginTypeStatus] {
        self.types.values.map {
            OriginTypeStatus(
                type: $0.type, version: $0.label.version, resources: $0.servedCount, bytes: $0.bytes,
                updated: $0.label.updated, isStale: $0.isStale, hold: $0.holdStatus, rollout: $0.rolloutStatus,
                past: $0.pastStatuses)
        }.sorted { ($0.type.pushOrder, $0.type.typeURL) < ($1.type.pushOrder, $1.type.typeURL) }
    }

    /// Whether the origin has answered anything that is still held.
    package var hasContent: Bool { self.types.values.contains { $0.generation > 0 } }

    /// The resources that clients have of one type, by name; references, not copies.
    package func resources(typeURL: String) -> [Resource] { self.types[typeURL]?.resources ?? [] }

    // MARK: Workers

    package func workerJoined(_ worker: Int) {
        self.members |= 1 << UInt64(worker)
        self.isIdle = false
        self.actions.append(.originState(self.origin, workers: 1 << UInt64(worker)))
    }

    package func workerLeft(_ worker: Int, now: Instant) {
        let bit: UInt64 = 1 << UInt64(worker)
        self.members &= ~bit
        for type in self.sortedTypes {
            guard type.wishes[worker] != nil else { continue }
            var change = InterestChange(typeURL: type.type.typeURL)
            if let feed = type.wildcard, feed.wildcardWorkers & bit != 0 { change.wildcard = false }
            change.removed = type.named?.names.filter { $0.value & bit != 0 }.map(\.key) ?? []
            self.apply(change, from: worker, now: now, wall: WallTime(rawValue: 0))
        }
        self.dropIfIdle()
    }

    var sortedTypes: [OriginType] {
        self.types.values.sorted { ($0.type.pushOrder, $0.type.typeURL) < ($1.type.pushOrder, $1.type.typeURL) }
    }

    /// A worker's wish for one type changed. Its first wish makes it a follower: it is sent what is known.
    package func apply(_ change: InterestChange, from worker: Int, now: Instant, wall: WallTime) {
        let bit: UInt64 = 1 << UInt64(worker)
        let type = self.types[change.typeURL] ?? OriginType(type: XDSType.of(typeURL: change.typeURL))
        self.types[change.typeURL] = type
        let isNewFollower = type.wishes[worker] == nil && type.kept & bit == 0
        var wishes = type.wishes[worker] ?? 0
        if let wildcard = change.wildcard, self.setWildcard(wildcard, bit, type, now) { wishes += wildcard ? 1 : -1 }
        for name in change.added where self.add(name, bit, type) { wishes += 1 }
        for name in change.removed where self.remove(name, bit, type, now) { wishes -= 1 }
        // Followers hear of what the new wish brought; a new one is told everything instead.
        if self.variant == nil { self.fillFromSnapshot(type, now: now, wall: wall) }
        self.fillFromRestored(change, type, now, wall)
        self.answerFromHeld(change.added, type, now, wall)
        type.wishes[worker] = wishes > 0 ? wishes : nil
        if wishes <= 0, type.kept & bit == 0 { type.synced &= ~bit }
        if isNewFollower, wishes > 0, type.generation > 0, type.heldBackUntil == nil {
            let update = type.fullUpdate(passesVersion: self.passesVersion, now: now, wall: wall)
            self.actions.append(.publish(update, workers: bit))
            type.synced |= bit
        }
        self.renew(change, type, now, wall)
        if type.feeds.isEmpty {
            self.types[change.typeURL] = nil
            self.dropGate(of: type)
        }
        self.scheduleFlush(now)
    }

    var passesVersion: Bool { self.variant == .sotw }

    /// Returns whether the worker's wish changed.
    private func setWildcard(_ wanted: Bool, _ bit: UInt64, _ type: OriginType, _ now: Instant) -> Bool {
        let had = type.wildcard?.wildcardWorkers ?? 0
        guard wanted != (had & bit != 0) else { return false }
        if wanted {
            let feed = type.wildcard ?? self.makeFeed(type, .wildcard)
            feed.wildcardWorkers |= bit
            feed.lingering = [:]
        } else if let feed = type.wildcard {
            feed.wildcardWorkers &= ~bit
            if feed.wildcardWorkers == 0 { self.linger("*", feed, now) }
        }
        return true
    }

    private func add(_ name: String, _ bit: UInt64, _ type: OriginType) -> Bool {
        let feed = type.named ?? self.makeFeed(type, .named)
        let workers = feed.names[name]
        guard (workers ?? 0) & bit == 0 else { return false }
        feed.names[name] = (workers ?? 0) | bit
        feed.lingering[name] = nil
        if workers == nil {
            feed.isDirty = true
            if ResourceName.isGlob(name, type: feed.type) { feed.globs.insert(name) }
        }
        return true
    }

    /// Has the origin asked once more for what it does not want to be answered from a cache (AGG-23). Those who hold it
    /// hear nothing of that, unless it has changed.
    private func renew(_ change: InterestChange, _ type: OriginType, _ now: Instant, _ wall: WallTime) {
        guard let feed = type.named else { return }
        let names = (change.added + change.renewed).filter { feed.names[$0] != nil && type.mustBeFetched($0) }
        guard !names.isEmpty else { return }
        guard self.variant != nil else {
            // A snapshot is always at hand.
            let held = names.compactMap { name in
                type.resource(name, in: .named).map {
                    ResourceChange(lane: .named, name: name, presence: .present($0))
                }
            }
            self.publish(held, type, .named, version: nil, now, wall)
            return
        }
        feed.renewing.formUnion(names)
        feed.forgotten.formUnion(feed.toldNames.intersection(names))
        feed.isDirty = true
    }

    private func remove(_ name: String, _ bit: UInt64, _ type: OriginType, _ now: Instant) -> Bool {
        guard let feed = type.named, let workers = feed.names[name], workers & bit != 0 else { return false }
        feed.names[name] = workers & ~bit
        if workers & ~bit == 0 { self.linger(name, feed, now) }
        return true
    }

    private func linger(_ name: String, _ feed: Feed, _ now: Instant) {
        feed.lingering[name] = now + self.policy.linger
        self.schedule(now + self.policy.linger)
    }

    /// A new subscription upstream, on the first stream that has none of its type.
    private func makeFeed(_ type: OriginType, _ lane: Lane) -> Feed {
        let other = lane == .wildcard ? type.named : type.wildcard
        let feed = Feed(type: type.type, lane: lane, stream: other?.stream == 0 ? 1 : 0)
        feed.isDirty = true
        if lane == .wildcard { type.wildcard = feed } else { type.named = feed }
        guard self.variant != nil else { return feed }
        let number = feed.stream
        if !self.streams[number].isWanted {
            self.streams[number].isWanted = true
            self.actions.append(.openStream(number))
        } else if self.streams[number].isOpen, lane == .wildcard,
            self.streams[number].endedWildcards.contains(type.type.typeURL)
        {
            self.restart(number)
        }
        return feed
    }

    func restart(_ number: Int) {
        self.streamEnded(number)
        self.actions.append(.closeStream(number))
        self.actions.append(.openStream(number))
    }

    // MARK: Upstream streams

    /// An upstream stream of this number is open, to this server.
    ///
    /// `isBorrowed`: it is a sibling relay, which serves while the origin cannot be reached. It is no authority: the origin
    /// counts as not connected, silence means nothing, and the origin's first answer replaces all that it said.
    package func streamOpened(_ number: Int, server: String, now: Instant, isBorrowed: Bool = false) {
        guard self.streams[number].isWanted else { return self.actions.append(.closeStream(number)) }
        self.streams[number] = UpstreamStream(isWanted: true, isOpen: true, server: server, isBorrowed: isBorrowed)
        if !isBorrowed { self.setOrigin(OriginState(isConnected: true, server: server, lastError: "")) }
        for feed in self.feeds(on: number) { self.sendFirstRequest(feed, now) }
    }

    /// The stream ended; the shell opens another one if it is still wanted.
    package func streamClosed(_ number: Int, reason: String, now: Instant) {
        guard self.streams[number].isOpen else { return }
        let (server, wasBorrowed) = (self.streams[number].server, self.streams[number].isBorrowed)
        self.streamEnded(number)
        if self.openStreams == 0, !wasBorrowed {
            self.setOrigin(OriginState(isConnected: false, server: server, lastError: reason))
        }
    }

    private func streamEnded(_ number: Int) {
        let isWanted = self.streams[number].isWanted
        self.streams[number] = UpstreamStream(isWanted: isWanted)
        self.forgetPending(on: number)
        for feed in self.feeds(on: number) { feed.streamClosed() }
    }

    /// No stream could be opened: why, for people and for the clients of a cold group.
    package func originUnavailable(server: String, error: String) {
        guard !self.streams.contains(where: { $0.isOpen && !$0.isBorrowed }) else { return }
        self.setOrigin(OriginState(isConnected: false, server: server, lastError: error))
    }

    func setOrigin(_ state: OriginState) {
        var state = state
        state.isBorrowed = self.types.values.contains { $0.feeds.contains(where: \.isBorrowed) }
        guard state != self.origin else { return }
        self.origin = state
        if !state.isConnected { self.releaseSoon() }
        if self.members != 0 { self.actions.append(.originState(state, workers: self.members)) }
    }

    /// The server does not speak the present variant: from the next stream on, speak this one (UP-18).
    package func setVariant(_ variant: ProtocolVariant) {
        guard self.variant != nil, self.variant != variant else { return }
        self.variant = variant
        for feed in self.sortedTypes.flatMap(\.feeds) {
            feed.streamClosed()
            feed.acceptedVersion = ""
            feed.acceptedFrom = ""
        }
    }

    func feeds(on number: Int) -> [Feed] {
        self.sortedTypes.flatMap(\.feeds).filter { $0.stream == number }
    }

    // MARK: Time

    /// When `advance` has something to do at the earliest; nil: never.
    package private(set) var nextDeadline: Instant?

    func schedule(_ instant: Instant) { self.nextDeadline = self.nextDeadline.map { min($0, instant) } ?? instant }

    /// Does what has become due.
    package func advance(to now: Instant, wall: WallTime) {
        guard let deadline = self.nextDeadline, deadline <= now else { return }
        for type in self.sortedTypes {
            if let until = type.heldBackUntil, until <= now { self.release(type, now, wall) }
            for feed in type.feeds {
                self.expireLinger(feed, type, now, wall)
                self.expireUnanswered(feed, type, now, wall)
                if let sweepAt = feed.sweepAt, sweepAt <= now { self.sweep(feed, type, now, wall) }
                self.expireTimesToLive(feed, type, now, wall)
            }
            self.expireServed(type, now, wall)
            self.expireTrial(type, now, wall)
        }
        if let flushAt = self.flushAt, flushAt <= now { self.flush(now) }
        self.dropIfIdle()
        self.findNextDeadline()
    }

    private func findNextDeadline() {
        self.nextDeadline = self.flushAt
        for type in self.types.values {
            self.scheduleExpiries(type)
            if let until = type.heldBackUntil { self.schedule(until) }
            if let deadline = type.gate.trial?.deadline { self.schedule(deadline) }
        }
        for feed in self.types.values.flatMap(\.feeds) {
            for instant in [feed.sweepAt, feed.lingering.values.min(), feed.unanswered.values.min()] {
                if let instant = instant { self.schedule(instant) }
            }
        }
    }

    private func scheduleFlush(_ now: Instant) {
        guard self.flushAt == nil else { return }
        guard let last = self.lastFlush, now - last < self.policy.interestTick else { return self.flush(now) }
        self.flushAt = last + self.policy.interestTick
        self.schedule(last + self.policy.interestTick)
    }

    /// Tells the servers what changed in the interest.
    private func flush(_ now: Instant) {
        self.flushAt = nil
        var sent = false
        for feed in self.sortedTypes.flatMap(\.feeds) where feed.isDirty && self.streams[feed.stream].isOpen {
            if feed.isRequested { self.sendChange(feed, now) } else { self.sendFirstRequest(feed, now) }
            sent = true
        }
        if sent { self.lastFlush = now }
    }

    private func expireLinger(_ feed: Feed, _ type: OriginType, _ now: Instant, _ wall: WallTime) {
        let due = feed.lingering.filter { $0.value <= now }.map(\.key).sorted()
        guard !due.isEmpty else { return }
        for name in due { feed.lingering[name] = nil }
        if feed.lane == .wildcard {
            self.endWildcard(feed, type, now, wall)
            return
        }
        for name in due {
            feed.names[name] = nil
            feed.globs.remove(name)
            feed.aliases.forget(key: name)
            if feed.toldNames.contains(name) { feed.forgotten.insert(name) }
            feed.unanswered[name] = nil
            feed.newerVersions[name] = nil
            feed.renewing.remove(name)
        }
        let given = due.filter { !self.keepsAsMember($0, feed, type) } + self.membersGivenUp(feed)
        self.publish(
            given.map { ResourceChange(lane: .named, name: $0, presence: .unknown) }, type, .named, version: nil, now,
            wall)
        feed.isDirty = true
        if feed.isEmpty {
            if feed.isRequested, self.streams[feed.stream].isOpen { self.sendChange(feed, now) }
            type.named = nil
            self.dropUnused(type, feed)
        } else {
            self.scheduleFlush(now)
        }
    }

    private func endWildcard(_ feed: Feed, _ type: OriginType, _ now: Instant, _ wall: WallTime) {
        if feed.isRequested { self.sendEndOfWildcard(feed) }
        type.wildcard = nil
        type.wildcardKnown = false
        let known = Set(type.presentNames(in: .wildcard)).union(type.errors[.wildcard].map { Set($0.keys) } ?? [])
        let gone = known.union(type.gate.servedNames(in: .wildcard)).sorted()
        type.gate.history.forget(.wildcard)
        self.publish(
            gone.map { ResourceChange(lane: .wildcard, name: $0, presence: .unknown) }, type, .wildcard, version: nil,
            force: true, now, wall)
        self.dropUnused(type, feed)
    }

    /// Drops what belonged to a feed that ended: the type without feeds, the stream without feeds.
    private func dropUnused(_ type: OriginType, _ feed: Feed) {
        if type.feeds.isEmpty {
            self.types[type.type.typeURL] = nil
            self.dropGate(of: type)
        }
        let number = feed.stream
        if self.variant != nil, self.streams[number].isWanted, self.feeds(on: number).isEmpty {
            self.streams[number] = UpstreamStream()
            self.actions.append(.closeStream(number))
        }
    }

    private func expireUnanswered(_ feed: Feed, _ type: OriginType, _ now: Instant, _ wall: WallTime) {
        let due = feed.unanswered.filter { $0.value <= now }.map(\.key).sorted()
        guard !due.isEmpty else { return }
        for name in due {
            feed.unanswered[name] = nil
            feed.renewing.remove(name)
            self.actions.append(.event(.doesNotExist(typeURL: type.type.typeURL, name: name)))
        }
        if feed.isBorrowed, feed.unanswered.isEmpty, !self.streams[feed.stream].isBorrowed {
            // The origin has had its say, by silence.
            feed.isBorrowed = false
            self.setOrigin(self.origin)
        }
        self.publish(
            due.map { self.absence(of: $0, feed) }, type, .named, version: nil, now, wall
        )
        self.settleWithStore(type)
    }

    func dropIfIdle() {
        guard self.types.isEmpty, self.members == 0, !self.isIdle else { return }
        self.isIdle = true
        self.actions.append(.idle)
    }

    /// `publish` within the push that is being made.
    func publishWithinPush(
        _ changes: [ResourceChange], _ type: OriginType, _ lane: Lane, version: String?, force: Bool,
        cause: PublishCause, _ now: Instant, _ wall: WallTime
    ) -> Int {
        if cause == .upstream {
            self.judge(changes, type, isFirstAnswer: force, now, wall)
            self.stage(changes, type, isFirstAnswer: force)
        }
        guard !type.gate.isClosed else {
            return self.withhold(changes, type, lane, version: version, force: force, cause, now, wall)
        }
        let keepsHistory = cause == .upstream && !force && self.guards.historyMax > 0
        let undo = keepsHistory || self.policy.isJournaled ? type.undo(of: changes) : [:]
        let label = !keepsHistory || undo.isEmpty ? nil : (type.label, type.servedCount)
        let effective = changes.filter { type.apply($0) }
        let equal = effective.allSatisfy(\.isRefresh) && version.map { type.noteEqual($0) } ?? false
        guard !effective.isEmpty || force || equal else { return 0 }
        self.draft?.note(effective, undo: undo)
        let changed = effective.count { !$0.isRefresh }
        if let (label, count) = label {
            type.gate.history.leave(label, resources: count, undo: undo, max: self.guards.historyMax)
        }
        type.advance(upstreamVersion: version, lane: lane, contentChanged: changed > 0, wall: wall)
        self.tell(type, effective, now, wall)
        self.noteUnstored(effective, type, lane, fromUpstream: version != nil, isWhole: force && lane == .wildcard)
        self.scheduleExpiries(type)
        return changed
    }

    /// Tells the followers of a type what is new, and those that know nothing yet everything.
    func tell(_ type: OriginType, _ changes: [ResourceChange], _ now: Instant, _ wall: WallTime) {
        // What followers are not told now they are told whole later.
        guard type.heldBackUntil == nil else { return }
        let followers = type.workers
        self.draft?.workers |= followers
        if let draft = self.draft { type.lastPush = draft.id }
        let new = followers & ~type.synced
        if new != 0 {
            var whole = type.fullUpdate(passesVersion: self.passesVersion, now: now, wall: wall, fresh: changes)
            whole.push = self.draft?.id ?? .none
            self.actions.append(.publish(whole, workers: new))
        }
        if followers != new {
            self.tellFollowers(type, changes, followers & ~new, now, wall)
        }
        type.synced = followers
    }
}

/// One of a group's upstream streams, as far as the protocol must know it.
struct UpstreamStream {
    var isWanted = false
    var isOpen = false
    var server = ""
    /// Whether a sibling relay is at the other end.
    var isBorrowed = false
    /// Whether the node was sent: it goes with the first request only.
    var hasSentNode = false
    /// Types of which names were requested on this stream: an empty request is no wildcard for them any more.
    var namedTypes: Set<String> = []
    /// Types whose wildcard cannot begin again here. SotW: it ended without the server knowing, for the protocol has no word
    /// for it, and a new one would not be answered. Delta: it ended before it was answered.
    var endedWildcards: Set<String> = []
    /// SotW: the newest nonce of each type, whatever became of its feed: a server drops requests with another (UP-13).
    var nonces: [String: String] = [:]
    /// SotW: names that were given up on this stream, by type. When a response was on its way meanwhile, the server dropped
    /// that request, for its nonce was not the newest any more (UP-13); if the name is asked for again, that is no news
    /// to the server. So it is given up and asked for once more, as often as this says, when a response comes without it.
    var givenUp: [String: [String: Int]] = [:]
    static let renewalsMax = 4
    /// Beyond this, names that nobody wants are forgotten; asked for again, they might only come with their next change.
    static let givenUpMax = 10_000
    /// Types that were requested on this stream: a late response of one is answered, though nobody wants it any more.
    var requestedTypes: Set<String> = []
}
