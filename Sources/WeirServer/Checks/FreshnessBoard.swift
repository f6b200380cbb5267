import Synchronization
import WeirBase
import WeirLoop

/// How the self-check clients of all workers fare. Looking costs the workers nothing and works also when one of them is
/// stuck, which shows here: what a worker has not written for long is late.
final class FreshnessBoard: Sendable {
    struct Trouble: Sendable {
        var since: Instant
        /// What is late, for people.
        var text: String
    }

    struct Entry: Sendable {
        /// What is asked for; empty while nothing is followed on the worker.
        var place = ""
        var trouble: Trouble?
        var answeredAt: WallTime?
    }

    private let entries: [Locked<Entry>]
    /// When each worker last looked at its client, on the clock that never jumps; 0: it has none.
    private let ticks: [TickBox]

    private final class TickBox: Sendable { let at = Atomic<Int64>(0) }

    init(workers: Int) {
        self.entries = (0..<workers).map { _ in Locked(Entry()) }
        self.ticks = (0..<workers).map { _ in TickBox() }
    }

    func update(_ worker: Int, _ change: (inout Entry) -> Void) { self.entries[worker].withLock { change(&$0) } }

    func entry(_ worker: Int) -> Entry { self.entries[worker].withLock { $0 } }

    func noteTick(_ worker: Int, _ now: Instant) { self.ticks[worker].at.store(now.rawValue, ordering: .relaxed) }

    func noteOff(_ worker: Int) {
        self.ticks[worker].at.store(0, ordering: .relaxed)
        self.update(worker) { $0 = Entry() }
    }

    /// A worker that has not looked for so long is late itself.
    private static let tickMax = Nanoseconds.seconds(5)

    func lag(_ worker: Int, _ now: Instant) -> Nanoseconds {
        let at = self.ticks[worker].at.load(ordering: .relaxed)
        let silence = at == 0 ? .zero : now - Instant(rawValue: at)
        let stuck = silence > Self.tickMax ? silence : .zero
        return max(stuck, self.entry(worker).trouble.map { now - $0.since } ?? .zero)
    }

    /// One line for each worker that is late, for people.
    func troubles(_ now: Instant) -> [String] {
        self.entries.indices.compactMap { worker in
            let lag = self.lag(worker, now)
            guard lag > .zero else { return nil }
            let text = self.entry(worker).trouble?.text ?? "the worker does not turn"
            return "freshness: worker \(worker) for \(lag.seconds) s: \(text)"
        }
    }
}
