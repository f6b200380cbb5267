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
    /// What is done with the group on the thread for large work; nil while it is here.
    private(set) var away: Handed?
    private var afterwards: () -> Void = {}
    /// What was known of it when it left.
    private(set) var statusBefore: AwayStatus?
    /// What is to be done with it when it is back, in order, and the bytes that this takes.
    private var waiting: [(Homes) -> Void] = []
    var waitingBytes = 0

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

    // MARK: Away

    func leave(_ handed: Handed, then: @escaping () -> Void) {
        self.statusBefore = self.statuses
        self.away = handed
        self.afterwards = then
    }

    /// What is to be done now that it is back.
    func comeBack() -> () -> Void {
        defer { self.afterwards = {} }
        self.away = nil
        self.statusBefore = nil
        return self.afterwards
    }

    /// Returns how much waits.
    func wait(_ body: @escaping (Homes) -> Void) -> Int {
        self.waiting.append(body)
        return self.waiting.count
    }

    func takeWaiting() -> [(Homes) -> Void] {
        defer { self.waiting = [] }
        return self.waiting
    }

    /// Puts back what did not get its turn, before what has come since.
    func putBack(_ rest: ArraySlice<(Homes) -> Void>) { self.waiting.insert(contentsOf: rest, at: 0) }
}

/// What a group has to do with one of its upstreams.
final class HomeOrigin {
    let origin: OriginGroup
    let upstream: String
    /// Holds it while it is one of its origins. Whoever walks over origins while groups may go holds the group.
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
    /// Streams that ended while the group was away and does not know it yet: what it says on them is for nobody. Counted by
    /// number, those to siblings apart.
    private var endings: [Int: Int] = [:]
    /// When its newest upstream stream was opened.
    var openedAt = Instant(rawValue: .max)

    init(_ origin: OriginGroup, upstream: String, home: HomeGroup) {
        self.origin = origin
        self.upstream = upstream
        self.home = home
    }

    private static func place(_ number: Int, _ isSibling: Bool) -> Int { 2 * number + (isSibling ? 1 : 0) }

    func noteEnding(_ number: Int, isSibling: Bool) { self.endings[Self.place(number, isSibling), default: 0] += 1 }

    /// The group is about to be told.
    func noteEndingTold(_ number: Int, isSibling: Bool) {
        let place = Self.place(number, isSibling)
        self.endings[place] = self.endings[place].flatMap { $0 > 1 ? $0 - 1 : nil }
    }

    /// Whether the stream that the group knows by this number is there no more.
    func hasEnded(_ number: Int, isSibling: Bool) -> Bool {
        !self.endings.isEmpty && self.endings[Self.place(number, isSibling)] != nil
    }
}
