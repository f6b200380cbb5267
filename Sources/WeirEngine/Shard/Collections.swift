import WeirXDS

/// Which names of a view stand in which glob collections. Names that can be in none take no room here.
struct Collections {
    /// By the collection's name: the names in it that the view knows, subscribed to or not.
    private var members: [String: [NameID]] = [:]
    private var collections: [NameID: String] = [:]

    mutating func add(_ id: NameID, to glob: String) {
        guard self.collections[id] != glob else { return }
        self.remove(id)
        self.collections[id] = glob
        self.members[glob, default: []].append(id)
    }

    mutating func remove(_ id: NameID) {
        guard let glob = self.collections.removeValue(forKey: id) else { return }
        self.members[glob]?.removeAll { $0 == id }
        if self.members[glob]?.isEmpty == true { self.members[glob] = nil }
    }

    func collection(of id: NameID) -> String? { self.collections.isEmpty ? nil : self.collections[id] }

    func members(of glob: String) -> [NameID] { self.members[glob] ?? [] }
}

/// Glob collections and aliases in a view.
extension TypeView {
    /// The view's entry for the glob collection that a name is in, if anybody asked for that.
    func glob(of id: NameID) -> NameID? {
        self.collections.collection(of: id).flatMap { self.existingID(of: $0) }
    }

    /// Whether the subscription covers the name through a glob collection.
    func isMember(_ id: NameID, of content: Subscription.Content) -> Bool {
        guard !content.globs.isEmpty, let glob = self.glob(of: id) else { return false }
        return content.globs.contains(glob)
    }

    /// Whether the subscription covers the name other than through its wildcard.
    func isNamed(_ id: NameID, by content: Subscription.Content) -> Bool {
        content.contains(id) || self.isMember(id, of: content)
    }

    /// The subscriptions that the named lane of a name concerns.
    func subscribers(of id: NameID) -> [Int32] {
        let named = self[id].subscribers
        guard let glob = self.glob(of: id) else { return named }
        let others = self[glob].subscribers.filter { index in
            guard let content = self.subscriptions[Int(index)]?.content else { return false }
            return content.globs.contains(glob) && !named.contains(index)
        }
        return named + others
    }

    /// The glob collections among some names.
    func globs(among names: some Sequence<NameID>) -> [NameID] {
        names.filter { ResourceName.isGlob(self[$0].name, type: self.type) }.sorted()
    }

    /// The members of glob collections; with `gone` also those that were.
    func members(of globs: some Sequence<NameID>, gone: Bool = false) -> [NameID] {
        let all = globs.flatMap { self.collections.members(of: self[$0].name) }.sorted()
        return gone ? all : all.filter { if case .present = self[$0].named { true } else { false } }
    }

    /// The names of a subscription, those in its glob collections included, each once.
    func expand(_ content: Subscription.Content, gone: Bool) -> [NameID] {
        guard !content.globs.isEmpty else { return content.names }
        return content.names + self.members(of: content.globs, gone: gone).filter { !content.contains($0) }
    }

    /// Whether a collection was answered and has no member: clients are told by its name (NAME-04).
    func isEmptyCollection(_ id: NameID) -> Bool {
        guard case .populated = self[id].named else { return false }
        return self.collections.members(of: self[id].name).allSatisfy {
            if case .present = self[$0].named { false } else { true }
        }
    }

    /// Remembers what a change says about names: the collection that brought it, where that is not the directory's own, and
    /// the resource's own name, where it was asked for by another.
    func noteNames(_ id: NameID, _ change: ResourceChange) {
        switch change.presence {
        case .present(let resource):
            if let glob = change.collection { self.collections.add(id, to: glob) }
            // What cannot be resolved any more was known by its other name, and may be gone by it next.
            if resource.name != change.name, resource.hasBody {
                self.otherNames[id] = resource.name
            } else if !self.otherNames.isEmpty, resource.hasBody {
                self.otherNames[id] = nil
            }
        case .absent: if change.collection != nil { self.goneMembers.append(id) }
        case .unknown: if !self.otherNames.isEmpty { self.otherNames[id] = nil }
        case .populated: break
        }
    }

    // MARK: What is gone

    private static let goneMembersKept = 64

    /// Whether enough members are gone to look for what can be forgotten; all can when nobody asks for a collection.
    var mustPruneMembers: Bool {
        guard !self.goneMembers.isEmpty else { return false }
        return self.goneMembers.count > max(Self.goneMembersKept, self.goneMembersPruneAt)
            || self.oldestGlobGeneration == nil
    }

    /// Forgets members that are gone, once every client has been told. Endpoints come and go under ever new names.
    func pruneMembers(_ oldestDetached: Generation?) {
        let oldest = self.oldestGlobGeneration.map { min($0, oldestDetached ?? .max) }
        self.goneMembers = self.goneMembers.filter { id in
            guard self[id].isInUse, case .absent = self[id].named, self[id].subscribers.isEmpty else { return false }
            if let oldest = oldest, self[id].namedChanged > oldest { return true }
            self[id].named = .unknown
            self.releaseIfUnused(id)
            return false
        }
        self.goneMembersPruneAt = 2 * self.goneMembers.count
    }

    /// What the subscriber of a glob collection who is furthest behind has been sent; nil: there is none.
    private var oldestGlobGeneration: Generation? {
        var oldest: Generation?
        for case let subscription? in self.subscriptions where !subscription.content.globs.isEmpty {
            oldest = oldest ?? self.generation
            for cohort in subscription.cohorts.map({ self.cohorts[Int($0)] })
            where cohort.generation < subscription.changed {
                oldest = min(oldest ?? 0, cohort.generation)
            }
        }
        return oldest
    }
}
