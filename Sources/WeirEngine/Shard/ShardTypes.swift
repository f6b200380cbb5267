package import WeirBase
package import WeirXDS

/// What bounds and paces one shard. Values come from the relay's configuration.
package struct ShardPolicy: Sendable {
    /// How long a response may stay unanswered before the next one of its type is sent all the same.
    package var ackTimeout = Nanoseconds.seconds(5)
    /// Delta responses are split so that none is larger, in bytes (WIRE-06); one resource that is larger goes alone.
    package var maxResponseBytes = 4 * 1024 * 1024
    /// Answers to new subscriptions may overtake ACKs up to this many unanswered responses of one type.
    package var maxOutstanding = 4
    /// How long a new stream may take to send its first request.
    package var firstRequestTimeout = Nanoseconds.seconds(10)
    /// Whether a returning delta client is spared what it asks for by name in the version that it says it holds, too, and not
    /// only what comes by a wildcard or a collection (DELTA-12).
    package var trustsVersionsOfNames = true
    /// Lists of names at least so long are found again by their bytes; shorter ones are read as fast.
    package var sharedWishNamesMin = 4
    /// Changes of an update that are worked on in one turn; a larger update takes several.
    package var changesAtOnceMax = 4096
    /// Types one aggregated stream may subscribe to.
    package var maxTypesPerStream = 256
    /// `control_plane.identifier` of every response: tells an operator which relay fed a proxy. May be empty.
    package var controlPlaneIdentifier = ""
    /// Whether it tells when pushes were taken and answered.
    package var tracksPushes = true

    package init() {}
}

/// What a shard keeps of a node: what people look for, not what rules match.
package final class NodeIdentity: Sendable {
    package let id: String
    package let cluster: String
    /// The encoded node: whole where it is needed again for keys that depend on the type, else what people look for (see
    /// `Node.summary`).
    package let encoded: [UInt8]
    /// Whether `encoded` has everything that rules can look at, so that they can be asked again.
    package let isWhole: Bool
    /// Name and version of the client's program, as in `envoy/1.33.0`; may be empty.
    package let agent: String

    package init(id: String, cluster: String, encoded: [UInt8], agent: String = "", isWhole: Bool = true) {
        self.id = id
        self.cluster = cluster
        self.agent = agent
        self.encoded = encoded
        self.isWhole = isWhole
    }
}

/// Who is at the other end, as the transport knows it.
package final class PeerIdentity: Sendable {
    package let address: String
    /// The verified client certificate's URI and DNS names; empty without mTLS.
    package let names: [String]

    package init(address: String, names: [String]) {
        self.address = address
        self.names = names
    }
}

/// Asks the aggregation rules for a key.
package struct KeyRequest {
    /// The encoded node, as the client sent it.
    package var node: [UInt8]
    package var typeURL: String
    package var resourceNames: [String]
    package var peer: PeerIdentity

    package init(node: [UInt8], typeURL: String, resourceNames: [String], peer: PeerIdentity) {
        self.node = node
        self.typeURL = typeURL
        self.resourceNames = resourceNames
        self.peer = peer
    }
}

/// The rules' answer.
package enum KeyResolution {
    /// The group; `upstreamNode` is what a new group will call itself upstream.
    case group(
        key: String, upstream: String, coldTimeout: Nanoseconds, identity: NodeIdentity, upstreamNode: [UInt8],
        scope: KeyScope)
    /// No rule matches, or the node is unusable: the stream ends with INVALID_ARGUMENT and this text.
    case refused(String)
    /// The client may not claim to be this node: the stream ends with PERMISSION_DENIED and this text.
    case denied(String)
}

/// How far a key reaches: which later requests of a stream may have another one.
package enum KeyScope: Sendable {
    /// One key for the whole stream.
    case stream
    /// One key for each type.
    case type
    /// The key depends on the resource names, so that each request may move its type to another group.
    case request
}

/// gRPC status codes that a shard ends streams with.
package enum RefusalCode: UInt8, Sendable {
    case ok = 0
    case invalidArgument = 3
    case deadlineExceeded = 4
    case permissionDenied = 7
    case resourceExhausted = 8
    case unavailable = 14
}

/// One response to put on one stream: a shared body followed by the stream's own nonce.
package struct Send: Sendable {
    /// The shell's name for the stream, as given to `Shard.open`.
    package var handle: UInt64
    /// Which of the shard's `bodies` of this round.
    package var body: Int32
    package var nonce: Nonce
}

/// A stream that must end.
package struct Refusal: Sendable {
    package var handle: UInt64
    package var code: RefusalCode
    package var message: String
    package var reason: RejectionReason
}

/// What a shard says to the home of a group.
package enum GroupCommand: Sendable {
    /// `node` is what the group calls itself at its own upstream, `openedBy` the node that opened it.
    case join(upstream: String, node: [UInt8], openedBy: [UInt8])
    case interest(InterestChange)
    case rollout(RolloutReport)
    /// Streams wait, nothing is cached and the origin is away: what a sibling relay has would be welcome.
    case warm
    case leave
}

/// Something that happened, for logs, counters and live events.
package enum ShardEvent: Sendable {
    case nack(
        node: String, key: String, type: XDSType, version: String, push: PushID, detail: ErrorDetail)
    case refused(node: String, peer: String, message: String)
    /// Every stream of the group has settled on the newest state, so long after its bytes were read from upstream.
    case converged(type: XDSType, after: Nanoseconds)
    /// Every stream that a push concerns has answered it, or a newer one of its type.
    case acknowledged(key: String, type: XDSType, push: PushID)
    case ackTimeout(node: String, key: String, type: XDSType)
    /// A response larger than `maxResponseBytes` that cannot be split (WIRE-06); told once for each type of a group.
    case oversized(key: String, type: XDSType, bytes: Int)
}

/// Counters of one type since the shard began; read and exported by the shell.
package struct TypeCounters: Hashable, Sendable {
    package var requests = 0
    package var responses = 0
    package var acks = 0
    package var nacks = 0
    /// Responses, counted once for all streams that share them, that are larger than `maxResponseBytes`.
    package var oversized = 0

    package init() {}
}
