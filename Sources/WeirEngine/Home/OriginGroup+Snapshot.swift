package import WeirBase
import WeirXDS

/// A group whose origin is within the process: its snapshot is the whole truth, known at any time.
extension OriginGroup {
    /// Brings the group to a snapshot: one new state for each type, in push order. Types of which the snapshot says nothing
    /// stay as they are.
    ///
    /// - Parameter server: where it comes from, for people.
    package func apply(_ snapshot: Snapshot, from server: String, now: Instant, wall: WallTime) {
        self.snapshot = snapshot
        self.setOrigin(OriginState(isConnected: true, server: server, lastError: ""))
        for type in self.sortedTypes {
            self.fillFromSnapshot(type, keepsRemoved: type.type.removalsGoLast, now: now, wall: wall)
        }
        // What later types named until now goes last (ORD-01).
        for type in self.sortedTypes where type.type.removalsGoLast {
            self.fillFromSnapshot(type, now: now, wall: wall)
        }
    }

    /// There is no snapshot, or not any more: clients keep what they have, as they do when a control plane is lost.
    package func forgetSnapshot(of server: String, reason: String) {
        self.snapshot = nil
        self.originUnavailable(server: server, error: reason)
    }

    private func changes(_ type: OriginType, to resources: [String: Resource]) -> [ResourceChange] {
        var changes: [ResourceChange] = []
        if type.wildcard != nil {
            for (name, resource) in resources.sorted(by: { $0.key < $1.key })
            where type.resource(name, in: .wildcard)?.isSame(as: resource) != true {
                changes.append(ResourceChange(lane: .wildcard, name: name, presence: .present(resource)))
            }
            for name in type.presentNames(in: .wildcard).sorted() where resources[name] == nil {
                changes.append(ResourceChange(lane: .wildcard, name: name, presence: .absent))
            }
        }
        for name in type.named?.names.keys.sorted() ?? [] {
            if let change = self.namedChange(name, type, resources) { changes.append(change) }
        }
        return changes
    }

    private func namedChange(
        _ name: String, _ type: OriginType, _ resources: [String: Resource]
    ) -> ResourceChange? {
        guard let resource = resources[name] else {
            return ResourceChange(lane: .named, name: name, presence: .absent)
        }
        if type.resource(name, in: .named)?.isSame(as: resource) == true { return nil }
        return ResourceChange(lane: .named, name: name, presence: .present(resource))
    }

    /// Brings a type up to the snapshot after a change of interest. `keepsRemoved`: but for what is gone from it.
    func fillFromSnapshot(_ type: OriginType, keepsRemoved: Bool = false, now: Instant, wall: WallTime) {
        guard let content = self.snapshot?.content(ofType: type.type.typeURL) else { return }
        let isFirst = type.wildcard != nil && !type.wildcardKnown
        if type.wildcard != nil { type.wildcardKnown = true }
        var changes = self.changes(type, to: content.resources)
        if keepsRemoved {
            let all = changes.count
            changes.removeAll { $0.presence.resource == nil && type.resource($0.name, in: $0.lane) != nil }
            if changes.isEmpty, all > 0, !isFirst { return }
        }
        let lane: Lane = type.wildcard != nil ? .wildcard : .named
        self.publish(changes, type, lane, version: content.version, force: isFirst, cause: .upstream, now, wall)
    }
}
