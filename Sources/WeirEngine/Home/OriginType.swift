import WeirBase
import WeirHash
import WeirXDS

/// One type of a group: the truth that its workers' views follow.
final class OriginType {
    let type: XDSType
    var wildcard: Feed?
    var named: Feed?
    /// The wildcard lane.
    private(set) var wild: [String: Resource] = [:]
    /// The named lane: what is known of the names that are wanted; the others are unknown.
    private(set) var byName: [String: Presence] = [:]
    /// When resources with a time to live are gone unless the origin says otherwise, by name.
    private(set) var expiries: [Lane: [String: Instant]] = [:]
    /// Why resources are not sent, by name; until they are.
    private(set) var errors: [Lane: [String: ResourceError]] = [:]
    /// Whether the wildcard lane has been answered.
    var wildcardKnown = false
    private(set) var generation: Generation = 0
    /// The version of each lane's content; one that weir made itself is made anew with each change.
    private var versions: [Lane: (text: String, isDerived: Bool)] = [:]
    private(set) var equalVersions: [String] = []
    private var digest = ContentHash.zero
    /// The same for the same names in the same versions, on any relay.
    var contentDigest: String { self.digest.shortHex }
    private(set) var bytes = 0
    private(set) var updated: WallTime?

    /// How many wishes each worker has: its first makes it a follower of the type, its last ends that.
    var wishes: [Int: Int] = [:]
    /// Workers that follow the type though they have no wish here: they have some at other origins (NAME-07).
    var kept: UInt64 = 0
    /// The followers that were told the whole state, so that what is new is enough for them.
    var synced: UInt64 = 0
    /// Until then followers are not told what was restored; nil: they are told everything at once.
    var heldBackUntil: Instant?
    /// Whether it is what was stored, and the control plane has not spoken of it yet.
    var isStale = false
    /// Whether nothing is stored for now: something came from a sibling relay, and the control plane has not confirmed all,
    /// or clients are kept from something.
    var owesStore = false
    /// Pushes that were told of.
    var pushes = 0
    /// The last that followers were told of.
    var lastPush = PushID.none
    /// What keeps clients from the newest state, if anything does.
    var gate = Gate()

    private static let equalVersionsMax = 8

    init(type: XDSType) { self.type = type }

    /// The version of the type: the wildcard's where there is one, for names fetched beside it are no change of it.
    var version: String { self.presentVersion?.text ?? "" }

    /// Whether weir made it itself.
    var isVersionDerived: Bool { self.presentVersion?.isDerived ?? true }

    private var presentVersion: (text: String, isDerived: Bool)? {
        self.versions[self.versionLane] ?? self.versions.values.first
    }

    /// The version of one lane's content.
    func version(of lane: Lane) -> (text: String, isDerived: Bool) { self.versions[lane] ?? ("", true) }

    private var versionLane: Lane { self.wildcard != nil || self.named == nil ? .wildcard : .named }

    var feeds: [Feed] { [self.wildcard, self.named].compactMap { $0 } }

    var workers: UInt64 { self.wishes.keys.reduce(self.kept) { $0 | 1 << UInt64($1) } }

    /// Resources in each lane.
    private(set) var counts: [Lane: Int] = [:]

    var resourceCount: Int { self.counts.values.reduce(0, +) }

    /// Every resource that clients have, the wildcard's first, by name.
    var resources: [Resource] {
        let named = self.servedNamed.values.compactMap(\.resource)
        // One that is subscribed to by an alias stands under several names.
        var seen: Set<ObjectIdentifier> = []
        return (Array(self.servedWild.values) + named).filter { seen.insert(ObjectIdentifier($0)).inserted }
            .sorted { $0.name < $1.name }
    }

    func resource(_ name: String, in lane: Lane) -> Resource? {
        if lane == .wildcard { return self.wild[name] }
        if case .present(let resource)? = self.byName[name] { return resource }
        return nil
    }

    /// Whether a name is held by name and each new subscriber must be answered by the origin (AGG-23).
    func mustBeFetched(_ name: String) -> Bool {
        if case .present(let resource)? = self.byName[name] { resource.mustBeFetched } else { false }
    }

    /// The names present in a lane.
    func presentNames(in lane: Lane) -> [String] {
        guard lane == .named else { return Array(self.wild.keys) }
        return self.byName.compactMap { name, presence in
            if case .present = presence { name } else { nil }
        }
    }

    /// How often content was touched: indices into it are good while this stays the same.
    private(set) var changes = 0

