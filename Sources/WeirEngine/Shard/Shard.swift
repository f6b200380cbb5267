package import WeirBase
package import WeirXDS

/// One worker's downstream side: its streams, what they subscribe to, and the views of the groups they belong to.
///
/// Pure: requests, updates and time go in; `sends`, `refusals`, `commands` and `events` come out and are taken by the
/// shell after each round. Not thread safe: confined to its worker's loop.
///
/// A round: any number of `receive`, `update`, ... calls, then `flush`, then the shell carries out what came out.
/// Updates reach settled streams at once, in the order in which they come; answers to requests are given in `flush`, so
/// that many requests of one turn make few responses (ORD-11, SOTW-20).
package final class Shard {
    /// May change between rounds.
    package var policy: ShardPolicy
    let resolve: (KeyRequest) -> KeyResolution
    /// What pushes and ACKs touch; the properties below say what it means.
    private let state = Cell(ShardState())

    // What came out of this round.
    package internal(set) var sends: ContiguousArray<Send> {
        get { self.state.value.sends }
        @inline(__always) _modify { yield &self.state.value.sends }
    }
    package internal(set) var bodies: ContiguousArray<SharedBody> = []
    package internal(set) var refusals: [Refusal] = []
    package internal(set) var commands: [(group: String, command: GroupCommand)] = []
    package internal(set) var events: [ShardEvent] = []
    /// Updates of this round that were put on at least one stream: when their upstream bytes were read.
    package internal(set) var pushes: [Instant] = []
    /// Pushes of this round that were taken, whether or not they concern any stream.
    package internal(set) var taken: [TakenPush] = []
    /// What listeners want to hear of this round, and what of it was too much.
    package internal(set) var live: [LiveEvent] = []
    package internal(set) var liveDropped = 0
    /// What listeners want to hear of; nil while there are none.
    package var watch: EventInterest? {
        didSet { self.state.value.isWatched = self.watch != nil }
    }
    /// Whether there are any, which every ACK asks.
    var isWatched: Bool { self.state.value.isWatched }
    /// Pushes of this round of which it is not known yet who must answer them.
    var ackChecks: [(key: String, typeURL: String, push: PushID)] = []

    var streams = SlotTable<DownstreamStream>()
    /// Per stream slot, the few words that a push touches.
    let links = PlainTable<StreamLink>()
    let typeStreams = PlainTable<TypeStream>()
    /// Parallel to `typeStreams`.
    var versions: ContiguousArray<TypeVersions> {
        @inline(__always) _read { yield self.state.value.versions }
        @inline(__always) _modify { yield &self.state.value.versions }
    }
    var freeTypeStreams: [Int32] = []
    var groups: ContiguousArray<ShardGroup?> = []
    var freeGroups: [Int32] = []
    var groupIndex: [String: Int32] = [:]
    var views: ContiguousArray<TypeView?> {
        @inline(__always) _read { yield self.state.value.views }
        @inline(__always) _modify { yield &self.state.value.views }
    }
    var freeViews: [Int32] = []
    /// Views whose interest may have changed in this round.
    var touchedViews: Set<Int32> = []
    /// Views that were brought something in this round that answers only those who waited for it.
    var freshViews: [Int32] = []
    /// Type streams with an answer due, in the order they became so.
    var due: [Int32] = []
    /// Streams that get in `flush` whatever is held back from them.
    var moving: [Int32] = []
    /// Removals of this round that go out after the types that may have named what is removed (ORD-03).
    var late: [(typeStream: Int32, encoded: Encoded)] = []
    /// Views that keep what left them for clients that are behind.
    var retiring: Set<Int32> = []
    var owed = SideTable<OwedAnswer>()
    /// Type streams that newer content or a due answer is held back from, until they answer or time out.
    var behind: Set<Int32> = []
    /// Counts rounds, to tell bytes of this round from bytes that got stuck.
    var round: UInt32 {
        get { self.state.value.round }
        set { self.state.value.round = newValue }
    }
    var rejections: [Int32: Rejection] = [:]
    /// Streams of sibling relays, each with the digest of the key that it must get.
    var siblings: [SlotID: String] = [:]
    /// The relay's own client, which is counted nowhere.
    var selfCheck: SlotID?
    /// What it asks for.
    var selfCheckNames: [String] = []
    /// Streams without a response so far, in the order they were opened, with the time.
    var unanswered: [(stream: SlotID, since: Instant)] = []
    /// Counters of each type that was ever asked for; a view knows its row.
    package internal(set) var counterRows: ContiguousArray<TypeCounters> {
        get { self.state.value.counterRows }
        @inline(__always) _modify { yield &self.state.value.counterRows }
    }
    /// The types of `counterRows`.
    package internal(set) var counterTypes: [XDSType] = []
    /// How often a stream's node became another (AGG-20); the first holds all the same.
    package internal(set) var nodeChanges = 0
    /// By view.
    var answerMemos: [ObjectIdentifier: AnswerMemo] = [:]
    var heldMemo = HeldMemo()
    var repushMemo: (round: UInt32, repush: EndpointRepush)?
    var cachesForgottenAt: UInt32 = 0
    var now: Instant {
        get { self.state.value.now }
        set { self.state.value.now = newValue }
    }
    var wall = WallTime(rawValue: 0)

    package init(policy: ShardPolicy, resolve: @escaping (KeyRequest) -> KeyResolution) {
        self.policy = policy
        self.resolve = resolve
    }

    package var streamCount: Int { self.streams.count }

    /// Counters since the shard began, of each type that was ever asked for.
    package var counters: [XDSType: TypeCounters] {
        Dictionary(uniqueKeysWithValues: zip(self.counterTypes, self.counterRows))
    }

    /// The row of a type's counters. Types are as few as the URLs that clients ask for; beyond the bound they share a row.
    func counterRow(of type: XDSType) -> Int {
        if let row = self.counterTypes.firstIndex(of: type) { return row }
        if self.counterTypes.count >= Self.counterRowsMax { return self.counterTypes.count - 1 }
        self.counterTypes.append(type)
        self.counterRows.append(TypeCounters())
        return self.counterTypes.count - 1
    }

    private static let counterRowsMax = 1024

    /// Whether another `flush` would find something to do.
    package var hasWork: Bool {
        !self.due.isEmpty || !self.moving.isEmpty || !self.touchedViews.isEmpty || !self.sends.isEmpty
            || !self.refusals.isEmpty || !self.commands.isEmpty || !self.ackChecks.isEmpty
    }

    /// Sets the clocks for the calls that follow.
    package func setTime(_ now: Instant, wall: WallTime) {
        self.now = now
        self.wall = wall
    }

    /// Forgets what came out, once the shell has carried it out. Keeps the memory for the next round.
    package func endRound() {
        self.sends.removeAll(keepingCapacity: true)
        self.bodies.removeAll(keepingCapacity: true)
        self.refusals.removeAll(keepingCapacity: true)
        self.commands.removeAll(keepingCapacity: true)
        self.events.removeAll(keepingCapacity: true)
        self.pushes.removeAll(keepingCapacity: true)
        self.taken.removeAll(keepingCapacity: true)
        self.live.removeAll(keepingCapacity: true)
        self.liveDropped = 0
        for view in self.freshViews { self.views[Int(view)]?.endRound() }
        self.freshViews.removeAll(keepingCapacity: true)
        self.round &+= 1
    }

    // MARK: Streams

    /// A client opened a discovery stream. `handle` is the shell's name for it, given back in `sends` and `refusals`.
    ///
    /// `sibling`: what a relay says that fills a cold group: the digest of its key. It is served what the origin has
    /// confirmed, and only at once.
    package func open(
        handle: UInt64, service: DiscoveryService, peer: PeerIdentity, sibling: String? = nil
    ) -> SlotID {
        let id = self.streams.insert(
            DownstreamStream(handle: handle, service: service, peer: peer, openedAt: self.now, openedAtWall: self.wall))
        while self.links.count <= Int(id.index) { self.links.append(StreamLink()) }
        var link = StreamLink()
        link.generation = id.generation
        link.isOpen = true
        link.isDelta = service.variant == .delta
        link.isBound = service.type != nil
        self.links[Int(id.index)] = link
        self.unanswered.append((id, self.now))
        if let digest = sibling { self.siblings[id] = digest }
        return id
    }

    /// The stream is gone, however it ended (WIRE-08). Unknown ids are ignored. Returns the shell's handle of it.
    @discardableResult
    package func close(_ id: SlotID) -> UInt64? { self.close(id, why: "") }

    private func close(_ id: SlotID, why: String) -> UInt64? {
        if self.watch != nil { self.show(.disconnect, id, detail: why) }
        guard let stream = self.streams.remove(id) else { return nil }
        if !self.siblings.isEmpty { self.siblings[id] = nil }
        var next = self.links[Int(id.index)].firstType
        while next != TypeStream.none {
            let following = self.typeStreams[Int(next)].next
            self.removeTypeStream(next)
            next = following
        }
        self.links[Int(id.index)] = StreamLink()
        return stream.handle
    }

    /// The shell's handle of a stream; nil if it is gone.
    package func handle(of id: SlotID) -> UInt64? { self.streams[id]?.handle }

    /// Whether the stream is still there; looks at its link only.
    func isOpen(_ id: SlotID) -> Bool {
        let index = Int(id.index)
        return index < self.links.count && self.links[index].isOpen && self.links[index].generation == id.generation
    }

    /// Everything handed over for this stream has left for the kernel. Returns whether that makes something due.
    @discardableResult
    package func drained(_ id: SlotID) -> Bool {
        guard self.isOpen(id), self.links[Int(id.index)].drained() else { return false }
        self.move(stream: Int32(id.index))
        return true
    }

    /// Ends a stream with a status and forgets it.
    ///
    /// - Parameter claimed: the encoded node of a stream whose group is not known yet.
    func refuse(
        _ id: SlotID, _ code: RefusalCode, _ reason: RejectionReason, _ message: String, claimed: [UInt8] = []
    ) {
        guard let stream = self.streams[id] else { return }
        let node = stream.identity?.id ?? (try? Node(decoding: claimed))?.id ?? ""
        self.refusals.append(Refusal(handle: stream.handle, code: code, message: message, reason: reason))
        self.events.append(
            .refused(node: node, peer: stream.peer.address, message: message))
        _ = self.close(id, why: message)
    }

    /// Milliseconds of the shard's clock, wrapping every 49 days; only differences are meaningful.
    var milliseconds: UInt32 { UInt32(truncatingIfNeeded: self.now.rawValue / 1_000_000) }
}

/// The words of a shard that pushes and ACKs touch, in one place (see `Cell`).
private struct ShardState {
    var sends: ContiguousArray<Send> = []
    var versions: ContiguousArray<TypeVersions> = []
    var views: ContiguousArray<TypeView?> = []
    var counterRows: ContiguousArray<TypeCounters> = []
    var round: UInt32 = 1
    var now = Instant(rawValue: 0)
    var isWatched = false
}
