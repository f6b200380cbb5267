package import WeirBase
import WeirHash
package import WeirXDS

/// Names that a push concerns: the first of them, and how many there are.
package struct NameList: Hashable, Sendable {
    package private(set) var names: [String] = []
    package private(set) var count = 0

    package static let namesMax = 100

    package var leftOut: Int { self.count - self.names.count }

    mutating func add(_ name: String) {
        self.count += 1
        if self.names.count < Self.namesMax { self.names.append(name) }
    }
}

/// A client that rejected a push.
package struct PushNack: Hashable, Sendable {
    package var node: String
    package var message: String

    static let bytesMax = 1024
}

/// One push of the history, for people.
package struct PushSummary: Sendable {
    package var id: PushID
    package var key: String
    package var type: XDSType
    package var version: String
    package var at: WallTime
    package var upstream: String
    package var server: String
    package var added = NameList()
    package var changed = NameList()
    package var removed = NameList()
    package var outcome: PushOutcome
    package var detail: String
    /// Responses that were put on streams at once.
    package var responses = 0
    /// From the upstream's bytes read to the last of them written; nil while a worker has yet to, or nothing was.
    package var written: Nanoseconds?
    /// The same until no stream had to answer any more; nil while one has, or nobody was told.
    package var acked: Nanoseconds?
    /// The first of them.
    package var nacks: [PushNack] = []
    package var nackCount = 0
    /// How often the same unchanged state was said, one after the other.
    package var repeats = 0

    package static let nacksMax = 20
    package static let detailBytesMax = 2048

    /// Bytes that it takes in memory, roughly.
    var cost: Int {
        let names = [self.added, self.changed, self.removed].flatMap(\.names).reduce(0) { $0 + $1.utf8.count + 32 }
        let nacks = self.nacks.reduce(0) { $0 + $1.node.utf8.count + $1.message.utf8.count + 64 }
        return 512 + names + nacks + self.detail.utf8.count + self.version.utf8.count
    }
}

/// A resource as the journal keeps it: of secrets there is no body.
package struct KeptResource: Sendable {
    package let version: String
    let hash: ContentHash
    package let resource: Resource?

    init(_ resource: Resource, isSecret: Bool) {
        self.version = resource.version
        self.hash = resource.hash
        self.resource = isSecret ? nil : resource
    }

    var bytes: Int { self.resource?.encoded.count ?? 0 }
}

/// What is different between two states of a type.
package struct StateDifference: Sendable {
    package struct Change: Sendable {
        package var name: String
        package var before: KeptResource
        package var after: KeptResource
    }

    package var type: XDSType
    package var from: String
    package var to: String
    package var added: [String] = []
    package var removed: [String] = []
    package var changed: [Change] = []
}
