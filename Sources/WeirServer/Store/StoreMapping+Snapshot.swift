import WeirBase
import WeirEngine
import WeirStore
import WeirXDS

/// Snapshots in the store's terms: types and resources as of any group, and one record for the snapshot as a whole.
extension StoreMapping {
    /// Stands where a type's URL stands: a whole snapshot, its version, and the types that it says nothing of.
    static let wholeSnapshot = "snapshot"

    /// What makes of the stored snapshot `old` the snapshot `new`; `new` nil: none. With `old` nil, whatever is stored.
    static func changes(
        to new: Snapshot?, from old: Snapshot?, of group: StoreGroup, storedTypes: Set<String>, keepsSecrets: Bool,
        now: Instant, wall: WallTime
    ) -> [StoreChange] {
        func key(_ typeURL: String) -> StoreKey {
            StoreKey(upstream: group.upstream, key: group.key, typeURL: typeURL)
        }
        guard var new else { return storedTypes.sorted().map { StoreChange(removing: key($0)) } }
        if !keepsSecrets { new.forget(typeURL: XDSType.sds.typeURL) }
        var wanted = Set(new.contents.keys)
        if new.isWhole { wanted.insert(self.wholeSnapshot) }
        var changes = storedTypes.subtracting(wanted).sorted().map { StoreChange(removing: key($0)) }
        for (typeURL, content) in new.contents.sorted(by: { $0.key < $1.key }) {
            let before = storedTypes.contains(typeURL) ? old?.contents[typeURL] : nil
            if before?.tag == content.tag { continue }
            changes.append(self.change(key(typeURL), to: content, from: before, now, wall))
        }
        if new.isWhole {
            var record = TypeRecord()
            record.isDelta = true
            record.wildcard = self.lane(new.version)
            record.equalVersions = new.unknown.sorted()
            record.updated = wall
            changes.append(
                StoreChange(key: key(self.wholeSnapshot), record: record, replacesWildcard: false, resources: []))
        }
        return changes
    }

    private static func change(
        _ key: StoreKey, to new: Snapshot.Content, from old: Snapshot.Content?, _ now: Instant, _ wall: WallTime
    ) -> StoreChange {
        var record = TypeRecord()
        record.isDelta = true
        record.wildcard = self.lane(new.version)
        record.updated = wall
        var resources: [StoreChange.Resource] = []
        for (name, resource) in new.resources.sorted(by: { $0.key < $1.key })
        where old?.resources[name]?.isSame(as: resource) != true {
            let change = ResourceChange(lane: .wildcard, name: name, presence: .present(resource))
            if let put = self.resource(change, source: "", now: now, wall: wall) { resources.append(put) }
        }
        for name in old?.resources.keys.sorted() ?? [] where new.resources[name] == nil {
            resources.append(.delete(name: name, isWildcard: true))
        }
        return StoreChange(key: key, record: record, replacesWildcard: old == nil, resources: resources)
    }

    private static func lane(_ version: String) -> TypeRecord.Lane {
        var lane = TypeRecord.Lane()
        lane.version = version
        return lane
    }

    static func snapshot(_ types: [StoredType], now: Instant, wall: WallTime) -> Snapshot {
        let whole = types.first { $0.typeURL == self.wholeSnapshot }?.record
        var contents: [String: (version: String, resources: [Resource])] = [:]
        for type in types where type.typeURL != self.wholeSnapshot {
            let xdsType = XDSType.of(typeURL: type.typeURL)
            contents[type.typeURL] = (
                type.record.wildcard?.version ?? "",
                type.resources.compactMap { self.resource($0, xdsType, now, wall) }
            )
        }
        return Snapshot(
            contents: contents, version: whole?.wildcard?.version ?? "", isWhole: whole != nil,
            unknown: Set(whole?.equalVersions ?? []))
    }
}
