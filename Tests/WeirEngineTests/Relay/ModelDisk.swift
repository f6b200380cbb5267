import WeirBase
import WeirXDS

@testable import WeirEngine

/// What a store would have of each group: the same rules in a few lines, without a disk.
struct ModelDisk {
    private struct Name: Hashable {
        var lane: Lane
        var name: String
    }

    private struct StoredType {
        var head: StoredHead?
        var entries: [Name: StoredEntry] = [:]
    }

    private var groups: [String: [String: StoredType]] = [:]

    mutating func take(_ updates: [StoreUpdate], of key: String) {
        for update in updates {
            var type = self.groups[key]?[update.typeURL] ?? StoredType()
            if var head = update.head {
                head.wildcard = head.wildcard ?? type.head?.wildcard
                head.named = head.named ?? type.head?.named
                type.head = head
            }
            if update.replacesWildcard { type.entries = type.entries.filter { $0.key.lane != .wildcard } }
            for batch in update.batches {
                for change in batch.changes { Self.apply(change, batch.source, &type) }
            }
            self.groups[key, default: [:]][update.typeURL] = type
        }
    }

    private static func apply(_ change: ResourceChange, _ source: String, _ type: inout StoredType) {
        if change.isRefresh, change.error != nil { return }
        let name = Name(lane: change.lane, name: change.name)
        type.entries[name] = nil
        switch change.presence {
        case .present(let resource): if resource.mustBeFetched || !resource.hasBody { return }
        case .absent: if change.lane == .wildcard || change.collection != nil { return }
        case .populated: break
        case .unknown: return
        }
        type.entries[name] = StoredEntry(
            lane: change.lane, name: change.name, presence: change.presence, collection: change.collection,
            source: source)
    }

    /// What is stored of a group and has not outlived its time.
    func read(_ key: String, now: Instant) -> [RestoredType] {
        (self.groups[key] ?? [:]).sorted { $0.key < $1.key }.compactMap { url, type in
            type.head.map { head in
                RestoredType(
                    typeURL: url, head: head,
                    entries: type.entries.values.filter { entry in
                        entry.presence.resource?.timeToLive.map { $0.expires > now } ?? true
                    }.sorted { ($0.lane.rawValue, $0.name) < ($1.lane.rawValue, $1.name) })
            }
        }
    }
}
