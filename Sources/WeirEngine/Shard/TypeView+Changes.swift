/// What a client lacks.
extension TypeView {
    /// The names a client with this subscription must hear of, having been sent `base`.
    func changes(for index: Int32, since base: Generation) -> [NameID] {
        guard let subscription = self.subscriptions[Int(index)] else { return [] }
        let content = subscription.content
        if base > 0, base >= subscription.changed { return [] }
        if base > 0, subscription.changed == self.generation, base >= subscription.changedBefore {
            // The usual case: it had everything before the newest update.
            var seen: Set<NameID> = []
            return self.recent.compactMap { change in
                let isShadowed = content.wildcard && self[change.name].wild != nil
                let isNamed = self.isNamed(change.name, by: content) && !isShadowed
                let concerns =
                    change.lane == .wildcard
                    ? content.wildcard || isNamed && self.isUnknown(change.name)
                    : isNamed
                return concerns && seen.insert(change.name).inserted ? change.name : nil
            }
        }
        var result: [NameID] = []
        if content.wildcard {
            for id in self.wildcardMembers
            where self[id].wildChanged > base || self[id].refreshed > base || base == 0 {
                result.append(id)
            }
            if base > 0 { result += self.left(since: base) }
        }
        for id in self.expand(content, gone: base > 0) {
            // Seen through the wildcard, or just left it: listed above.
            if content.wildcard, self[id].wild != nil || base > 0 && self[id].wildChanged > base { continue }
            if self.isUnknown(id) {
                if self[id].wild != nil, self[id].wildChanged > base || self[id].refreshed > base || base == 0 {
                    result.append(id)
                }
            } else if self[id].namedChanged > base || self[id].refreshed > base || base == 0 {
                result.append(id)
            }
        }
        if !self.errors.isEmpty { result += self.newErrors(content, since: base, except: result) }
        return result
    }

    /// The names that left the wildcard set after `base`.
    func left(since base: Generation) -> [NameID] {
        Set(self.departed).filter { self[$0].wild == nil && self[$0].wildChanged > base }.sorted()
    }

    /// Whether the origin has answered everything the subscription asks.
    func isAnswered(_ content: Subscription.Content) -> Bool {
        if content.wildcard, self.wildcardKnownAt == 0 { return false }
        return content.names.allSatisfy { id in
            !self.isUnknown(id) || self[id].wild != nil || self.errors[id] != nil
        }
    }
}
