import Glibc
import Synchronization
import WeirBase
import WeirConfig
import WeirEngine
import WeirLoop
import WeirObserve
import WeirStore

/// What changed in one group, on its way to the store.
struct StoreEntry: Sendable {
    var group: StoreGroup
    var updates: [StoreUpdate]
}

/// The store as the rest of the process sees it: a thread of its own that takes what changed and gives what was.
///
/// Nobody waits for the disk but this thread, and the groups that are just being opened.
final class StoreDesk: Sendable {
    enum Command: Sendable {
        case changed([StoreEntry])
        /// A group was opened on a worker, which is to be told what was stored. `ticket` comes back with the answer.
        case opened(StoreGroup, worker: Int, ticket: Int)
        case closed(StoreGroup)
        /// All snapshots that are stored of an upstream, by key; nil: the store cannot be read.
        case readSnapshots(upstream: String, reply: @Sendable ([String: Snapshot]?) -> Void)
        /// Stores a snapshot, or that there is none, at once. `old` is what is known to be stored. The reply says whether it
        /// is on the disk.
        case keepSnapshot(StoreGroup, Snapshot?, old: Snapshot?, reply: @Sendable (Bool) -> Void)
        case stop
    }

    /// What the debug endpoint and the metrics show.
    struct State: Sendable {
        /// Why the store does not do all it should; nil: it does.
        var trouble: String?
        /// Since when the oldest change waits to be written.
        var waitingSince: Instant?
    }

    /// Commands that may wait, each what one turn of a worker had to say.
    private static let commandsMax = 65_536
    /// How long a start waits for the store to be looked at, and an end for the last changes to be written.
    private static let openTimeout = Nanoseconds.seconds(70)
    private static let closeTimeout = Nanoseconds.seconds(5)

    let configuration: StoreConfiguration
    /// Upstreams whose groups are nowhere else: they neither age nor give way.
    let snapshotUpstreams: Set<String>
    let mailbox = Mailbox<Command>(capacity: StoreDesk.commandsMax)
    let state = Locked(State())
    private let isOpen = Atomic<Bool>(false)
    private let isOver = Atomic<Bool>(false)
    private let thread: Locked<WorkerThread?> = Locked(nil)

    init(_ configuration: StoreConfiguration, snapshotUpstreams: Set<String>) {
        self.configuration = configuration
        self.snapshotUpstreams = snapshotUpstreams
    }

    var trouble: String? { self.state.withLock { $0.trouble } }

    /// How long the oldest change has waited to be written.
    func lag(at now: Instant) -> Nanoseconds {
        self.state.withLock { $0.waitingSince }.map { max(.zero, now - $0) } ?? .zero
    }

    /// Opens the store; returns when that is done or has failed. A relay without its store serves all the same.
    func start(_ links: [WorkerLink], _ metrics: RelayMetrics, _ logger: Logger) {
        let thread = WorkerThread(name: "weir-store", stackSize: 4 << 20) { [self] in
            let writer = StoreWriter(desk: self, links: links, metrics: metrics, logger: logger)
            writer.open()
            self.isOpen.store(true, ordering: .releasing)
            writer.run()
            self.isOver.store(true, ordering: .releasing)
        }
        self.thread.withLock { $0 = thread }
        if !Self.wait(for: self.isOpen, Self.openTimeout) {
            logger.log(.error, "the store is still being opened: weir serves without it until then")
        }
    }

    /// Has the last changes written, if the disk takes them in time: else its thread is left behind, and false returned.
    func close(_ logger: Logger) -> Bool {
        guard let thread = self.thread.withLock({ $0 }) else { return true }
        self.mailbox.close(after: .stop)
        if Self.wait(for: self.isOver, Self.closeTimeout) {
            thread.join()
            return true
        }
        logger.log(.error, "the store does not take the last changes in time: they are lost")
        return false
    }

    private static func wait(for flag: borrowing Atomic<Bool>, _ timeout: Nanoseconds) -> Bool {
        let end = Loop.monotonicNow() + timeout
        while !flag.load(ordering: .acquiring) {
            if Loop.monotonicNow() >= end { return false }
            usleep(2_000)
        }
        return true
    }
}
