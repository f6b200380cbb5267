import WeirBase
import WeirXDS

/// What the entries of a response mean for what is held, and under which names.
extension OriginGroup {
    /// The changes that the resources of a response make.
    func changes(
        _ received: ReceivedResponse, _ feed: Feed, _ type: OriginType, in message: borrowing Span<UInt8>,
        _ now: Instant
    ) -> [ResourceChange] {
        var changes: [ResourceChange] = []
        var populated: Set<String> = []
        for resource in received.resources {
            let keys = self.keys(of: resource, feed, type)
            self.take(resource, as: keys, feed, type, in: message, now, &changes)
            guard resource.any != nil, keys.contains(resource.name), let glob = feed.collection(of: resource.name)
            else { continue }
            feed.members[resource.name] = glob
            populated.insert(glob)
        }
        for glob in populated.sorted() {
            feed.unanswered[glob] = nil
            changes.append(ResourceChange(lane: .named, name: glob, presence: .populated))
        }
        return changes
    }

    /// The names under which a resource is kept: its own, and where somebody asked for it by an alias, that. A server may
    /// send more than was asked for; nobody here could be sent it.
    private func keys(of resource: ReceivedResource, _ feed: Feed, _ type: OriginType) -> [String] {
        guard feed.lane == .named else { return [resource.name] }
        var keys: [String] = []
        if feed.names[resource.name] != nil || feed.collection(of: resource.name) != nil { keys.append(resource.name) }
        for alias in resource.aliases where feed.names[alias] != nil && !keys.contains(alias) { keys.append(alias) }
        // That an alias cannot be resolved says nothing of the others (NAME-09).
        if resource.any == nil { return keys }
        for key in feed.aliases.keys(of: resource.name) where !keys.contains(key) { keys.append(key) }
        return keys
    }

    private func take(
        _ resource: ReceivedResource, as keys: [String], _ feed: Feed, _ type: OriginType,
        in message: borrowing Span<UInt8>, _ now: Instant, _ changes: inout [ResourceChange]
    ) {
        var made: Resource?
        for key in keys {
            feed.unanswered[key] = nil
            let held = type.resource(key, in: feed.lane)
            if resource.any == nil {
                if let held = held, let refreshed = self.heartbeat(resource, held, feed, type, now) {
                    changes.append(self.change(feed, key, refreshed, isRefresh: true))
                }
                // A heartbeat is no resource by itself (TTL-02), and an alias that cannot be resolved says nothing of the
                // resource by whose name it comes (NAME-09).
                if resource.aliases.isEmpty || held?.hasBody == true && !resource.aliases.contains(key) { continue }
            }
            // What was said not to be there is news again.
            let hadError = type.errors[feed.lane]?[key] != nil
            let isRenewal = feed.renewing.remove(key) != nil
            if !hadError, !isRenewal, let held = held,
                held.hasSameContent(any: resource.any, extras: resource.extras, in: message)
            {
                if let version = resource.version {
                    feed.newerVersions[resource.name] = version == held.version ? nil : version
                }
                if resource.isBare, held.name == key, key == resource.name, held.timeToLive == nil {
                    feed.known.note(held)
                }
                if resource.any != nil, let refreshed = self.refreshed(held, resource, now) {
                    changes.append(self.change(feed, key, refreshed, isRefresh: true))
                }
                continue
            }
            feed.newerVersions[resource.name] = nil
            let new =
                made
                ?? Resource(
                    name: resource.name, version: resource.version, type: type.type, any: resource.any,
                    extras: resource.extras, aliases: resource.aliases,
                    timeToLive: resource.ttl.map { TimeToLive(span: $0, from: now) }, in: message)
            made = new
            changes.append(self.change(feed, key, new))
        }
        if feed.lane == .named, let made = made { feed.aliases.note(made, keys: keys) }
    }

