/// What clients see of a view.
extension TypeView {
    /// What a client with this subscription sees under the name; nil if nothing.
    func visible(_ id: NameID, to subscription: Subscription.Content) -> Resource? {
        if subscription.wildcard, let resource = self[id].wild { return resource }
        let isNamed = subscription.contains(id)
        guard isNamed || self.isMember(id, of: subscription) else { return nil }
        switch self[id].named {
        case .present(let resource): return resource
        case .absent, .populated: return nil
        // Until the origin has answered the name, what the wildcard knows of it serves.
        case .unknown: return isNamed ? self[id].wild : nil
        }
    }

    /// Whether a client that saw the name through its wildcard sees something else when that ends: the origin's two
    /// streams need not be equally far.
    func isDifferentByName(_ id: NameID) -> Bool {
        guard let wild = self[id].wild else { return false }
        switch self[id].named {
        case .present(let named): return named.hash != wild.hash || named.version != wild.version
        case .absent: return true
        case .unknown, .populated: return false
        }
    }
}
