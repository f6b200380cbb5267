import Synchronization
import WeirBase
import WeirEngine
import WeirLoop
import WeirXDS

/// What is different, lastingly, between what one upstream stream of a group holds and what its control plane says.
struct DriftStatus: Sendable {
    /// When it was found to last.
    var since: WallTime
    var sinceInstant: Instant
    /// When it was last seen.
    var seen: WallTime
    /// All that was different in the newest look.
    var count: Int
    /// Some of them, by type and name.
    var sample: [DriftDifference]
    /// Whether the group was refreshed for it.
    var isHealed = false

    /// Differences that are named, to people and in the log.
    static let sampleMax = 16

    /// `cds a (different), b (missing)`, for people.
    var text: String {
        var types: [(XDSType, [String])] = []
        for difference in self.sample {
            let entry = "\(difference.name) (\(difference.kind.rawValue))"
            if let last = types.indices.last, types[last].0 == difference.type {
                types[last].1.append(entry)
            } else {
                types.append((difference.type, [entry]))
            }
        }
        let listed = types.map { "\($0.label) \($1.joined(separator: ", "))" }.joined(separator: "; ")
        return self.count > self.sample.count ? "\(listed) and \(self.count - self.sample.count) more" : listed
    }
}

/// What drifts, over all workers. Kept up to date by the homes, as `HoldBoard`.
final class DriftBoard: Sendable {
    private let entries = Locked<[DriftUnit: DriftStatus]>([:])
    private let answeredAt = Atomic<Int64>(0)

    subscript(unit: DriftUnit) -> DriftStatus? { self.entries.withLock { $0[unit] } }

    func set(_ status: DriftStatus, _ unit: DriftUnit) { self.entries.withLock { $0[unit] = status } }

    @discardableResult
    func remove(_ unit: DriftUnit) -> DriftStatus? { self.entries.withLock { $0.removeValue(forKey: unit) } }

    var all: [(unit: DriftUnit, status: DriftStatus)] {
        self.entries.withLock { $0 }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// A look was answered.
    func noteAnswer(_ now: Instant) { self.answeredAt.store(now.rawValue, ordering: .relaxed) }

    /// Since a look was last answered; nil: none ever was.
    func age(_ now: Instant) -> Nanoseconds? {
        let at = self.answeredAt.load(ordering: .relaxed)
        return at == 0 ? nil : now - Instant(rawValue: at)
    }

    /// Groups that `/ready` names; more are counted.
    private static let toldMax = 16

    /// One line for each, for people.
    func troubles(_ now: Instant) -> [String] {
        let all = self.all
        let told = all.prefix(Self.toldMax).map { unit, status in
            "key \"\(unit.key)\" has drifted from upstream \(unit.upstream) for "
                + "\((now - status.sinceInstant).seconds) s: \(status.text)"
        }
        return told + (all.count > told.count ? ["\(all.count - told.count) more have drifted"] : [])
    }
}