    private func change(
        _ feed: Feed, _ key: String, _ resource: Resource, isRefresh: Bool = false
    ) -> ResourceChange {
        ResourceChange(
            lane: feed.lane, name: key, presence: .present(resource), isRefresh: isRefresh,
            collection: feed.collection(of: key))
    }

    // MARK: Absence

    /// The changes that the removal of a name makes: of a resource under all the names it is held by, of a glob collection
    /// with all its members.
    func removals(of name: String, _ feed: Feed, _ type: OriginType) -> [ResourceChange] {
        guard feed.lane == .named else { return [self.absence(of: name, feed)] }
        var keys = feed.names[name] != nil || type.resource(name, in: .named) != nil ? [name] : []
        keys += feed.aliases.keys(of: name).filter { $0 != name }
        if feed.globs.contains(name) {
            keys += feed.members.filter { $0.value == name && feed.names[$0.key] == nil }.map(\.key).sorted()
        }
        feed.aliases.forget(resource: name)
        feed.aliases.forget(key: name)
        return keys.map { key in
            feed.unanswered[key] = nil
            return self.absence(of: key, feed)
        }
    }

    /// A name is gone: for good if a glob collection brought it, else it is still asked for.
    func absence(of name: String, _ feed: Feed) -> ResourceChange {
        let glob = feed.members.removeValue(forKey: name)
        return ResourceChange(
            lane: feed.lane, name: name, presence: .absent, collection: feed.names[name] == nil ? glob : nil)
    }

    // MARK: Wishes

    /// Answers names that are new upstream, but known here: aliases of what is held (NAME-08), and glob collections of
    /// which members are held by name, which a server need not send again.
    func answerFromHeld(_ added: [String], _ type: OriginType, _ now: Instant, _ wall: WallTime) {
        guard self.variant != nil, let feed = type.named else { return }
        var changes: [ResourceChange] = []
        for name in added where type.byName[name] == nil {
            if let resource = feed.aliases.resource(for: name) {
                feed.aliases.add(key: name)
                changes.append(self.change(feed, name, resource))
            } else if feed.globs.contains(name) {
                let members = type.presentNames(in: .named).filter {
                    ResourceName.collection(of: $0, type: feed.type) == name
                }
                for member in members { feed.members[member] = name }
                if !members.isEmpty { changes.append(ResourceChange(lane: .named, name: name, presence: .populated)) }
            }
        }
        self.publish(changes, type, .named, version: nil, now, wall)
    }

    /// Whether a name that nobody asks for any more is still brought by a glob collection (NAME-05).
    func keepsAsMember(_ name: String, _ feed: Feed, _ type: OriginType) -> Bool {
        let glob = feed.members[name] ?? ResourceName.collection(of: name, type: feed.type)
        guard let glob = glob, feed.globs.contains(glob), type.resource(name, in: .named) != nil else { return false }
        feed.members[name] = glob
        return true
    }

    /// Members of glob collections that nobody asks for any more.
    func membersGivenUp(_ feed: Feed) -> [String] {
        var gone: [String] = []
        for (member, glob) in feed.members.sorted(by: { $0.key < $1.key }) where !feed.globs.contains(glob) {
            feed.members[member] = feed.collection(of: member)
            if feed.members[member] == nil, feed.names[member] == nil { gone.append(member) }
        }
        return gone
    }
}

extension Feed {
    /// The glob collection that brings a name: its directory's, or of those above the nearest for what nobody asked for by
    /// name, because a server may have its own idea of how deep a collection goes (NAME-03).
    func collection(of name: String) -> String? {
        guard !self.globs.isEmpty, !self.globs.contains(name) else { return nil }
        if let known = self.members[name], self.globs.contains(known) { return known }
        var glob = ResourceName.collection(of: name, type: self.type)
        if self.names[name] != nil { return glob.flatMap { self.globs.contains($0) ? $0 : nil } }
        while let candidate = glob, !self.globs.contains(candidate) { glob = ResourceName.parent(ofGlob: candidate) }
        return glob
    }
}
