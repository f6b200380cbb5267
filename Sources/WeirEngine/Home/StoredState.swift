package import WeirBase
package import WeirXDS

/// What outlives the process of one lane of a type, besides its resources.
package struct StoredLane: Hashable, Sendable {
    /// The version of the lane's content, as clients know it.
    package var version: String
    /// Whether weir made the version itself, out of the content.
    package var isDerived: Bool
    /// SotW: the `version_info` last accepted.
    package var acceptedVersion: String
    /// The server all that was accepted came from; empty if it is not known.
    package var acceptedFrom: String

    package init(version: String, isDerived: Bool, acceptedVersion: String, acceptedFrom: String) {
        self.version = version
        self.isDerived = isDerived
        self.acceptedVersion = acceptedVersion
        self.acceptedFrom = acceptedFrom
    }
}

/// What outlives the process of one type of a group, besides its resources.
package struct StoredHead: Hashable, Sendable {
    /// What was spoken with the upstream: it decides which versions SotW clients see.
    package var variant: ProtocolVariant
    /// Nil while the wildcard is not answered; what was stored of it before stays.
    package var wildcard: StoredLane?
    /// Nil while no names are subscribed to; what was stored of them before stays.
    package var named: StoredLane?
    package var equalVersions: [String]
    package var updated: WallTime?
    /// A hold under which clients have what is stored, an operator's or one that clients caused; nil: none.
    package var hold: StoredHold?

    package init(
        variant: ProtocolVariant, wildcard: StoredLane?, named: StoredLane?, equalVersions: [String],
        updated: WallTime?, hold: StoredHold? = nil
    ) {
        self.variant = variant
        self.wildcard = wildcard
        self.named = named
        self.equalVersions = equalVersions
        self.updated = updated
        self.hold = hold
    }
}

/// What outlives the process of a hold: an operator's, or that of a push that clients rejected.
package struct StoredHold: Hashable, Sendable {
    package var since: WallTime
    /// Who asked for it, or why clients rejected it.
    package var detail: String
    /// A digest of the content that clients rejected; empty: it is an operator's hold.
    package var rejected: String

    package init(since: WallTime, detail: String, rejected: String = "") {
        self.since = since
        self.detail = detail
        self.rejected = rejected
    }
}

/// What is known of one name in one lane.
package struct StoredEntry: Sendable {
    package var lane: Lane
    package var name: String
    package var presence: Presence
    /// The glob collection that brings it.
    package var collection: String?
    /// The server that sent it, in delta: only that one knows its version (UP-09). Empty if it is not known.
    package var source: String

    package init(lane: Lane, name: String, presence: Presence, collection: String? = nil, source: String = "") {
        self.lane = lane
        self.name = name
        self.presence = presence
        self.collection = collection
        self.source = source
    }
}

/// One type of a group as it was stored.
package struct RestoredType: Sendable {
    package var typeURL: String
    package var head: StoredHead
    package var entries: [StoredEntry]

    package init(typeURL: String, head: StoredHead, entries: [StoredEntry]) {
        self.typeURL = typeURL
        self.head = head
        self.entries = entries
    }
}

/// What changed in one type of a group and is to be stored. Immutable and shared: the resources are those in memory.
package struct StoreUpdate: Sendable {
    /// Some changes, and the server that they came from.
    package struct Batch: Sendable {
        package var changes: [ResourceChange]
        package var source: String
    }

    package var typeURL: String
    /// Nil if the type has ended here meanwhile; what was stored stays.
    package var head: StoredHead?
    /// Whether what is stored of the wildcard and not mentioned here is gone.
    package var replacesWildcard: Bool
    /// Whether it is all that is known of the type.
    package var isEverything: Bool
    /// In their order; the later one counts.
    package var batches: [Batch]
}

/// What gathers of one type until the shell takes it.
struct StoreDraft {
    var replacesWildcard = false
    var isEverything = false
    var batches: [StoreUpdate.Batch] = []
    /// Nil: as the type is when the draft is taken.
    var head: StoredHead?
}
