import WeirBase
import WeirEngine
import WeirLoop
import WeirXDS

/// What the workers answered.
struct Gathered<Part: Sendable>: Sendable {
    /// In the order of the workers; those that did not answer are not among them.
    var parts: [Part]
    /// The workers that did not answer.
    var missing: [Int]
}

/// Collects one part of an answer from every worker and hands the whole to a thread that is no worker's.
///
/// Workers do bounded pieces of the work between their rounds; turning it into text is not theirs to do. A worker that
/// does not turn is left out in the end.
final class Collector<Part: Sendable>: Sendable {
    private struct State: Sendable {
        var parts: [Int: Part] = [:]
        var missing: Set<Int> = []
        var isDone = false
    }

    private let state = Locked(State())
    private let count: Int
    private let done: @Sendable (Gathered<Part>) -> Void

    init(count: Int, done: @escaping @Sendable (Gathered<Part>) -> Void) {
        self.count = count
        self.done = done
    }

    /// One worker's part; the last one completes the answer. What comes too late is dropped.
    func deliver(_ worker: Int, _ part: Part) {
        self.change { $0.parts[worker] = part }
    }

    /// A worker's part will not come, as far as anybody can tell.
    func giveUp(_ worker: Int) {
        self.change { if $0.parts[worker] == nil { $0.missing.insert(worker) } }
    }

    /// The workers that are still waited for.
    var waitingFor: [Int] {
        self.state.withLock { state in
            state.isDone
                ? [] : (0..<self.count).filter { state.parts[$0] == nil && !state.missing.contains($0) }
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let whole = self.state.withLock { state -> Gathered<Part>? in
            guard !state.isDone else { return nil }
            body(&state)
            guard state.parts.count + state.missing.count >= self.count else { return nil }
            state.isDone = true
            let parts = state.parts.sorted { $0.key < $1.key }.map(\.value)
            state.parts = [:]
            return Gathered(parts: parts, missing: state.missing.sorted())
        }
        if let whole = whole { self.done(whole) }
    }
}

/// Decides when a worker is not waited for any more.
struct Patience: Sendable {
    /// A worker that has not turned at all for so long, or has been in one turn, is wedged.
    static let wedgedAfter = Nanoseconds.seconds(2)
    /// One that turns, but has very much to do, is given this long.
    static let max = Nanoseconds.seconds(20)
    /// How often workers that are waited for are looked at.
    static let interval = Nanoseconds.milliseconds(500)

    private let since: Instant
    /// The turns that each loop had made when it was asked.
    private let turns: [UInt64?]

    init(_ pulses: [LoopPulse?], at now: Instant) {
        self.since = now
        self.turns = pulses.map { $0?.turns }
    }

    func isOver(worker: Int, _ pulse: LoopPulse?, at now: Instant) -> Bool {
        let waited = now - self.since
        guard waited >= Self.wedgedAfter else { return false }
        guard let pulse = pulse, waited < Self.max else { return true }
        return pulse.turns == self.turns[worker] || pulse.lag(at: now) >= Self.wedgedAfter
    }
}

extension AdminServer {
    /// Runs `part` on every worker, except for those left out, and `render`, with all parts that came, on the renderer's thread.
    func gather<Part: Sendable>(
        _ part: @escaping @Sendable (Worker, @escaping @Sendable (Part) -> Void) -> Void,
        except isLeftOut: (_ worker: Int) -> Bool = { _ in false },
        render: @escaping @Sendable (Gathered<Part>) -> Void
    ) {
        let shared = self.shared
        let renderer = shared.renderer
        let collector = Collector<Part>(count: shared.links.count) { whole in
            renderer.run { render(whole) }
        }
        let patience = Patience(shared.reports.map(\.pulse), at: Loop.monotonicNow())
        for link in shared.links {
            let index = link.index
            let isPosted =
                !isLeftOut(index)
                && link.post(.perform { worker in part(worker) { collector.deliver(index, $0) } })
            if !isPosted { collector.giveUp(index) }
        }
        Self.watch(collector, patience, shared)
    }

    private static func watch<Part: Sendable>(_ collector: Collector<Part>, _ patience: Patience, _ shared: RelayShared)
    {
        guard !collector.waitingFor.isEmpty else { return }
        shared.renderer.run(after: Patience.interval) {
            let now = Loop.monotonicNow()
            for worker in collector.waitingFor
            where patience.isOver(worker: worker, shared.reports[worker].pulse, at: now) {
                collector.giveUp(worker)
            }
            Self.watch(collector, patience, shared)
        }
    }

    /// The same for those who have no way to say who is missing.
    func collect<Part: Sendable>(
        _ part: @escaping @Sendable (Worker, @escaping @Sendable (Part) -> Void) -> Void,
        render: @escaping @Sendable ([Part]) -> Void
    ) {
        self.gather(part) { render($0.parts) }
    }
}
