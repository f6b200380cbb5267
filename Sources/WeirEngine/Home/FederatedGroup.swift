package import WeirBase
import WeirXDS

/// What the home of a group asks of its shell, and about which upstream: the group's own, or one that names go to by
/// their authority. `idle` of another than the own one means that this one may be dropped.
package struct HomeAction: Sendable {
    package let upstream: String
    package let action: OriginAction
}

/// A group at its home: its own origin and, once names are asked for that other upstreams claim by their authority, one
/// more origin for each of these (NAME-07).
///
/// Each origin is a group of its own: versions, nonces, what is held and what is lost are nobody else's. Only here, on the
/// way to the workers, do their states become one, because a client's subscription may have names of several. To that
/// end the states of a type that has several origins are numbered anew. They never have a name in common.
///
/// Pure, and confined to the home worker's loop, as `OriginGroup`. A group without such names costs nothing more.
package final class FederatedGroup {
    package let own: OriginGroup
    /// The name of its own upstream.
    package let upstream: String
    private let routes: AuthorityRoutes
    private let makeOrigin: (_ upstream: String) -> OriginGroup
    /// Those of other upstreams that names are asked of; bounded by the number of upstreams.
    private var others: [String: OriginGroup] = [:]
    /// The types that have names of others, by type URL.
    private var joint: [String: JointType] = [:]
    private var actions: [HomeAction] = []
    private var toldState: OriginState?
    private var ownIsIdle = false

    /// `makeOrigin` makes the origin of another upstream for this key. Its shell is told of it by its first action.
    package init(
        own: OriginGroup, upstream: String, routes: AuthorityRoutes,
        makeOrigin: @escaping (_ upstream: String) -> OriginGroup
    ) {
        self.own = own
        self.upstream = upstream
        self.routes = routes
        self.makeOrigin = makeOrigin
    }

    package var key: String { self.own.key }

    /// The origin at an upstream; nil if the group asks nothing of it.
    package func origin(at upstream: String) -> OriginGroup? {
        upstream == self.upstream ? self.own : self.others[upstream]
    }

    /// Hands over what to do, in order.
    package func takeActions(_ body: (HomeAction) -> Void) {
        guard self.isFederated else {
            for action in self.own.takeActions() { body(HomeAction(upstream: self.upstream, action: action)) }
            return
        }
        self.collect()
        let actions = self.actions
        self.actions.removeAll(keepingCapacity: true)
        for action in actions { body(action) }
    }

    private var isFederated: Bool { !self.others.isEmpty || !self.joint.isEmpty || !self.actions.isEmpty }

    /// Whether no name can go to another upstream.
    var isOfOneOrigin: Bool { self.routes.isEmpty }

    /// The own one first, the others by name.
    var origins: [(upstream: String, origin: OriginGroup)] {
        [(self.upstream, self.own)] + self.others.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    // MARK: Workers

    package func workerJoined(_ worker: Int) {
        self.ownIsIdle = false
        self.own.workerJoined(worker)
    }

    package func workerLeft(_ worker: Int, now: Instant) {
        for (_, origin) in self.origins { origin.workerLeft(worker, now: now) }
        for url in self.joint.keys.sorted() { self.letGo(of: worker, url) }
    }

    /// A worker's wish for one type changed.
    package func apply(_ change: InterestChange, from worker: Int, now: Instant, wall: WallTime) {
        let parts = self.split(change)
        let url = change.typeURL
        if parts.keys.contains(where: { $0 != self.upstream }) { self.join(url, now, wall) }
        guard self.joint[url] != nil else { return self.own.apply(change, from: worker, now: now, wall: wall) }
        for (upstream, part) in parts.sorted(by: { $0.key < $1.key }) {
            let origin = self.originMade(at: upstream, now, wall)
            origin.endTrials(of: url, now: now, wall: wall)
            origin.apply(part, from: worker, now: now, wall: wall)
            origin.keepFollower(worker, of: url)
            self.collect()
        }
        self.letGo(of: worker, url)
    }

    /// What of a change goes to which upstream.
    private func split(_ change: InterestChange) -> [String: InterestChange] {
        guard !self.routes.isEmpty else { return [self.upstream: change] }
        var parts: [String: InterestChange] = [:]
        func add(_ names: [String], _ list: WritableKeyPath<InterestChange, [String]>) {
            for name in names {
                let upstream = self.routes.upstream(of: name) ?? self.upstream
                parts[upstream, default: InterestChange(typeURL: change.typeURL)][keyPath: list].append(name)
            }
        }
        add(change.added, \.added)
        add(change.removed, \.removed)
        add(change.renewed, \.renewed)
        if change.wildcard != nil {
            parts[self.upstream, default: InterestChange(typeURL: change.typeURL)].wildcard = change.wildcard
        }
        return parts
    }

    /// The upstreams that a change would make the group ask for the first time, by name.
    package func unknownUpstreams(of change: InterestChange) -> [String] {
        guard !self.routes.isEmpty else { return [] }
        return self.split(change).keys.filter {
            $0 != AuthorityRoutes.nobody && self.origin(at: $0) == nil
        }.sorted()
    }

    private func originMade(at upstream: String, _ now: Instant, _ wall: WallTime) -> OriginGroup {
        if let origin = self.origin(at: upstream) { return origin }
        let isNobody = upstream == AuthorityRoutes.nobody
        let origin = isNobody ? self.originOfNothing(now, wall) : self.makeOrigin(upstream)
        self.others[upstream] = origin
        return origin
    }

    /// Answers that there is nothing of that name, as an empty snapshot does.
    private func originOfNothing(_ now: Instant, _ wall: WallTime) -> OriginGroup {
        let origin = OriginGroup(key: self.key, node: [], variant: nil, policy: OriginPolicy())
        origin.apply(Snapshot([]), from: "", now: now, wall: wall)
        return origin
    }

    /// From now on the type's states are numbered here.
    private func join(_ url: String, _ now: Instant, _ wall: WallTime) {
        guard self.joint[url] == nil else { return }
        self.own.endTrials(of: url, now: now, wall: wall)
        self.collect()
        self.joint[url] = JointType(generation: self.own.generation(of: url), told: self.own.followersTold(of: url))
        self.own.keepFollowers(of: url)
    }

    /// A worker that wants nothing more of a type has forgotten all of it; until then it is told of every origin that it
    /// ever asked, so that nothing it still holds goes stale unseen.
    private func letGo(of worker: Int, _ url: String) {
        guard !self.origins.contains(where: { $0.origin.hasWish(worker, of: url) }) else { return }
        for (_, origin) in self.origins { origin.dropFollower(worker, of: url) }
        self.joint[url]?.told &= ~(1 << UInt64(worker))
        guard !self.origins.contains(where: { $0.origin.hasWishes(of: url) }) else { return }
        self.joint[url] = nil
        for (_, origin) in self.origins { origin.allowTrials(of: url) }
    }

    // MARK: Time

    /// When `advance` has something to do at the earliest; nil: never.
    package var nextDeadline: Instant? {
        if self.others.isEmpty { return self.own.nextDeadline }
        return self.origins.compactMap(\.origin.nextDeadline).min()
    }

    /// Does what has become due.
    package func advance(to now: Instant, wall: WallTime) {
        for (_, origin) in self.origins { origin.advance(to: now, wall: wall) }
    }

    // MARK: From many to one

    private func collect() {
        for (upstream, origin) in self.origins {
            for action in origin.takeActions() { self.take(action, upstream) }
        }
        // Others have no members, and say nothing of how they get on: that is looked at here.
        let state = self.state
        if let told = self.toldState, told != state, self.own.members != 0 { self.tell(state, self.own.members) }
        self.toldState = state
    }

    private func take(_ action: OriginAction, _ upstream: String) {
        switch action {
        case .publish(let update, let workers): self.publish(update, workers)
        case .originState(_, let workers): self.tell(self.state, workers)
        // There is nobody who said anything.
        case .event(.accepted) where upstream == AuthorityRoutes.nobody: break
        case .idle where upstream == self.upstream:
            self.ownIsIdle = true
            if self.others.isEmpty { self.append(.idle, upstream) }
        case .idle:
            self.others[upstream] = nil
            if upstream != AuthorityRoutes.nobody { self.append(.idle, upstream) }
            if self.others.isEmpty, self.ownIsIdle { self.append(.idle, self.upstream) }
        default: self.append(action, upstream)
        }
    }

    private func append(_ action: OriginAction, _ upstream: String) {
        self.actions.append(HomeAction(upstream: upstream, action: action))
    }

    private func tell(_ state: OriginState, _ workers: UInt64) {
        self.append(.originState(state, workers: workers), self.upstream)
    }

    /// A group can be served while any of its upstreams can be asked; names of the others wait.
    private var state: OriginState {
        let states = self.origins.filter { $0.upstream != AuthorityRoutes.nobody }.map {
            ($0.upstream, $0.origin.origin)
        }
        if let connected = states.first(where: { $0.1.isConnected }) { return connected.1 }
        guard let failed = states.first(where: { !$0.1.lastError.isEmpty }) else { return self.own.origin }
        var state = failed.1
        if failed.0 != self.upstream { state.lastError = "upstream \(failed.0): \(state.lastError)" }
        return state
    }

    /// One origin's state of a joint type is news of a part to a worker that knows another part.
    private func publish(_ update: TypeUpdate, _ workers: UInt64) {
        guard var type = self.joint[update.typeURL] else {
            return self.append(.publish(update, workers: workers), self.upstream)
        }
        type.generation += 1
        var update = update
        update.generation = type.generation
        update.version = self.version(of: update.typeURL)
        update.equalVersions = []
        update.passesVersionToSotW = false
        // What is in the wildcard is known to those whom the own origin tells of the type: to others it would seem empty.
        let followers = self.own.isWildcardKnown(of: update.typeURL) ? self.own.followersTold(of: update.typeURL) : 0
        for part in [workers & followers, workers & ~followers] where part != 0 {
            update.wildcardKnown = part & followers != 0
            self.publish(update, part, told: type.told)
        }
        type.told |= workers
        self.joint[update.typeURL] = type
    }

    private func publish(_ update: TypeUpdate, _ workers: UInt64, told: UInt64) {
        if workers & ~told != 0 { self.append(.publish(update, workers: workers & ~told), self.upstream) }
        guard workers & told != 0 else { return }
        var part = update
        part.isFull = false
        self.append(.publish(part, workers: workers & told), self.upstream)
    }

    private func version(of url: String) -> String {
        self.origins.map { $0.origin.version(of: url) }.filter { !$0.isEmpty }.joined(separator: "+")
    }

    // MARK: For people

    /// Whether something that was restored, at any upstream, has not been confirmed yet.
    package var isStale: Bool { self.origins.contains { $0.origin.isStale } }

    package var typeStatuses: [OriginTypeStatus] {
        guard !self.others.isEmpty else { return self.own.typeStatuses }
        var statuses: [XDSType: OriginTypeStatus] = [:]
        for status in self.origins.flatMap(\.origin.typeStatuses) {
            guard var known = statuses[status.type] else {
                statuses[status.type] = status
                continue
            }
            known.version = self.version(of: status.type.typeURL)
            known.resources += status.resources
            known.bytes += status.bytes
            known.isStale = known.isStale || status.isStale
            known.hold = known.hold ?? status.hold
            known.past += status.past
            known.updated = [known.updated, status.updated].compactMap { $0 }.max { $0.rawValue < $1.rawValue }
            statuses[status.type] = known
        }
        return statuses.values.sorted { ($0.type.pushOrder, $0.type.typeURL) < ($1.type.pushOrder, $1.type.typeURL) }
    }

    /// The resources held of one type; references, not copies.
    package func resources(typeURL: String) -> [Resource] {
        self.origins.flatMap { $0.origin.resources(typeURL: typeURL) }
    }

    /// The upstream streams of the group that are open.
    package var openStreams: Int { self.origins.reduce(0) { $0 + $1.origin.openStreams } }
}

/// A type whose resources come from several origins.
private struct JointType {
    /// Of the newest state that was told.
    var generation: Generation
    /// The workers that were told a state as a whole.
    var told: UInt64
}

/// What a federated group must know of each of its origins.
extension OriginGroup {
    fileprivate func generation(of url: String) -> Generation { self.types[url]?.generation ?? 0 }

    fileprivate func version(of url: String) -> String { self.types[url]?.label.version ?? "" }

    fileprivate func isWildcardKnown(of url: String) -> Bool { self.types[url]?.wildcardKnown ?? false }

    fileprivate func followersTold(of url: String) -> UInt64 { self.types[url]?.synced ?? 0 }

    fileprivate func hasWish(_ worker: Int, of url: String) -> Bool { self.types[url]?.wishes[worker] != nil }

    fileprivate func hasWishes(of url: String) -> Bool { self.types[url]?.wishes.isEmpty == false }

    /// A follower stays one when its wishes end, until `dropFollower`.
    fileprivate func keepFollower(_ worker: Int, of url: String) {
        guard let type = self.types[url], type.wishes[worker] != nil else { return }
        type.kept |= 1 << UInt64(worker)
    }

    fileprivate func keepFollowers(of url: String) {
        guard let type = self.types[url] else { return }
        type.kept |= type.workers
    }

    fileprivate func dropFollower(_ worker: Int, of url: String) {
        guard let type = self.types[url] else { return }
        type.kept &= ~(1 << UInt64(worker))
        type.synced &= ~(1 << UInt64(worker))
    }
}
