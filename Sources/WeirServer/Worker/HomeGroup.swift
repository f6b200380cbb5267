import WeirBase
import WeirEngine

/// One group at home on a worker, as the shell knows it.
final class HomeGroup {
    let group: FederatedGroup
    /// By upstream: its own, and those that names go to by their authority.
    private(set) var origins: [String: HomeOrigin] = [:]
    /// The newest state of each type that clients were told, by type URL: what they must have.
    var published: [String: Generation] = [:]
    /// While the store is asked what it has of the group.
    var storeQuestion: StoreQuestion?
    /// What the store said of upstreams that the group has no origin at yet, by upstream.
    var stored: [String: [RestoredType]] = [:]

    init(_ group: FederatedGroup) {
        self.group = group
        self.add(group.own, upstream: group.upstream)
    }

    @discardableResult
    func add(_ origin: OriginGroup, upstream: String) -> HomeOrigin {
        let added = HomeOrigin(origin, upstream: upstream, home: self)
        self.origins[upstream] = added
        return added
    }

    func remove(_ upstream: String) { self.origins[upstream] = nil }
}

/// What a group has to do with one of its upstreams.
final class HomeOrigin {
    let origin: OriginGroup
    let upstream: String
    unowned let home: HomeGroup
    /// The key under which its upstream has its snapshot, for an origin within the process.
    var snapshotSource: String?
    /// Whether sibling relays are asked for what they have, because nothing is held and the upstream is away.
    var isWarming = false
    /// Until when somebody is known to wait for that.
    var warmingUntil = Instant(rawValue: .min)
    /// The numbers of its streams that are open to a sibling.
    var borrowed: Set<Int> = []
    /// Since when what it holds may be out of date; nil while it is not.
    var outOfTouchSince: Instant?
    /// When its newest upstream stream was opened.
    var openedAt = Instant(rawValue: .max)

    init(_ origin: OriginGroup, upstream: String, home: HomeGroup) {
        self.origin = origin
        self.upstream = upstream
        self.home = home
    }
}
