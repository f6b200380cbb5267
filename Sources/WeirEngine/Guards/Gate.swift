import WeirBase
import WeirXDS

/// One name in one lane.
struct Slot: Hashable, Comparable {
    var lane: Lane
    var name: String

    static func < (a: Slot, b: Slot) -> Bool { (a.lane.rawValue, a.name) < (b.lane.rawValue, b.name) }
}

/// Stands between what the control plane says of one type of a group and what the clients are sent.
///
/// While it is open the two are the same and nothing is kept here but a few earlier states. While it is closed, what
/// differs is kept name by name, so that neither closing nor opening costs more than the difference.
struct Gate {
    /// Why it is closed; nil while it is open, or while a push is tried.
    var hold: Hold?
    /// What the clients have, as far as it has a name; nil while the gate is open.
    var label: ServedLabel?
    /// What differs between what clients have and what the control plane said.
    private(set) var withheld: [Slot: Withheld] = [:]
    var history = History()
    /// The push that a few streams get first, while it is tried.
    var trial: Trial?
    /// Where those streams have something that the others do not have.
    private(set) var tried: Set<Slot> = []
    /// Responses of the control plane that are answered when the trial is over.
    var pending: [PendingAnswer] = []
    /// Beyond this, the oldest of them stays without an answer.
    static let pendingMax = 16
    /// Names that left a lane lately.
    private var departures: [Slot: Instant] = [:]

    var isClosed: Bool { self.label != nil }

    /// Notes what the control plane now says of a name; `served` is what clients have if nothing was withheld so far.
    mutating func withhold(_ change: ResourceChange, served: Presence) {
        let slot = Slot(lane: change.lane, name: change.name)
        let served = self.withheld[slot]?.served ?? served
        var candidate = change
        candidate.isRefresh = false
        self.withheld[slot] =
            served.isSame(as: change.presence) ? nil : Withheld(served: served, candidate: candidate)
    }

    /// Notes that clients have something else now.
    mutating func serve(_ presence: Presence, _ slot: Slot, candidate: ResourceChange) {
        let candidate = self.withheld[slot]?.candidate ?? candidate
        self.withheld[slot] =
            presence.isSame(as: candidate.presence) ? nil : Withheld(served: presence, candidate: candidate)
    }

    mutating func forget(_ slot: Slot) { self.withheld[slot] = nil }

    /// A few streams are given everything that is withheld.
    mutating func noteTried() { self.tried = Set(self.withheld.keys) }

    /// They are given what the others have.
    mutating func forgetTried() { self.tried = [] }

    /// Names of which clients have something that the control plane does not have.
    func servedNames(in lane: Lane) -> [String] {
        self.withheld.filter { $0.key.lane == lane && $0.value.served.resource != nil }.map(\.key.name)
    }

    /// Opens it. Returns what clients must be told, in order.
    mutating func open() -> [(slot: Slot, withheld: Withheld)] {
        defer {
            self.hold = nil
            self.trial = nil
            self.tried = []
            self.label = nil
            self.withheld = [:]
            self.departures = [:]
        }
        return self.differences
    }

    var differences: [(slot: Slot, withheld: Withheld)] {
        self.withheld.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// When what clients have is over for some name, because its time to live is.
    var nextExpiry: Instant? { self.withheld.values.compactMap { $0.served.resource?.timeToLive?.expires }.min() }

    func expired(at now: Instant) -> [Slot] {
        self.withheld.filter { ($0.value.served.resource?.timeToLive?.expires).map { $0 <= now } ?? false }
            .map(\.key).sorted()
    }

    // MARK: Departures

    /// Remembers for a moment what left, so that what leaves piece by piece is seen as a whole.
    mutating func note(left: [Slot], came: [Slot], _ now: Instant) {
        if !self.departures.isEmpty {
            self.departures = self.departures.filter { now - $0.value < GuardPolicy.window }
            for slot in came { self.departures[slot] = nil }
        }
        for slot in left { self.departures[slot] = now }
    }

    func departed(from lane: Lane, _ now: Instant) -> Int {
        self.departures.count { $0.key.lane == lane && now - $0.value < GuardPolicy.window }
    }
}

/// Why a gate is closed.
struct Hold {
    var reason: HoldReason
    var since: Instant
    var sinceWall: WallTime
    var detail: String
    /// What had left each lane right before.
    var departed: [Lane: Int] = [:]
    /// A digest of the content that clients rejected, where that was before the relay was started; else empty.
    var rejectedBefore = ""
}

/// What a state that clients have is called.
struct ServedLabel {
    var version: String
    var isDerived: Bool
    var equalVersions: [String]
    var updated: WallTime?
}

/// What clients have of a name, and what they would be told.
struct Withheld {
    var served: Presence
    var candidate: ResourceChange
}

extension Presence {
    /// Whether a client sees no difference.
    func isSame(as other: Presence) -> Bool {
        switch (self, other) {
        case (.present(let a), .present(let b)): a === b || a.hash == b.hash && a.version == b.version
        case (.absent, .absent), (.populated, .populated), (.unknown, .unknown): true
        default: false
        }
    }
}

/// Earlier states of a type that clients had, each by its difference to the one after it.
struct History {
    struct Past {
        /// Rising.
        var id: Int
        var label: ServedLabel
        var resources: Int
        /// What makes it of the state after it.
        var undo: [Slot: Presence]
    }

    /// Oldest first.
    private(set) var past: [Past] = []
    private var lastID = 0
    /// The state that clients were taken back to, if they were.
    private(set) var returnedTo: Int?

    /// Notes that clients are about to leave a state.
    mutating func leave(_ label: ServedLabel, resources: Int, undo: [Slot: Presence], max: Int, returningTo: Int? = nil)
    {
        self.returnedTo = returningTo
        guard max > 0, !undo.isEmpty else { return }
        self.lastID += 1
        self.past.append(Past(id: self.lastID, label: label, resources: resources, undo: undo))
        self.trim(to: max)
    }

    mutating func trim(to max: Int) { if self.past.count > max { self.past.removeFirst(self.past.count - max) } }

    /// A lane ended: no earlier state of it means anything.
    mutating func forget(_ lane: Lane) {
        self.past = self.past.compactMap { entry in
            var entry = entry
            entry.undo = entry.undo.filter { $0.key.lane != lane }
            return entry.undo.isEmpty ? nil : entry
        }
    }

    /// The newest state of a version, or, without one, that before the present one.
    func find(_ version: String?) -> Past? {
        if let version = version { return self.past.last { $0.label.version == version } }
        return self.past.last { past in self.returnedTo.map { past.id < $0 } ?? true }
    }

    /// What makes an earlier state of the present one.
    func wayBack(to target: Past) -> [Slot: Presence] {
        var way: [Slot: Presence] = [:]
        for past in self.past.reversed() where past.id >= target.id { way.merge(past.undo) { $1 } }
        return way
    }
}
