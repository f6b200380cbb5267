import Synchronization
import WeirBase
import WeirConfig
import WeirEngine
import WeirHTTP1
import WeirLoop
import WeirObserve
import WeirXDS

/// What workers tell of pushes and of what happens on their streams, on its way to the journal.
enum JournalEntry: Sendable {
    case push(PushNews, upstream: String, at: Instant)
    case written(TakenPush, worker: Int, at: Instant)
    case acknowledged(PushID, key: String, type: XDSType, worker: Int, at: Instant)
    case nacked(PushID, key: String, type: XDSType, node: String, message: String)
    case event(LiveEvent)
    /// So many events of one round were too many.
    case eventsDropped(Int)
}

/// The history of pushes and the live events, as the rest of the process sees them: a thread of its own that takes what
/// workers tell and answers questions. No worker is asked for anything, and none waits.
final class JournalDesk: Sendable {
    fileprivate enum Command: Sendable {
        case entries([JournalEntry])
        case ask(@Sendable (Journal) -> Void)
        case stop
    }

    /// Batches that may wait, each what one turn of a worker had to say.
    private static let batchesMax = 65_536

    private let mailbox = Mailbox<Command>(capacity: JournalDesk.batchesMax)
    private let thread: Locked<WorkerThread?> = Locked(nil)
    /// The seconds of the start above a count: unique in the process, and rising over restarts, too.
    private let lastPush: Atomic<UInt64>
    private let interest: Locked<EventInterest?> = Locked(nil)
    /// Counts the changes of `interest`.
    private let interestChanges = Atomic<Int>(0)

    init(startedAt: WallTime) {
        let seconds = UInt64(clamping: startedAt.rawValue / 1_000_000_000) & 0xFFFF_FFFF
        self.lastPush = Atomic(seconds << 32)
    }

    func start(_ limits: JournalLimits, _ metrics: RelayMetrics, traces: TraceExporter?) {
        let mailbox = self.mailbox
        let thread = WorkerThread(name: "weir-journal", stackSize: 4 << 20) { [self] in
            let journal = Journal(limits, metrics, desk: self, traces: traces)
            let inbox = Inbox(loop: journal.loop, mailbox: mailbox) { commands in
                for command in commands {
                    switch command {
                    case .entries(let entries): for entry in entries { journal.take(entry) }
                    case .ask(let question): question(journal)
                    case .stop: journal.stop()
                    }
                }
                journal.noteFigures(lost: mailbox.dropped)
            }
            journal.run()
            inbox.cancel()
        }
        self.thread.withLock { $0 = thread }
    }

    /// Ends the listeners' streams and the thread.
    func close() {
        guard let thread = self.thread.withLock({ $0.take() }) else { return }
        self.mailbox.close(after: .stop)
        thread.join()
    }

    // MARK: Any thread

    /// A new id.
    func nextPush() -> PushID { PushID(rawValue: self.lastPush.add(1, ordering: .relaxed).newValue) }

    func post(_ entries: [JournalEntry]) {
        if !entries.isEmpty { self.mailbox.post(.entries(entries)) }
    }

    /// Runs on the journal's thread; false if that takes nothing any more.
    @discardableResult
    func ask(_ question: @escaping @Sendable (Journal) -> Void) -> Bool { self.mailbox.post(.ask(question)) }

    /// Changes with `watched`; cheap to look at.
    var watchEpoch: Int { self.interestChanges.load(ordering: .relaxed) }

    /// What listeners want to hear of; nil while there are none.
    var watched: EventInterest? { self.interest.withLock { $0 } }

    /// Whether anybody listens.
    var isWatched: Bool { self.watchEpoch != 0 && self.watched != nil }

    fileprivate func watch(_ interest: EventInterest?) {
        self.interest.withLock { $0 = interest }
        self.interestChanges.add(1, ordering: .relaxed)
    }
}

/// The journal's own side, confined to its thread.
final class Journal {
    let loop = Loop()
    let pushes: PushJournal
    private let tracer: PushTracer?
    private let metrics: RelayMetrics
    /// The thread that this is confined to holds it.
    private unowned let desk: JournalDesk
    private var listeners: [EventListener] = []
    private var heartbeat: TimerWatcher?
    private var reportedLost = 0

    /// Listeners at once.
    static let listenersMax = 16
    /// How often it is looked whether listeners are gone, and how many times as often a comment is sent, which shows that.
    private static let lookInterval = Nanoseconds.seconds(1)
    private static let looksPerHeartbeat = 5
    private var looks = 0

    init(_ limits: JournalLimits, _ metrics: RelayMetrics, desk: JournalDesk, traces: TraceExporter?) {
        self.tracer = traces.map { PushTracer($0) }
        self.pushes = PushJournal(limits)
        self.metrics = metrics
        self.desk = desk
    }

