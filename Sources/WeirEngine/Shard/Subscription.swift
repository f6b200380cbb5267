import WeirBase

/// A resource name within one view.
struct NameID: Hashable, Comparable {
    var rawValue: Int32

    static func < (a: NameID, b: NameID) -> Bool { a.rawValue < b.rawValue }
}

/// What streams ask of one type: the wildcard, names, or both. Interned: streams that ask the same share one.
struct Subscription {
    struct Content: Hashable {
        var wildcard: Bool
        /// Sorted, each once.
        var names: [NameID]
        /// Those of the names that are glob collections, sorted. SotW clients have none: to them such a name is one like any
        /// other (XLT-10).
        var globs: [NameID] = []
        /// SotW clients that take resources with a time to live, in a wrapper (TTL-01).
        var wrapsTimeToLive = false

        var isNothing: Bool { !self.wildcard && self.names.isEmpty }

        func contains(_ name: NameID) -> Bool {
            var low = 0
            var high = self.names.count
            while low < high {
                let middle = (low + high) / 2
                if self.names[middle] < name { low = middle + 1 } else { high = middle }
            }
            return low < self.names.count && self.names[low] == name
        }
    }

    let content: Content
    /// Type streams that hold it.
    var streams = 0
    /// Its live cohorts, of both variants: few.
    var cohorts: [Int32] = []
    /// When something it covers last changed, and the time before that.
    var changed: Generation = 0
    var changedBefore: Generation = 0
    /// The encoded answer to a client that has nothing, per variant, while it is in use.
    var full = VariantSlots<Encoded>()
}

/// One optional value per protocol variant.
struct VariantSlots<Value> {
    var sotw: Value?
    var delta: Value?
}

/// The streams of one worker that share (group, type, variant, subscription, state sent).
struct Cohort {
    let subscription: Int32
    let isDelta: Bool
    /// The generation its members have been sent. It is current while nothing its subscription covers changed since.
    var generation: Generation
    var version: String
    /// Members whose newest response was answered.
    var idle: [Int32] = []
    /// Members whose newest response was not.
    var awaiting: [Int32] = []
    /// The encoded way from here to the newest generation, while members take it.
    var step: (to: Generation, encoded: Encoded)?
    /// The same in two parts, for members that get the removals later.
    var split: (to: Generation, encoded: SplitEncoded)?

    var isEmpty: Bool { self.idle.isEmpty && self.awaiting.isEmpty }

    /// Moves a member to the idle; returns its place there, and who took the one it had.
    mutating func becomesIdle(_ member: Int32, at position: Int) -> (position: Int32, member: Int32?) {
        let moved = self.awaiting.swapRemove(at: position)
        self.idle.append(member)
        return (Int32(self.idle.count - 1), moved)
    }

    /// Stands where there is none.
    static var unused: Cohort { Cohort(subscription: -1, isDelta: false, generation: 0, version: "") }
}

/// A response encoded once for many streams.
struct Encoded {
    /// One body per response message; empty: nothing to say.
    var bodies: [SharedBody]
    /// What clients see as version: `version_info`, or the type's version for delta.
    var version: String
    /// For clusters: the EDS names of those that are new or changed in it (ORD-05).
    var endpointNames: EndpointNames?
    /// Until when it may be sent to further clients: what is left of a time to live shrinks. Nil: ever.
    var usableUntil: Instant?
    /// Names that did not fit: they are owed to who gets it.
    var left: Set<NameID> = []

    static var nothing: Encoded { Encoded(bodies: [], version: "", endpointNames: nil) }

    func isUsable(at now: Instant) -> Bool { self.usableUntil.map { now < $0 } ?? true }
}

/// A response whose removals go out after other types, because those may have named what is removed (ORD-03).
struct SplitEncoded {
    var first: Encoded
    /// Without bodies: nothing is removed, or it went out with the first.
    var late = Encoded.nothing

    /// What the client has in the end.
    var version: String { self.late.bodies.isEmpty ? self.first.version : self.late.version }
    var isEmpty: Bool { self.first.bodies.isEmpty && self.late.bodies.isEmpty }
    /// Names that did not fit into either.
    var left: Set<NameID> { self.late.left.isEmpty ? self.first.left : self.first.left.union(self.late.left) }

    func isUsable(at now: Instant) -> Bool { self.first.isUsable(at: now) && self.late.isUsable(at: now) }
}
