import WeirBase
import WeirEngine
import WeirLoop
import WeirXDS

/// Collects one part of an answer from every worker and hands the whole to a thread that is no worker's.
///
/// Workers do bounded pieces of the work between their rounds; turning it into text is not theirs to do.
final class Collector<Part: Sendable>: Sendable {
    private let parts: Locked<[Int: Part]>
    private let count: Int
    private let done: @Sendable ([Part]) -> Void

    init(count: Int, done: @escaping @Sendable ([Part]) -> Void) {
        self.parts = Locked([:])
        self.count = count
        self.done = done
    }

    /// One worker's part; the last one completes the answer.
    func deliver(_ worker: Int, _ part: Part) {
        let complete = self.parts.withLock { parts -> [Part]? in
            parts[worker] = part
            return parts.count == self.count ? parts.sorted { $0.key < $1.key }.map(\.value) : nil
        }
        if let complete = complete { self.done(complete) }
    }
}

/// What one worker knows of the groups.
struct WorkerGroups: Sendable {
    struct Home: Sendable {
        var key: String
        var upstream: String
        var origin: OriginState
        var types: [OriginTypeStatus]
    }

    var homes: [Home]
    var views: [ViewStatus]
    var streamsByKey: [String: Int]
    var streamsByService: [DiscoveryService: Int]
    var mailboxDepth: Int
}

/// A group's resources of one type, by reference.
struct HeldResources: Sendable {
    var key: String
    var type: XDSType
    var updated: WallTime?
    var resources: [Resource]
}

extension Worker {
    /// Slots looked at between two rounds while listing streams.
    private static var streamsPerTurn: Int { 256 }

    func groups() -> WorkerGroups {
        let homes = self.homes.groups.values.map(\.group).sorted { $0.key < $1.key }.map {
            WorkerGroups.Home(key: $0.key, upstream: $0.upstream, origin: $0.own.origin, types: $0.typeStatuses)
        }
        return WorkerGroups(
            homes: homes, views: self.shard.viewStatuses(), streamsByKey: self.shard.streamsByKey(),
            streamsByService: self.shard.streamCounts(), mailboxDepth: self.shared.links[self.index].mailbox.count)
    }

    func heldResources(key: String?, typeURL: String?) -> [HeldResources] {
        var result: [HeldResources] = []
        for group in self.homes.groups.values.map(\.group).sorted(by: { $0.key < $1.key }) {
            if let key = key, group.key != key { continue }
            for status in group.typeStatuses {
                if let wanted = typeURL, status.type.typeURL != wanted { continue }
                result.append(
                    HeldResources(
                        key: group.key, type: status.type, updated: status.updated,
                        resources: group.resources(typeURL: status.type.typeURL)))
            }
        }
        return result
    }

    /// Lists all streams in pieces, one per turn, so that a push never waits for a dump.
    func collectStreams(
        from start: Int = 0, found: [StreamStatus] = [], done: @escaping ([StreamStatus]) -> Void
    ) {
        let (streams, next) = self.shard.streamStatuses(from: start, limit: Self.streamsPerTurn)
        let all = found + streams
        guard let next = next else { return done(all) }
        self.loop.runSoon { [weak self] in self?.collectStreams(from: next, found: all, done: done) }
    }
}
