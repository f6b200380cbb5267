import WeirBase
import WeirLoop

/// Has something to do at a time of its own.
protocol DeadlineOwner: AnyObject {
    /// - Returns: when to be called again at the latest.
    func deadlineReached(_ now: Instant) -> Instant
}

/// The deadlines of all connections of a loop behind one timer. Owns the connections while they live.
///
/// A scan over one integer per connection is cheaper than a heap or a watcher each, because the deadlines are lazy:
/// bytes that arrive move nothing here, the connection answers when it is asked.
final class DeadlineTable {
    /// No deadline.
    static let never = Instant(rawValue: .max)
    /// As many are asked in one turn at most.
    static let ownersPerTurn = 512
    /// Scans are no closer together than this: 10 ms, and 10 µs more for each connection up to 100 ms, so that they stay far
    /// below a thousandth of the loop's time.
    private var resolution: Nanoseconds {
        .milliseconds(10) + .microseconds(Int64(min(self.dues.count, 9_000)) * 10)
    }

    private let loop: Loop
    private var timer: TimerWatcher?
    private var dues: ContiguousArray<Int64> = []
    private var owners: ContiguousArray<(any DeadlineOwner)?> = []
    private var free: [Int] = []
    private var scheduled = DeadlineTable.never

    init(loop: Loop) {
        self.loop = loop
        self.timer = TimerWatcher(loop: loop) { [unowned self] in self.fire() }
    }

    func insert(_ owner: any DeadlineOwner, due: Instant) -> Int {
        let slot: Int
        if let reused = self.free.popLast() {
            slot = reused
            self.owners[slot] = owner
        } else {
            slot = self.owners.count
            self.owners.append(owner)
            self.dues.append(Self.never.rawValue)
        }
        self.set(slot, due)
        return slot
    }

    func set(_ slot: Int, _ due: Instant) {
        self.dues[slot] = due.rawValue
        if due < self.scheduled { self.schedule(due) }
    }

    func remove(_ slot: Int) {
        self.owners[slot] = nil
        self.dues[slot] = Self.never.rawValue
        self.free.append(slot)
    }

    private func schedule(_ due: Instant) {
        self.scheduled = due
        if due == Self.never {
            self.timer?.cancel()
        } else {
            self.timer?.start(after: max(self.resolution, due - self.loop.now))
        }
    }

    private func fire() {
        let now = self.loop.now
        self.scheduled = Self.never
        var left = Self.ownersPerTurn
        for slot in self.dues.indices where self.dues[slot] <= now.rawValue {
            guard left > 0 else { return self.goOnNextTurn() }
            left -= 1
            guard let owner = self.owners[slot] else { continue }
            let next = owner.deadlineReached(now)
            // The slot may have passed to another in between.
            if self.owners[slot] === owner { self.dues[slot] = next.rawValue }
        }
        self.schedule(Instant(rawValue: self.dues.min() ?? Self.never.rawValue))
    }

    /// Connections that were opened together are due together.
    private func goOnNextTurn() {
        self.scheduled = self.loop.now
        self.timer?.start(after: .zero)
    }
}
