import WeirXDS

/// Resources that are known by other names than their own: virtual hosts are asked for by the hosts they serve (NAME-08).
///
/// Memory: an entry for each alias that the control plane lists for a resource that is held.
struct AliasTable {
    private struct Resolved {
        var resource: Resource
        /// The names under which it is held.
        var keys: Set<String>
    }

    /// By the resource's own name.
    private var resolved: [String: Resolved] = [:]
    /// The resource's own name by each that it has.
    private var names: [String: String] = [:]

    /// Notes under which names a resource is held.
    mutating func note(_ resource: Resource, keys: [String]) {
        guard resource.hasBody, !resource.aliases.isEmpty || self.resolved[resource.name] != nil else { return }
        self.resolved[resource.name] = Resolved(resource: resource, keys: Set(keys))
        for name in [resource.name] + resource.aliases { self.names[name] = resource.name }
    }

    /// The resource of this name or alias, if it is held.
    func resource(for name: String) -> Resource? { self.names[name].flatMap { self.resolved[$0]?.resource } }

    /// The names under which the resource with this name of its own is held.
    func keys(of name: String) -> [String] { self.resolved[name]?.keys.sorted() ?? [] }

    /// Holds it under one name more.
    mutating func add(key: String) {
        guard let name = self.names[key] else { return }
        self.resolved[name]?.keys.insert(key)
    }

    /// A name is not wanted any more; what has none left is not held.
    mutating func forget(key: String) {
        guard let name = self.names[key], self.resolved[name]?.keys.remove(key) != nil else { return }
        if self.resolved[name]?.keys.isEmpty == true { self.forget(resource: name) }
    }

    /// The resource is gone.
    mutating func forget(resource name: String) {
        guard let gone = self.resolved.removeValue(forKey: name) else { return }
        for other in [name] + gone.resource.aliases where self.names[other] == name { self.names[other] = nil }
    }
}
