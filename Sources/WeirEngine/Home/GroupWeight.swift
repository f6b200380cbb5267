/// How much there is to be done with a group, counted in resources and names. Whoever runs a group may let what is heavy
/// be done where nobody waits for it; nothing in the engine depends on it.
extension OriginGroup {
    /// What is held, asked for, kept back, or was stored.
    package var weight: Int {
        self.types.values.reduce(self.restored.values.reduce(0) { $0 + $1.count }) { $0 + $1.weight }
    }

    /// What a change of a worker's wishes may make necessary.
    fileprivate func weight(of change: InterestChange, from worker: Int) -> Int {
        let names = change.added.count + change.removed.count + change.renewed.count
        var held = self.restored[change.typeURL]?.count ?? 0
        // A new follower is told everything.
        if let type = self.types[change.typeURL], type.wishes[worker] == nil { held += type.weight }
        // A snapshot is looked through.
        if self.variant == nil { held += self.snapshot?.content(ofType: change.typeURL)?.resources.count ?? 0 }
        return names + held
    }
}

extension OriginType {
    fileprivate var weight: Int {
        self.resourceCount + self.gate.withheld.count + (self.named?.names.count ?? 0)
    }
}

extension FederatedGroup {
    /// The same for all its origins.
    package var weight: Int {
        self.isOfOneOrigin ? self.own.weight : self.origins.reduce(0) { $0 + $1.origin.weight }
    }

    /// What a change of a worker's wishes may make necessary; nothing where it may need another origin, which only the
    /// shell can make.
    package func weight(of change: InterestChange, from worker: Int) -> Int {
        self.isOfOneOrigin ? self.own.weight(of: change, from: worker) : 0
    }
}
