package import WeirBase
package import WeirXDS

/// Counts the states of one (group, type) at its home worker: orders them, never leaves the process.
package typealias Generation = UInt64

/// Where a resource came from: the wildcard subscription, or a subscription by name. The two are kept apart, so that
/// what one client fetched by name never shows up in another's wildcard (AGG-17).
package enum Lane: UInt8, Hashable, Sendable, CaseIterable {
    case wildcard
    case named
}

/// What is known of one name in one lane.
package enum Presence: Sendable {
    case present(Resource)
    /// The origin said, by protocol, that it does not exist (negative answers are cached, AGG-18).
    case absent
    /// A glob collection that has members, each under its own name; it is nothing by itself.
    case populated
    /// Nothing is known: never answered, or no longer subscribed upstream.
    case unknown

    var resource: Resource? { if case .present(let resource) = self { resource } else { nil } }
}

extension XDSType {
    /// Whether resources of later types name those of this one: then what is removed goes after these (ORD-01, ORD-03).
    var removalsGoLast: Bool { self.pushOrder <= XDSType.leds.pushOrder }
}

/// One name whose state changed.
package struct ResourceChange: Sendable {
    package var lane: Lane
    package var name: String
    package var presence: Presence
    /// Whether it is what was there before, heard of again: its time to live begins anew, or ends (TTL-02, TTL-07).
    package var isRefresh: Bool
    /// The glob collection that brings it, for a resource that is subscribed to through one.
    package var collection: String?
    /// Why the origin does not send the resource; with `isRefresh` that is all there is to it, and what was there stays.
    package var error: ResourceError?

    package init(
        lane: Lane, name: String, presence: Presence, isRefresh: Bool = false, collection: String? = nil,
        error: ResourceError? = nil
    ) {
        self.lane = lane
        self.name = name
        self.presence = presence
        self.isRefresh = isRefresh
        self.collection = collection
        self.error = error
    }
}

/// A new state of one (group, type), from its home to each worker with an interest in it. Immutable; one is shared by
/// all workers.
package struct TypeUpdate: Sendable {
    package var typeURL: String
    /// The state this makes.
    package var generation: Generation
    /// Whether `changes` is the whole state (for a worker that just joined) or what is new since the last generation.
    package var isFull: Bool
    package var changes: [ResourceChange]
    /// Whether the wildcard lane has been answered by the origin, be it with an empty set (DELTA-01).
    package var wildcardKnown: Bool
    /// The version of the whole type: the upstream's `version_info` or `system_version_info`, or derived if it sent
    /// none.
    package var version: String
    /// Further upstream versions that had the same content: a client that presents one of them is current too.
    package var equalVersions: [String]
    /// Whether `version` may be passed to SotW clients (the upstream speaks SotW); otherwise theirs is derived from the
    /// content they see (XLT-06).
    package var passesVersionToSotW: Bool
    /// Whom it is for.
    package var audience = Audience.all
    /// The push that it is a part of; none for a worker that hears what others know.
    package var push = PushID.none
    /// The push that made the state before it.
    package var state = PushID.none
    /// When the upstream's bytes were read.
    package var receivedAt: Instant
    package var receivedAtWall: WallTime

    package init(
        typeURL: String, generation: Generation, isFull: Bool, changes: [ResourceChange], wildcardKnown: Bool,
        version: String, equalVersions: [String] = [], passesVersionToSotW: Bool, receivedAt: Instant,
        receivedAtWall: WallTime
    ) {
        self.typeURL = typeURL
        self.generation = generation
        self.isFull = isFull
        self.changes = changes
        self.wildcardKnown = wildcardKnown
        self.version = version
        self.equalVersions = equalVersions
        self.passesVersionToSotW = passesVersionToSotW
        self.receivedAt = receivedAt
        self.receivedAtWall = receivedAtWall
    }
}

/// How a worker's wish for resources of one type changed: the union over its streams, so a name appears when its first
/// stream wants it and goes with its last (AGG-05).
package struct InterestChange: Hashable, Sendable {
    package var typeURL: String
    /// nil: unchanged.
    package var wildcard: Bool?
    package var added: [String]
    package var removed: [String]
    /// Names that are wanted already and must be fetched anew for one more stream (AGG-23).
    package var renewed: [String] = []

    package init(typeURL: String, wildcard: Bool? = nil, added: [String] = [], removed: [String] = []) {
        self.typeURL = typeURL
        self.wildcard = wildcard
        self.added = added
        self.removed = removed
    }

    package var isEmpty: Bool {
        self.wildcard == nil && self.added.isEmpty && self.removed.isEmpty && self.renewed.isEmpty
    }
}

/// Whether a group's origin can be asked at the moment.
package struct OriginState: Hashable, Sendable {
    package var isConnected: Bool
    /// The server in use or last tried, for people.
    package var server: String
    /// Why it is not connected; empty while it is.
    package var lastError: String
    /// Whether something of what is held came from a sibling relay, and the origin has not confirmed it.
    package var isBorrowed: Bool

    package init(isConnected: Bool, server: String, lastError: String, isBorrowed: Bool = false) {
        self.isConnected = isConnected
        self.server = server
        self.lastError = lastError
        self.isBorrowed = isBorrowed
    }
}
