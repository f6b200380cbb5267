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

    // MARK: Type streams

    func typeStream(of id: SlotID, typeURL: ByteRange, in bytes: borrowing Span<UInt8>) -> Int32 {
        var next = self.links[Int(id.index)].firstType
        // On a service for one type the URL may be left out.
        if typeURL.isEmpty { return self.links[Int(id.index)].isBound ? next : TypeStream.none }
        let mark = TypeView.mark(ofURL: typeURL, in: bytes)
        while next != TypeStream.none {
            if self.typeStreams[Int(next)].typeMark == mark, let url = self.view(of: next)?.typeURLBytes,
                bytes.equals(typeURL, url.span)
            {
                return next
            }
            next = self.typeStreams[Int(next)].next
        }
        return TypeStream.none
    }

    func view(of typeStream: Int32) -> TypeView? { self.views[Int(self.typeStreams[Int(typeStream)].view)] }

    /// Adds a type to a stream, at its place in push order.
    func makeTypeStream(_ id: SlotID, view: Int32, type: XDSType) -> Int32 {
        let index: Int32
        var new = TypeStream(stream: Int32(id.index), view: view, handle: self.streams[id]?.handle ?? 0)
        new.typeMark = self.views[Int(view)]?.typeMark ?? 0
        if let free = self.freeTypeStreams.popLast() {
            index = free
            self.typeStreams[Int(index)] = new
            self.versions[Int(index)] = TypeVersions()
        } else {
            index = Int32(self.typeStreams.count)
            self.typeStreams.append(new)
            self.versions.append(TypeVersions())
        }
        self.typeStreams[Int(index)].streamGeneration = id.generation
        self.link(index, into: Int(id.index), order: type.pushOrder)
        self.views[Int(view)]?.streams += 1
        self.views[Int(view)]?.detached += 1
        return index
    }

    private func link(_ index: Int32, into stream: Int, order: Int) {
        var previous = TypeStream.none
        var next = self.links[stream].firstType
        while next != TypeStream.none, self.view(of: next)?.type.pushOrder ?? 0 <= order {
            previous = next
            next = self.typeStreams[Int(next)].next
        }
        self.typeStreams[Int(index)].next = next
        if previous == TypeStream.none {
            self.links[stream].firstType = index
        } else {
            self.typeStreams[Int(previous)].next = index
        }
        self.links[stream].typeCount += 1
    }

    /// Takes a type off its stream's list.
    func unlink(_ index: Int32, from stream: Int) {
        let following = self.typeStreams[Int(index)].next
        self.links[stream].typeCount -= 1
        if self.links[stream].firstType == index {
            self.links[stream].firstType = following
            return
        }
        var previous = self.links[stream].firstType
        while previous != TypeStream.none {
            let next = self.typeStreams[Int(previous)].next
            if next == index {
                self.typeStreams[Int(previous)].next = following
                return
            }
            previous = next
        }
    }

    func id(ofStream typeStream: Int32) -> SlotID {
        let record = self.typeStreams[Int(typeStream)]
        return SlotID(index: UInt32(record.stream), generation: record.streamGeneration)
    }

    func removeTypeStream(_ index: Int32) {
        let record = self.typeStreams[Int(index)]
        guard let view = self.views[Int(record.view)] else { return }
        self.answerTrial(index, view, .gone)
        self.detach(index)
        self.settle(index)
        view.detached -= 1
        view.waiting.remove(index)
        view.streams -= 1
        if record.subscription != TypeStream.none { view.release(record.subscription) }
        self.dropOwed(index)
        self.caughtUp(index)
        self.notDue(index)
        self.rejections[index] = nil
        self.typeStreams[Int(index)] = TypeStream(stream: TypeStream.none, view: 0, handle: 0)
        self.versions[Int(index)] = TypeVersions()
        self.freeTypeStreams.append(index)
        self.touchedViews.insert(record.view)
    }

    // MARK: Cohort membership

    /// Takes a type stream out of its cohort, remembering what it was sent.
    func detach(_ index: Int32) {
        let record = self.typeStreams[Int(index)]
        guard record.cohort != TypeStream.none, let view = self.views[Int(record.view)] else { return }
        self.leaveList(record, in: view)
        self.versions[Int(index)].sent = view.cohorts[Int(record.cohort)].version
        // A current cohort holds everything up to now, however long ago its generation was.
        let generation = view.cohorts[Int(record.cohort)].generation
        let isCurrent = generation >= view.subscriptions[Int(record.subscription)]?.changed ?? 0
        self.typeStreams[Int(index)].base = isCurrent ? view.generation : generation
        self.typeStreams[Int(index)].cohort = TypeStream.none
        view.detached += 1
        if view.cohorts[Int(record.cohort)].isEmpty { view.removeCohort(record.cohort) }
    }

    func leaveList(_ record: TypeStream, in view: TypeView) {
        let position = Int(record.position)
        let moved: Int32?
        if record.isInAwaitingList {
            moved = view.cohorts[Int(record.cohort)].awaiting.swapRemove(at: position)
        } else {
            moved = view.cohorts[Int(record.cohort)].idle.swapRemove(at: position)
        }
        if let moved = moved { self.typeStreams[Int(moved)].position = Int32(position) }
    }

    /// Puts a detached type stream into a cohort, on the list that its outstanding responses say.
    func join(_ index: Int32, cohort: Int32, in view: TypeView) {
        let awaiting = self.typeStreams[Int(index)].isAwaiting
        self.typeStreams[Int(index)].cohort = cohort
        self.typeStreams[Int(index)].isInAwaitingList = awaiting
        if awaiting {
            self.typeStreams[Int(index)].position = Int32(view.cohorts[Int(cohort)].awaiting.count)
            view.cohorts[Int(cohort)].awaiting.append(index)
        } else {
            self.typeStreams[Int(index)].position = Int32(view.cohorts[Int(cohort)].idle.count)
            view.cohorts[Int(cohort)].idle.append(index)
        }
        view.detached -= 1
    }

    /// Moves a member whose responses were all answered to its cohort's idle list.
    func becomeIdle(_ index: Int32, in view: TypeView) {
        let record = self.typeStreams[Int(index)]
        guard record.cohort != TypeStream.none, record.isInAwaitingList else { return }
        let moved = view.cohorts[Int(record.cohort)].becomesIdle(index, at: Int(record.position))
        if let member = moved.member { self.typeStreams[Int(member)].position = record.position }
        self.typeStreams[Int(index)].stands(at: moved.position, awaiting: false)
    }

    // MARK: Falling behind

    /// Notes that newer content is held back from a type stream.
    func fallBehind(_ index: Int32, in view: TypeView) {
        self.unsettle(index, in: view)
        guard !self.typeStreams[Int(index)].isBehind else { return }
        self.typeStreams[Int(index)].isBehind = true
        self.links[Int(self.typeStreams[Int(index)].stream)].pending += 1
        view.behind += 1
        self.behind.insert(index)
    }

    func caughtUp(_ index: Int32) {
        guard self.typeStreams[Int(index)].isBehind else { return }
        self.typeStreams[Int(index)].isBehind = false
        self.links[Int(self.typeStreams[Int(index)].stream)].pending -= 1
        self.view(of: index)?.behind -= 1
        self.behind.remove(index)
    }

    /// Whether bytes of an earlier round are still stuck in the transport: then nothing more is handed over, and the
    /// newest state goes out when they have left.
    func isStuck(_ stream: Int32) -> Bool {
        let link = self.links[Int(stream)]
        return link.hasUnsent && (link.sentRound != self.round || link.queued >= Self.queuedMax)
    }

    /// Whether a stream was handed so many messages that the transport has no room for many more.
    func isFull(_ stream: Int32) -> Bool { self.links[Int(stream)].queued >= Self.queuedMax }

    /// Messages of one stream in the transport, beyond which it is handed no more. What one turn brings of all known types
    /// may come on top.
    private static let queuedMax: Int32 = 24

    // MARK: Convergence

    func unsettle(_ index: Int32, in view: TypeView) {
        guard !self.typeStreams[Int(index)].isUnsettled else { return }
        self.typeStreams[Int(index)].isUnsettled = true
        view.unsettled += 1
    }

    func settle(_ index: Int32) {
        if let view = self.view(of: index) { self.settle(index, in: view) }
    }

    func settle(_ index: Int32, in view: TypeView) {
        guard self.typeStreams[Int(index)].isUnsettled else { return }
        self.typeStreams[Int(index)].isUnsettled = false
        view.unsettled -= 1
        if view.unsettled == 0 { self.noteSettled(view) }
        if view.unsettled == 0, !view.convergenceReported {
            view.convergenceReported = true
            self.events.append(.converged(type: view.type, after: self.now - view.receivedAt))
        }
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

/// A group as one worker knows it.
struct ShardGroup {
    let key: String
    let upstream: String
    let coldTimeout: Nanoseconds
    var views: [Int32] = []
    var origin = OriginState(isConnected: false, server: "", lastError: "")
    /// Since when the origin has not been connected for long.
    var disconnectedSince: Instant
    /// When it was last connected.
    var connectedSince = Instant(rawValue: 0)
    /// When the home was last asked to look for a sibling's content.
    var askedForWarmth: Instant?
}

/// The rejected response of one type stream, kept until it acknowledges another.
package struct Rejection: Sendable {
    package var version: String
    package var message: String
    package var at: WallTime
}

/// Rare extra state of a few elements, by index.
struct SideTable<Element> {
    private var elements: ContiguousArray<Element?> = []
    private var free: [Int32] = []

    mutating func insert(_ element: Element) -> Int32 {
        if let index = self.free.popLast() {
            self.elements[Int(index)] = element
            return index
        }
        self.elements.append(element)
        return Int32(self.elements.count - 1)
    }

    mutating func remove(_ index: Int32) {
        self.elements[Int(index)] = nil
        self.free.append(index)
    }

    subscript(index: Int32) -> Element? {
        _read { yield self.elements[Int(index)] }
        _modify { yield &self.elements[Int(index)] }
    }
}

extension Array {
    /// Removes an element by putting the last one in its place; returns that one if it moved.
    mutating func swapRemove(at position: Int) -> Element? {
        let last = self.removeLast()
        guard position < self.count else { return nil }
        self[position] = last
        return last
    }
}
