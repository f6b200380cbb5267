package import WeirBase

/// One upstream stream of one group: what is looked at for drift at a time.
package struct DriftUnit: Hashable, Comparable, Sendable {
    package var key: String
    package var upstream: String
    package var stream: Int

    package init(key: String, upstream: String, stream: Int) {
        self.key = key
        self.upstream = upstream
        self.stream = stream
    }

    package static func < (a: DriftUnit, b: DriftUnit) -> Bool {
        (a.key, a.upstream, a.stream) < (b.key, b.upstream, b.stream)
    }
}

/// What to look at next.
package struct DriftTask: Sendable {
    package var unit: DriftUnit
    /// What an earlier look found; nil: this is the first.
    package var earlier: [DriftDifference]?
    /// Looks at the same before this one.
    package var looks: Int

    package init(unit: DriftUnit, earlier: [DriftDifference]? = nil, looks: Int = 0) {
        self.unit = unit
        self.earlier = earlier
        self.looks = looks
    }
}

/// Which group of a worker is looked at for drift, and when: all of them once in an interval, spread evenly over it with
/// jitter, in an order that is another each time; second looks when they are due.
///
/// Pure. Whoever takes a task does it before it takes the next, so that there is one at a time however many groups there
/// are; then a round takes longer than the interval.
package struct DriftSchedule {
    /// 0: nothing is looked at but what is asked for.
    package private(set) var interval: Nanoseconds
    /// Units of this round, the next one last.
    private var round: [DriftUnit] = []
    private var spacing = Nanoseconds.zero
    private var nextAt: Instant?
    /// Looks that are due at a certain time, whatever the round.
    private var dated: [(at: Instant, task: DriftTask)] = []
    private var generator: SeededGenerator

    /// Beyond this, second looks wait for the next round's first.
    static let datedMax = 1000
    /// Never more often than this.
    static let spacingMin = Nanoseconds.milliseconds(100)

    package init(interval: Nanoseconds, seed: UInt64) {
        self.interval = interval
        self.generator = SeededGenerator(seed: seed)
    }

    package mutating func set(interval: Nanoseconds) {
        guard interval != self.interval else { return }
        self.interval = interval
        self.round = []
        self.nextAt = nil
    }

    /// Has a unit looked at at a certain time, besides its turn. What was asked for of it before is replaced.
    package mutating func look(_ task: DriftTask, at: Instant) {
        self.forget(task.unit)
        guard self.dated.count < Self.datedMax else { return }
        self.dated.append((at, task))
    }

    /// A unit is not there any more.
    package mutating func forget(_ unit: DriftUnit) { self.dated.removeAll { $0.task.unit == unit } }

    /// What is to be looked at now, if anything. `units` gives all there are; it is asked once a round.
    package mutating func take(_ now: Instant, units: () -> [DriftUnit]) -> DriftTask? {
        if let index = self.dated.indices.filter({ self.dated[$0].at <= now }).min(by: {
            self.dated[$0].at < self.dated[$1].at
        }) {
            return self.dated.remove(at: index).task
        }
        guard self.interval > .zero else { return nil }
        guard let due = self.nextAt else {
            self.beginRound(now, units())
            return nil
        }
        guard due <= now else { return nil }
        let unit = self.round.popLast()
        if self.round.isEmpty { self.beginRound(now, units()) } else { self.nextAt = now + self.jittered(self.spacing) }
        guard let unit = unit, !self.dated.contains(where: { $0.task.unit == unit }) else { return nil }
        return DriftTask(unit: unit)
    }

    private mutating func beginRound(_ now: Instant, _ units: [DriftUnit]) {
        self.round = units.sorted().shuffled(using: &self.generator)
        self.spacing = max(
            Self.spacingMin, Nanoseconds(rawValue: self.interval.rawValue / Int64(max(1, units.count))))
        self.nextAt = now + self.jittered(self.spacing)
    }

    /// Give or take a quarter.
    private mutating func jittered(_ span: Nanoseconds) -> Nanoseconds {
        Nanoseconds(rawValue: span.rawValue / 100 * Int64.random(in: 75...125, using: &self.generator))
    }
}
