package import WeirBase
package import WeirXDS

/// What can be watched as it happens.
package enum EventKind: String, Hashable, Sendable, CaseIterable {
    case request
    case response
    case ack
    case nack
    case push
    case hold
    case connect
    case disconnect
    case upstream
}

/// Something that happened, for people who look on. What does not apply is empty.
package struct LiveEvent: Sendable {
    package var kind: EventKind
    package var at: WallTime
    package var key: String
    package var node: String
    package var type: XDSType?
    package var version: String
    package var nonce: String
    package var push: PushID
    package var detail: String

    package init(
        _ kind: EventKind, at: WallTime, key: String = "", node: String = "", type: XDSType? = nil,
        version: String = "", nonce: String = "", push: PushID = .none, detail: String = ""
    ) {
        self.kind = kind
        self.at = at
        self.key = key
        self.node = node
        self.type = type
        self.version = version
        self.nonce = nonce
        self.push = push
        self.detail = detail
    }
}

/// What one listener wants to hear of. An event without what a filter looks at does not pass it.
package struct EventFilter: Hashable, Sendable {
    package var key: String?
    package var node: String?
    package var typeURL: String?
    /// Nil: all.
    package var kinds: Set<EventKind>?

    package init(key: String? = nil, node: String? = nil, typeURL: String? = nil, kinds: Set<EventKind>? = nil) {
        self.key = key
        self.node = node
        self.typeURL = typeURL
        self.kinds = kinds
    }

    package func matches(_ event: LiveEvent) -> Bool {
        if let kinds = self.kinds, !kinds.contains(event.kind) { return false }
        return self.key ?? event.key == event.key && self.node ?? event.node == event.node
            && (self.typeURL == nil || self.typeURL == event.type?.typeURL)
    }

    /// Whether an event of this kind, key and type may pass; a node is not known yet.
    func mayMatch(_ kind: EventKind, _ key: String, _ type: XDSType?) -> Bool {
        if let kinds = self.kinds, !kinds.contains(kind) { return false }
        return self.key ?? key == key && (self.typeURL == nil || self.typeURL == type?.typeURL)
    }
}

/// What some listener wants to hear of, so that nothing is put together for nobody.
package struct EventInterest: Sendable {
    private let filters: [EventFilter]

    package init(_ filters: [EventFilter]) { self.filters = filters }

    /// Whether somebody listens.
    package var isAny: Bool { !self.filters.isEmpty }

    package func wants(_ kind: EventKind, key: String, type: XDSType?) -> Bool {
        self.filters.contains { $0.mayMatch(kind, key, type) }
    }

    package func wants(_ event: LiveEvent) -> Bool { self.filters.contains { $0.matches(event) } }
}
