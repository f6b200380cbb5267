import WeirBase
import WeirXDS

/// One discovery stream of a client.
struct DownstreamStream {
    let handle: UInt64
    let serviceNumber: UInt8
    let peer: PeerIdentity
    let openedAt: Instant
    let openedAtWall: WallTime
    var identity: NodeIdentity?
    var group = TypeStream.none
    var keyScope = KeyScope.stream
    var wasAnswered = false
    /// A digest of the node it last sent.
    var nodeDigest: UInt64 = 0
    /// SotW: whether it takes resources with a time to live, in a wrapper.
    var takesTimeToLive = false

    init(handle: UInt64, service: DiscoveryService, peer: PeerIdentity, openedAt: Instant, openedAtWall: WallTime) {
        self.handle = handle
        self.serviceNumber = service.number
        self.peer = peer
        self.openedAt = openedAt
        self.openedAtWall = openedAtWall
    }

    var service: DiscoveryService { DiscoveryService.all[Int(self.serviceNumber)] }
}

/// The few words of a stream that a push touches.
struct StreamLink: BitwiseCopyable {
    /// Which user of the slot it is, and whether there is one.
    var generation: UInt32 = 0
    var isOpen = false
    var isDelta = false
    /// Whether its service is for one type only.
    var isBound = false
    /// Whether each request may move its type to another group (`KeyScope.request`).
    var isKeyedByRequest = false
    /// Its types, linked in push order.
    var firstType = TypeStream.none
    var typeCount: Int32 = 0
    /// Types that newer content is held back from, and types with an answer due.
    var pending: Int32 = 0
    /// Whether all of that goes out in the next `flush`.
    var isMoving = false
    /// The round in which something was last handed over.
    var sentRound: UInt32 = 0
    /// Whether the transport holds bytes of it that have not left.
    var hasUnsent = false
    /// Messages handed over since it last had none.
    var queued: Int32 = 0
    /// Whether something waits for `drained`.
    var isHolding = false

    /// The transport has nothing of it any more. Returns whether something waited for that.
    mutating func drained() -> Bool {
        self.hasUnsent = false
        self.queued = 0
        defer { self.isHolding = false }
        return self.isHolding
    }
}
