package import WeirBase
import WeirXDS

/// A group whose origin is files: the whole truth is known at any time.
extension OriginGroup {
    /// Replaces everything the group has; what is not mentioned is gone. Applied type by type in push order.
    package func replaceAll(_ resources: [FileResource], version: String, now: Instant, wall: WallTime) {
        var loaded: [String: [String: Resource]] = [:]
        for file in resources {
            loaded[file.typeURL, default: [:]][file.name] = self.resource(file)
        }
        self.files = loaded
        self.filesVersion = version
        self.setOrigin(OriginState(isConnected: true, server: "files", lastError: ""))
        for type in self.sortedTypes {
            self.fillFromFiles(type, keepsRemoved: type.type.removalsGoLast, now: now, wall: wall)
        }
        // What later types named until now goes last (ORD-01).
        for type in self.sortedTypes where type.type.removalsGoLast {
            self.fillFromFiles(type, now: now, wall: wall)
        }
    }

    /// The present object where the content is the same, so that nothing is sent again.
    private func resource(_ file: FileResource) -> Resource {
        let range = ByteRange(offset: 0, count: file.any.count)
        if let held = self.files?[file.typeURL]?[file.name],
            held.hasSameContent(any: range, extras: [], in: file.any.span)
        {
            return held
        }
        return Resource(
            name: file.name, version: nil, type: XDSType.of(typeURL: file.typeURL), any: range, in: file.any.span)
    }

    private func changes(_ type: OriginType, to resources: [String: Resource]) -> [ResourceChange] {
        var changes: [ResourceChange] = []
        if type.wildcard != nil {
            for (name, resource) in resources.sorted(by: { $0.key < $1.key })
            where type.resource(name, in: .wildcard) !== resource {
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
        if type.resource(name, in: .named) === resource { return nil }
        return ResourceChange(lane: .named, name: name, presence: .present(resource))
    }

    /// Brings a type up to the files after a change of interest. `keepsRemoved`: but for what is gone from them.
    func fillFromFiles(_ type: OriginType, keepsRemoved: Bool = false, now: Instant, wall: WallTime) {
        guard let files = self.files else { return }
        let isFirst = type.wildcard != nil && !type.wildcardKnown
        if type.wildcard != nil { type.wildcardKnown = true }
        var changes = self.changes(type, to: files[type.type.typeURL] ?? [:])
        if keepsRemoved {
            let all = changes.count
            changes.removeAll { $0.presence.resource == nil && type.resource($0.name, in: $0.lane) != nil }
            if changes.isEmpty, all > 0, !isFirst { return }
        }
        let lane: Lane = type.wildcard != nil ? .wildcard : .named
        self.publish(changes, type, lane, version: self.filesVersion, force: isFirst, cause: .upstream, now, wall)
    }
}
