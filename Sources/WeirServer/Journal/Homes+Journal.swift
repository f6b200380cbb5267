import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirXDS

/// What homes tell the journal.
extension Homes {
    func record(_ news: PushNews, _ upstream: String) {
        if case .new(let report) = news {
            self.shared.logger.log(
                .debug, "push",
                [
                    ("push", report.id.description), ("key", report.key), ("type", report.type.label),
                    ("version", report.version), ("upstream", upstream), ("outcome", report.outcome.text),
                    ("changes", String(report.changes.count)),
                ])
        }
        self.countPush(news, upstream)
        self.journal.append(.push(news, upstream: upstream, at: Loop.monotonicNow()))
    }

    /// Something about a group and one of its upstreams, if anybody listens.
    func show(
        _ kind: EventKind, _ key: String, type: XDSType? = nil, version: String = "", push: PushID = .none,
        _ detail: @autoclosure () -> String
    ) {
        guard self.shared.journal.isWatched else { return }
        let event = LiveEvent(
            kind, at: Loop.wallNow(), key: key, type: type, version: version, push: push, detail: detail())
        guard self.shared.journal.watched?.wants(event) == true else { return }
        self.journal.append(.event(event))
        // It leaves with the round.
        self.loop.turnAgain()
    }
}

extension Worker {
    /// Takes over what somebody has begun, or ended, to listen to.
    func noteListeners() {
        let epoch = self.shared.journal.watchEpoch
        guard epoch != self.watchEpoch else { return }
        self.watchEpoch = epoch
        self.shard.watch = self.shared.journal.watched
    }

    /// Takes what the shard tells of pushes and streams in this round.
    func journalRound() {
        let now = self.loop.now
        for event in self.shard.events {
            switch event {
            case .acknowledged(let key, let type, let push):
                self.homes.journal.append(.acknowledged(push, key: key, type: type, worker: self.index, at: now))
            case .nack(let node, let key, let type, _, let push, let detail):
                self.homes.journal.append(
                    .nacked(push, key: key, type: type, node: node, message: detail.message))
            default: break
            }
        }
        for event in self.shard.live { self.homes.journal.append(.event(event)) }
        if self.shard.liveDropped > 0 { self.homes.journal.append(.eventsDropped(self.shard.liveDropped)) }
    }

    /// To be called before what there is to say to other workers, so that nothing is heard of a push before the push.
    func postJournal() {
        guard !self.homes.journal.isEmpty else { return }
        self.shared.journal.post(self.homes.journal)
        self.homes.journal.removeAll()
    }
}

extension JournalLimits {
    init(_ configuration: HistoryConfiguration) {
        self.init()
        self.pushes = configuration.pushes
        self.bytes = configuration.bytes
    }
}
