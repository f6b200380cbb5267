import WeirBase
import WeirXDS

/// The pushes that reached a view.
struct PushTrack {
    /// The newest that its worker was told of.
    private(set) var newest = PushID.none
    /// Whether it is still to be told that all of the worker's streams have answered it.
    var owesAck = false
    /// The last ones, to tell what a client rejects.
    private var recent: [(generation: Generation, push: PushID)] = []
    private static let recentMax = 8

    mutating func arrived(_ update: TypeUpdate, at generation: Generation) {
        let push = update.push == .none ? update.state : update.push
        guard push != .none, push != self.recent.last?.push else { return }
        if self.recent.count == Self.recentMax { self.recent.removeFirst() }
        self.recent.append((generation, push))
    }

    mutating func taken(_ push: PushID) {
        self.newest = max(self.newest, push)
        self.owesAck = true
    }

    /// The newest push of a client that has been sent everything up to a generation.
    func push(at generation: Generation) -> PushID {
        self.recent.last { $0.generation <= generation }?.push ?? .none
    }
}

/// What becomes of pushes on a worker.
extension Shard {
    /// Notes that the views of a group have what an update brought.
    func noteTaken(_ key: String, _ update: TypeUpdate, responses: Int) {
        guard update.push != .none, self.policy.tracksPushes else { return }
        self.taken.append(
            TakenPush(
                key: key, type: XDSType.of(typeURL: update.typeURL), push: update.push, responses: responses))
        if let main = self.mainView(key, update.typeURL) { self.views[Int(main)]?.track.taken(update.push) }
        // Answers that are due are given in `flush` only: then it shows who has yet to answer.
        self.ackChecks.append((key, update.typeURL, update.push))
    }

    /// Tells of pushes of this round that nobody has to answer.
    func checkAcks() {
        guard !self.ackChecks.isEmpty else { return }
        for check in self.ackChecks {
            if let main = self.mainView(check.key, check.typeURL), let view = self.views[Int(main)] {
                self.noteSettled(view)
            } else {
                self.events.append(
                    .acknowledged(key: check.key, type: XDSType.of(typeURL: check.typeURL), push: check.push))
            }
        }
        self.ackChecks.removeAll(keepingCapacity: true)
    }

    /// Tells that all streams of a type have answered the newest push, once they have.
    func noteSettled(_ view: TypeView) {
        guard view.unsettled == 0 else { return }
        let main = view.staging.rest == TypeStream.none ? view : self.views[Int(view.staging.rest)] ?? view
        guard main.track.owesAck, main.unsettled == 0 else { return }
        if main.staging.first != TypeStream.none, self.views[Int(main.staging.first)]?.unsettled ?? 0 > 0 { return }
        main.track.owesAck = false
        self.events.append(
            .acknowledged(
                key: self.groups[Int(view.group)]?.key ?? "", type: view.type, push: main.track.newest))
    }

    /// The push whose content a type stream was last sent.
    func sentPush(_ index: Int32, _ view: TypeView) -> PushID {
        let record = self.typeStreams[Int(index)]
        let isDetached = record.cohort == TypeStream.none
        return view.track.push(at: isDetached ? record.base : view.cohorts[Int(record.cohort)].generation)
    }

    // MARK: Live events

    /// Takes down what some listener wants to hear of. Beyond the bound of a round it is only counted.
    private func show(_ event: LiveEvent) {
        guard let watch = self.watch, watch.wants(event) else { return }
        guard self.live.count < Self.liveMax else { return self.liveDropped += 1 }
        self.live.append(event)
    }

    /// Events of one round.
    private static var liveMax: Int { 4096 }

    /// Something about one type of a stream. Not to be called unless `watch` is set.
    func show(
        _ kind: EventKind, _ index: Int32, _ view: TypeView, nonce: Nonce, push: PushID? = nil,
        detail: @autoclosure () -> String = ""
    ) {
        let key = self.groups[Int(view.group)]?.key ?? ""
        guard let watch = self.watch, watch.wants(kind, key: key, type: view.type),
            !self.isSelfCheck(stream: self.typeStreams[Int(index)].stream)
        else { return }
        self.show(
            LiveEvent(
                kind, at: self.wall, key: key, node: self.streams[self.id(ofStream: index)]?.identity?.id ?? "",
                type: view.type, version: self.sentVersion(index), nonce: nonce.text,
                push: push ?? self.sentPush(index, view), detail: detail()))
    }

    /// Responses that were handed to these type streams.
    func showResponses(_ indices: some Collection<Int32>, count: Int, in view: TypeView) {
        let key = self.groups[Int(view.group)]?.key ?? ""
        guard let watch = self.watch, watch.wants(.response, key: key, type: view.type) else { return }
        let push = view.track.push(at: view.generation)
        for index in indices {
            let nonce = self.typeStreams[Int(index)].nonce
            self.show(.response, index, view, nonce: nonce, push: push, detail: count > 1 ? "in \(count) parts" : "")
        }
    }

    /// A few names, for people.
    static func list(_ verb: String, _ names: [ByteRange], in bytes: borrowing Span<UInt8>) -> String {
        guard !names.isEmpty else { return "" }
        let more = names.count > Self.namesListed ? " and \(names.count - Self.namesListed) more" : ""
        return "\(verb) " + names.prefix(Self.namesListed).map { bytes.string($0) }.joined(separator: ", ") + more
    }

    private static var namesListed: Int { 8 }

    /// Something about a whole stream.
    func show(_ kind: EventKind, _ id: SlotID, detail: String = "") {
        guard self.watch != nil, id != self.selfCheck, let stream = self.streams[id], let identity = stream.identity
        else { return }
        let key = stream.group == TypeStream.none ? "" : self.groups[Int(stream.group)]?.key ?? ""
        self.show(
            LiveEvent(
                kind, at: self.wall, key: key, node: identity.id, type: stream.service.type,
                detail: detail.isEmpty ? "\(stream.service.type?.label ?? "ads") from \(stream.peer.address)" : detail))
    }
}
