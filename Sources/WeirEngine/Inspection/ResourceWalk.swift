package import WeirBase
package import WeirXDS

/// What clients of one group have of one type, in no particular order.
package struct HeldType: Sendable {
    package var type: XDSType
    /// When the content last changed.
    package var updated: WallTime?
    /// References, not copies.
    package var resources: [Resource]
}

/// A walk over the resources of one group, in pieces, so that no push waits for a dump however many there are.
///
/// Each type is as it was at one moment: what changes while it is walked over makes the walk over it begin anew. Confined
/// to the home's loop; what it found may go anywhere.
package final class ResourceWalk {
    /// Which types, which name, and which place in the order of type URL and name to begin after.
    package struct Filter: Sendable {
        package var typeURL: String?
        package var name: String?
        package var after: (typeURL: String, name: String)?

        package init(typeURL: String? = nil, name: String? = nil, after: (typeURL: String, name: String)? = nil) {
            self.typeURL = typeURL
            self.name = name
            self.after = after
        }

        func wants(typeURL: String) -> Bool { self.typeURL.map { $0 == typeURL } ?? true }

        func isBehind(typeURL: String) -> Bool { self.after.map { typeURL < $0.typeURL } ?? false }

        func wants(_ resource: Resource, of typeURL: String) -> Bool {
            if let name = self.name, resource.name != name { return false }
            guard let after = self.after, after.typeURL == typeURL else { return true }
            return resource.name > after.name
        }
    }

    package private(set) var found: [HeldType] = []
    /// Resources looked at that the filter's `after` left out; with `found` what there is.
    package private(set) var skipped = 0
    private let filter: Filter
    /// The types to come, the next one last.
    private var types: [(origin: OriginGroup, typeURL: String)]
    private var place: Place?

    /// A place within one type.
    private struct Place {
        let type: OriginType
        let stamp: Stamp
        let content: HeldType
        var restarts: Int
        var lane: Lane = .wildcard
        var wild: Dictionary<String, Resource>.Index?
        var named: Dictionary<String, Presence>.Index?
        /// Once restarting has not helped: what there was at one moment. A push that comes meanwhile copies it once.
        var snapshot: (wild: [String: Resource], named: [String: Presence])?
        var withheldSeen = 0
        var resources: [Resource] = []
        var skipped = 0
    }

    /// Changes whenever a type's content does.
    private struct Stamp: Hashable {
        var changes: Int
        var generation: Generation
        var withheld: Int

        init(_ type: OriginType) {
            self.changes = type.changes
            self.generation = type.generation
            self.withheld = type.gate.withheld.count
        }
    }

    private static let restartsMax = 8

    package init(_ group: FederatedGroup, _ filter: Filter) {
        self.filter = filter
        let all = group.origins.flatMap { _, origin in origin.sortedTypes.map { (origin, $0.type.typeURL) } }
        let wanted = all.filter { filter.wants(typeURL: $0.1) }
        self.types = wanted.filter { !filter.isBehind(typeURL: $0.1) }.reversed()
        for (origin, url) in wanted where filter.isBehind(typeURL: url) {
            self.skipped += origin.types[url]?.servedCount ?? 0
        }
    }

    /// Looks at up to `limit` resources. Returns whether there are more.
    package func advance(limit: Int) -> Bool {
        if self.place == nil, !self.begin(restarts: 0) { return false }
        guard var place = self.place else { return !self.types.isEmpty }
        self.place = nil
        if let name = self.filter.name {
            // There are few, so that nothing is skipped.
            self.look(up: name, in: &place)
            self.finish(place)
            return !self.types.isEmpty
        }
        guard place.snapshot != nil || self.isCurrent(place) else { return self.begin(restarts: place.restarts + 1) }
        if self.copy(limit, from: &place) {
            self.place = place
            return true
        }
        self.finish(place)
        return !self.types.isEmpty
    }

    /// Whether the indices of the place still mean something.
    private func isCurrent(_ place: Place) -> Bool {
        guard let (origin, url) = self.types.last else { return false }
        return origin.types[url] === place.type && Stamp(place.type) == place.stamp
    }

    /// Begins the next type that still exists. Returns whether there is one.
    private func begin(restarts: Int) -> Bool {
        while let (origin, url) = self.types.last {
            guard let type = origin.types[url] else {
                self.types.removeLast()
                continue
            }
            var place = Place(
                type: type, stamp: Stamp(type),
                content: HeldType(type: type.type, updated: type.label.updated, resources: []), restarts: restarts)
            place.wild = type.wild.startIndex
            place.named = type.byName.startIndex
            if restarts >= Self.restartsMax {
                place.snapshot = (type.servedWild, type.servedNamed)
                place.wild = place.snapshot?.wild.startIndex
                place.named = place.snapshot?.named.startIndex
            }
            self.place = place
            return true
        }
        return false
    }

    /// Copies references. Returns whether there are more in this type.
    private func copy(_ limit: Int, from place: inout Place) -> Bool {
        if let snapshot = place.snapshot {
            return self.copy(limit, snapshot.wild, snapshot.named, withheld: [:], &place)
        }
        return self.copy(limit, place.type.wild, place.type.byName, withheld: place.type.gate.withheld, &place)
    }

    private func copy(
        _ limit: Int, _ wild: [String: Resource], _ named: [String: Presence], withheld: [Slot: Withheld],
        _ place: inout Place
    ) -> Bool {
        var left = limit
        while let index = place.wild, index != wild.endIndex, left > 0 {
            let (name, resource) = wild[index]
            if withheld.isEmpty || withheld[Slot(lane: .wildcard, name: name)] == nil { self.take(resource, &place) }
            place.wild = wild.index(after: index)
            left -= 1
        }
        while let index = place.named, index != named.endIndex, left > 0 {
            let (name, presence) = named[index]
            if let resource = presence.resource, withheld.isEmpty || withheld[Slot(lane: .named, name: name)] == nil {
                self.take(resource, &place)
            }
            place.named = named.index(after: index)
            left -= 1
        }
        // What clients have instead of what the control plane says.
        for entry in withheld.values.dropFirst(place.withheldSeen).prefix(left) {
            if let resource = entry.served.resource { self.take(resource, &place) }
            place.withheldSeen += 1
            left -= 1
        }
        return left <= 0
    }

    private func take(_ resource: Resource, _ place: inout Place) {
        if self.filter.wants(resource, of: place.content.type.typeURL) {
            place.resources.append(resource)
        } else if self.filter.after != nil {
            place.skipped += 1
        }
    }

    private func look(up name: String, in place: inout Place) {
        let type = place.type
        for lane in [Lane.wildcard, .named] {
            let keys = lane == .named ? [name] + (type.named?.aliases.keys(of: name) ?? []) : [name]
            for key in keys {
                if let resource = type.servedPresence(Slot(lane: lane, name: key)).resource {
                    self.take(resource, &place)
                }
            }
        }
    }

    private func finish(_ place: Place) {
        self.types.removeLast()
        self.skipped += place.skipped
        guard !place.resources.isEmpty else { return }
        var content = place.content
        content.resources = place.resources
        self.found.append(content)
    }
}