    func run() {
        let timer = TimerWatcher(loop: self.loop) { [unowned self] in self.beat() }
        self.heartbeat = timer
        timer.start(after: Self.lookInterval, every: Self.lookInterval)
        self.loop.run()
        timer.cancel()
    }

    func stop() {
        self.tracer?.finishAll()
        for listener in self.listeners { listener.stream.finish() }
        self.listeners = []
        self.noteListeners()
        self.loop.stop()
    }

    func noteFigures(lost: Int) {
        self.metrics.historyBytes.set(Int64(self.pushes.bytes))
        guard lost > self.reportedLost else { return }
        self.metrics.historyLost.add(UInt64(lost - self.reportedLost))
        self.reportedLost = lost
    }

    // MARK: What workers tell

    func take(_ entry: JournalEntry) {
        switch entry {
        case .push(let news, let upstream, let now): self.take(news, upstream, at: now)
        case .written(let taken, let worker, let now):
            self.pushes.written(taken, worker: worker, at: now)
            self.tracer?.written(taken, worker: worker, at: now)
        case .acknowledged(let push, let key, let type, let worker, let now):
            self.pushes.acknowledged(push, key: key, type: type, worker: worker, at: now)
            self.tracer?.acknowledged(push, key: key, type: type, worker: worker, at: now)
        case .nacked(let push, let key, let type, let node, let message):
            self.pushes.nacked(push, key: key, type: type, node: node, message: message)
            self.tracer?.nacked(push, key: key, type: type, node: node, message: message, at: Loop.wallNow())
        case .event(let event): self.tell(event)
        case .eventsDropped(let count):
            self.metrics.eventsDropped.add(UInt64(count))
            for listener in self.listeners { listener.dropped += count }
        }
    }

    private func take(_ news: PushNews, _ upstream: String, at now: Instant) {
        switch news {
        case .new(let report):
            let summary = self.pushes.add(report, upstream: upstream)
            self.tracer?.add(
                report, upstream: upstream,
                [
                    ("added", summary.added.count), ("changed", summary.changed.count),
                    ("removed", summary.removed.count),
                ], toldAt: now)
            guard !self.listeners.isEmpty else { return }
            let counts =
                "\(summary.added.count) added, \(summary.changed.count) changed, "
                + "\(summary.removed.count) removed"
            self.tellPush(
                report.id, report.key, report.type, report.version, report.receivedAtWall,
                [summary.outcome.text, counts, summary.detail])
        case .amended(let id, let key, let type, let outcome, let detail, let workers):
            self.pushes.amend(id, key: key, type: type, outcome: outcome, detail: detail, workers: workers)
            self.tracer?.amend(id, key: key, type: type, outcome: outcome, detail: detail, workers: workers)
            guard !self.listeners.isEmpty else { return }
            self.tellPush(id, key, type, "", Loop.wallNow(), [outcome.text, detail])
        }
    }

    private func tellPush(
        _ id: PushID, _ key: String, _ type: XDSType, _ version: String, _ at: WallTime, _ detail: [String]
    ) {
        self.tell(
            LiveEvent(
                .push, at: at, key: key, type: type, version: version, push: id,
                detail: detail.filter { !$0.isEmpty }.joined(separator: ": ")))
    }

    // MARK: Listeners

    /// A new listener. False if there are as many as there may be.
    func listen(_ open: () -> EventListener) -> Bool {
        self.forgetClosed()
        guard self.listeners.count < Self.listenersMax else { return false }
        let listener = open()
        // The head of the answer leaves with the first bytes.
        listener.offer(LiveEvent.comment("weir"), at: Loop.wallNow(), self.metrics)
        self.listeners.append(listener)
        self.noteListeners()
        return true
    }

    private func tell(_ event: LiveEvent) {
        var text: [UInt8]?
        for listener in self.listeners where listener.filter.matches(event) {
            let bytes = text ?? event.serverSentEvent
            text = bytes
            listener.offer(bytes, at: event.at, self.metrics)
        }
    }

    private func beat() {
        self.tracer?.expire(at: Loop.monotonicNow())
        guard !self.listeners.isEmpty else { return }
        self.looks += 1
        if self.looks % Self.looksPerHeartbeat == 0 {
            for listener in self.listeners { listener.beat(at: Loop.wallNow()) }
        }
        self.forgetClosed()
    }

    private func forgetClosed() {
        guard self.listeners.contains(where: \.stream.isClosed) else { return }
        self.listeners.removeAll(where: \.stream.isClosed)
        self.noteListeners()
    }

    private func noteListeners() {
        self.metrics.eventListeners.set(Int64(self.listeners.count))
        let filters = self.listeners.map(\.filter)
        self.desk.watch(filters.isEmpty ? nil : EventInterest(filters))
    }
}
