import WeirBase
import WeirEngine
import WeirXDS

/// What a client holds, as far as it must know to tell what changed. Pure.
///
/// What a wildcard brought and what came by name are kept apart by the engine; to the client's owner they are one set, in
/// which what came by name goes first.
struct ClientContent {
    private struct Held {
        var wildcard: Resource?
        var named: Resource?

        var effective: Resource? { self.named ?? self.wildcard }

        subscript(lane: Lane) -> Resource? {
            get { lane == .wildcard ? self.wildcard : self.named }
            set { if lane == .wildcard { self.wildcard = newValue } else { self.named = newValue } }
        }
    }

    private var types: [String: [String: Held]] = [:]

    /// Takes over a state of a type; what it changed for the client's owner, nil if nothing.
    mutating func apply(_ update: TypeUpdate) -> XDSClient.Change? {
        let before = self.types[update.typeURL] ?? [:]
        var after = update.isFull ? [:] : before
        var missing: [String] = []
        var errors: [String: ResourceError] = [:]
        var forgotten: Set<String> = []
        for change in update.changes {
            if let error = change.error { errors[change.name] = error }
            if change.isRefresh { continue }
            switch change.presence {
            case .present(let resource):
                after[change.name, default: Held()][change.lane] = resource.hasBody ? resource : nil
            case .absent:
                after[change.name]?[change.lane] = nil
                if change.lane == .named, before[change.name]?.effective == nil { missing.append(change.name) }
            case .unknown:
                after[change.name]?[change.lane] = nil
                forgotten.insert(change.name)
            case .populated: break
            }
        }
        // A heartbeat refreshes what is held; a full state has it all the same.
        after = after.filter { $0.value.effective != nil }
        self.types[update.typeURL] = after.isEmpty ? nil : after
        let type = XDSType(typeURL: update.typeURL)
        let touched = update.isFull ? Set(before.keys).union(after.keys) : Set(update.changes.map(\.name))
        var updated: [XDSResource] = []
        var removed: [String] = []
        for name in touched.sorted() {
            switch (before[name]?.effective, after[name]?.effective) {
            case (let old, let new?) where old !== new && !Self.isSame(old, new):
                if let resource = Self.value(new, type) { updated.append(resource) }
            case (.some, nil) where !forgotten.contains(name): removed.append(name)
            default: break
            }
        }
        guard !updated.isEmpty || !removed.isEmpty || !missing.isEmpty || !errors.isEmpty else { return nil }
        return XDSClient.Change(
            type: type, version: update.version, updated: updated, removed: removed, missing: missing.sorted(),
            errors: errors)
    }

    private static func isSame(_ old: Resource?, _ new: Resource) -> Bool {
        old?.hash == new.hash && old?.version == new.version
    }

    /// What was stored decoded once, so it decodes again.
    private static func value(_ resource: Resource, _ type: XDSType) -> XDSResource? {
        // A span of a class's array would escape; the local shares the storage.
        let encoded = resource.encoded
        return try? XDSResource(
            type: type, name: resource.name, version: resource.version, any: resource.anyRange, in: encoded.span)
    }
}
