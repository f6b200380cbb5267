/// Resources that left a type while some client may have been behind.
///
/// A response in which absence means removal cannot hold a removal back but by carrying once more what is removed. Kept
/// only while some client of the type is behind.
struct RetiredResources {
    private struct Retired {
        var resource: Resource
        var lane: Lane
        /// When it came, as far as that matters: 0 is before anybody fell behind.
        var since: Generation
        var at: Generation
    }

    private struct Key: Hashable {
        var name: String
        var lane: Lane
    }

    /// In the order in which they left. Beyond this, the oldest is forgotten: its removal is not held back any more.
    static let max = 1024
    private var list: [Retired] = []
    private var appearances: [Key: Generation] = [:]

    var count: Int { self.list.count }
    var isEmpty: Bool { self.list.isEmpty && self.appearances.isEmpty }

    mutating func appeared(_ name: String, _ lane: Lane, at generation: Generation) {
        // Beyond the bound a client may be sent, for a moment, what came and went while it was behind.
        guard self.appearances.count < Self.max else { return }
        self.appearances[Key(name: name, lane: lane)] = generation
    }

    mutating func left(_ resource: Resource, _ lane: Lane, at generation: Generation) {
        let since = self.appearances.removeValue(forKey: Key(name: resource.name, lane: lane)) ?? 0
        if self.list.count >= Self.max { self.list.removeFirst(Self.max / 2) }
        self.list.append(Retired(resource: resource, lane: lane, since: since, at: generation))
    }

    /// Those that were there at `base` and left after it, as far as `isWanted` says, each name once.
    func held(at base: Generation, isWanted: (_ name: String, _ lane: Lane) -> Bool) -> [Resource] {
        var names: Set<String> = []
        return self.list.reversed().compactMap { entry in
            guard entry.since <= base, base < entry.at, isWanted(entry.resource.name, entry.lane),
                names.insert(entry.resource.name).inserted
            else { return nil }
            return entry.resource
        }
    }
}
