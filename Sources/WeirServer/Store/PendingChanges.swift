import WeirBase
import WeirEngine
import WeirStore

/// What waits to be written: the newest of each name, by reference to the resources in memory.
struct PendingChanges {
    private struct Name: Hashable, Comparable {
        var lane: Lane
        var name: String

        static func < (a: Name, b: Name) -> Bool { (a.lane.rawValue, a.name) < (b.lane.rawValue, b.name) }
    }

    private struct PendingType {
        var head: StoredHead?
        var replacesWildcard = false
        var changes: [Name: (change: ResourceChange, source: String)] = [:]
    }

    private var types: [StoreGroup: [String: PendingType]] = [:]
    /// Changes that wait.
    private(set) var count = 0
    /// Since when the oldest of them does.
    private(set) var since: Instant?

    var isEmpty: Bool { self.types.isEmpty }
    var groups: Set<StoreGroup> { Set(self.types.keys) }

    func contains(_ group: StoreGroup) -> Bool { self.types[group] != nil }

    mutating func add(_ entry: StoreEntry, now: Instant) {
        self.since = self.since ?? now
        for update in entry.updates {
            var type = self.types[entry.group]?[update.typeURL] ?? PendingType()
            self.types[entry.group]?[update.typeURL] = nil
            self.count -= type.changes.count
            type.head = update.head ?? type.head
            if update.replacesWildcard {
                type.replacesWildcard = true
                type.changes = type.changes.filter { $0.key.lane != .wildcard }
            }
            for batch in update.batches {
                for change in batch.changes where change.error == nil || !change.isRefresh {
                    type.changes[Name(lane: change.lane, name: change.name)] = (change, batch.source)
                }
            }
            self.count += type.changes.count
            self.types[entry.group, default: [:]][update.typeURL] = type
        }
    }

    /// In the store's terms, in the order of its keys, which is the cheapest to write.
    func changes(now: Instant, wall: WallTime) -> [StoreChange] {
        self.types.keys.sorted().flatMap { self.changes(of: $0, now: now, wall: wall) }
    }

    func changes(of group: StoreGroup, now: Instant, wall: WallTime) -> [StoreChange] {
        (self.types[group] ?? [:]).sorted { $0.key < $1.key }.map { url, type in
            StoreChange(
                key: StoreKey(upstream: group.upstream, key: group.key, typeURL: url),
                record: type.head.map(StoreMapping.record), replacesWildcard: type.replacesWildcard,
                resources: type.changes.sorted { $0.key < $1.key }.compactMap {
                    StoreMapping.resource($0.value.change, source: $0.value.source, now: now, wall: wall)
                })
        }
    }

    mutating func remove(_ group: StoreGroup) {
        guard let types = self.types.removeValue(forKey: group) else { return }
        self.count -= types.values.reduce(0) { $0 + $1.changes.count }
        if self.types.isEmpty { self.since = nil }
    }
}