    /// Puts one change into the lane. Returns whether it makes a difference.
    func apply(_ change: ResourceChange) -> Bool {
        self.changes &+= 1
        let isNewError = self.noteError(change)
        if change.error != nil, change.isRefresh { return isNewError }
        let old = self.resource(change.name, in: change.lane)
        if let old = old {
            self.digest.subtract(Self.digest(of: old))
            self.bytes -= old.encoded.count
            self.counts[change.lane, default: 0] -= 1
            (change.lane == .wildcard ? self.wildcard : self.named)?.known.forget(old)
        }
        var expires: Instant?
        if case .present(let new) = change.presence {
            self.digest.add(Self.digest(of: new))
            self.bytes += new.encoded.count
            self.counts[change.lane, default: 0] += 1
            expires = new.timeToLive?.expires
        }
        if expires != nil || self.expiries[change.lane]?[change.name] != nil {
            self.expiries[change.lane, default: [:]][change.name] = expires
        }
        switch (change.lane, change.presence) {
        case (.wildcard, .present(let resource)):
            self.wild[change.name] = resource
            return true
        case (.wildcard, _):
            return self.wild.removeValue(forKey: change.name) != nil || isNewError
        case (.named, .populated):
            if case .populated? = self.byName[change.name] { return false }
            self.byName[change.name] = .populated
            return true
        case (.named, .absent) where change.collection != nil:
            // Nobody asked for it by name, so nobody need be told of its absence later.
            return self.byName.removeValue(forKey: change.name) != nil
        case (.named, .unknown):
            return self.byName.removeValue(forKey: change.name) != nil || isNewError
        case (.named, .absent):
            if case .absent? = self.byName[change.name] { return isNewError }
            self.byName[change.name] = .absent
            return true
        case (.named, .present):
            self.byName[change.name] = change.presence
            return true
        }
    }

    /// Remembers the error of a change, or that there is none any more. Returns whether it is news.
    private func noteError(_ change: ResourceChange) -> Bool {
        let known = self.errors[change.lane]?[change.name]
        guard change.error != known, change.error != nil || !change.isRefresh else { return false }
        self.errors[change.lane, default: [:]][change.name] = change.error
        return true
    }

    /// The error of a name is news when it comes again.
    func forgetError(of name: String, in lane: Lane) { self.errors[lane]?[name] = nil }

    private static func digest(of resource: Resource) -> ContentHash {
        ContentHash(of: resource.name).followed(by: ContentHash(of: resource.version))
    }

    /// Notes a new state. `upstreamVersion` is what the upstream calls it; without one it is made from the content.
    func advance(upstreamVersion: String?, lane: Lane, contentChanged: Bool, wall: WallTime) {
        self.generation += 1
        guard contentChanged || self.versions[lane] == nil else { return }
        self.equalVersions = []
        self.updated = wall
        let isDerived = upstreamVersion?.isEmpty ?? self.versions[lane]?.isDerived ?? true
        if isDerived {
            self.versions[lane] = (self.digest.shortHex, true)
        } else if let version = upstreamVersion {
            self.versions[lane] = (version, false)
        }
    }

    /// The upstream calls the present content by another version too. Returns whether that is news.
    func noteEqual(_ version: String) -> Bool {
        guard !version.isEmpty, version != self.version, !self.equalVersions.contains(version) else { return false }
        self.equalVersions.append(version)
        if self.equalVersions.count > Self.equalVersionsMax { self.equalVersions.removeFirst() }
        return true
    }

    /// The content is again what it was when it was called this; what it was called last is a version of equal content.
    func resume(_ label: ServedLabel) {
        let newest = self.version
        self.versions[self.versionLane] = (label.version, label.isDerived)
        self.equalVersions = label.equalVersions
        self.updated = label.updated
        _ = self.noteEqual(newest)
        self.step()
    }

    /// Clients are about to be told something, although the origin said nothing new.
    func step() { self.generation += 1 }

    /// The whole state, for a worker that just began to follow the type; without what must be fetched for it, except
    /// for the `fresh` ones.
    func fullUpdate(
        passesVersion: Bool, now: Instant, wall: WallTime, fresh: [ResourceChange] = []
    ) -> TypeUpdate {
        let fresh = Set(fresh.filter { $0.lane == .named }.map(\.name))
        var changes = self.servedWild.sorted { $0.key < $1.key }.map {
            ResourceChange(lane: .wildcard, name: $0.key, presence: .present($0.value))
        }
        for (name, presence) in self.servedNamed.sorted(by: { $0.key < $1.key }) {
            // Who asks for a collection is sent what is held of it, as with a wildcard.
            if self.mustBeFetched(name), !fresh.contains(name), self.named?.members[name] == nil { continue }
            changes.append(
                ResourceChange(lane: .named, name: name, presence: presence, collection: self.named?.members[name]))
        }
        for (lane, errors) in self.errors.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            for (name, error) in errors.sorted(by: { $0.key < $1.key })
            where self.gate.withheld[Slot(lane: lane, name: name)] == nil {
                changes.append(
                    ResourceChange(lane: lane, name: name, presence: .unknown, isRefresh: true, error: error))
            }
        }
        var update = self.update(changes, passesVersion: passesVersion, now: now, wall: self.label.updated ?? wall)
        update.isFull = true
        return update
    }

    func update(_ changes: [ResourceChange], passesVersion: Bool, now: Instant, wall: WallTime) -> TypeUpdate {
        let label = self.label
        var update = TypeUpdate(
            typeURL: self.type.typeURL, generation: self.generation, isFull: false, changes: changes,
            wildcardKnown: self.wildcardKnown, version: label.version, equalVersions: label.equalVersions,
            passesVersionToSotW: passesVersion, receivedAt: now, receivedAtWall: wall)
        update.state = self.lastPush
        return update
    }
}
