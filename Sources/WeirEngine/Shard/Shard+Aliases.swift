import WeirXDS

/// What a client that comes back holds under names that it does not ask for: it asked for them by an alias (NAME-08).
extension Shard {
    /// The names of their own of the resources that a client sees by the names it asks for. Empty in types that have no
    /// aliases.
    func ownNames(_ content: Subscription.Content, in view: TypeView) -> Set<String> {
        guard view.type == .vhds else { return [] }
        // One without payload is an alias that cannot be resolved, by whatever name it comes (NAME-09).
        return Set(content.names.compactMap { view.visible($0, to: content) }.filter(\.hasBody).map(\.name))
    }

    /// Of what a client holds: the names that nothing is known by any more, once all that it asks for is answered. The
    /// origin speaks of the alias then, which may never have been resolved here.
    func goneByAlias(
        _ held: [String: String], besides present: Set<String>, _ content: Subscription.Content, in view: TypeView
    ) -> [String] {
        guard view.type == .vhds, !content.wildcard, !content.names.isEmpty, view.isAnswered(content) else { return [] }
        return held.keys.filter { name in
            !present.contains(name) && view.existingID(of: name).map { !content.contains($0) } ?? true
        }.sorted()
    }
}
