import WeirXDS

/// What a control plane says of resources that it does not send (xRFC TP3).
extension OriginGroup {
    /// The changes that the errors of a response make. Not found is a removal (XLT-11); all other errors leave what is held
    /// as it is, for clients are better off with that than with nothing (NAME-14).
    func errorChanges(_ received: ReceivedResponse, _ feed: Feed, _ type: OriginType) -> [ResourceChange] {
        var changes: [ResourceChange] = []
        for (name, error) in received.errors {
            guard feed.lane == .wildcard || feed.names[name] != nil || type.resource(name, in: .named) != nil else {
                continue
            }
            feed.unanswered[name] = nil
            // Who waits for it must hear of it once more.
            if feed.renewing.remove(name) != nil { type.forgetError(of: name, in: feed.lane) }
            if error.isNotFound {
                var removals = self.removals(of: name, feed, type)
                // Only a name that was asked for is remembered with why.
                if let i = removals.firstIndex(where: { $0.name == name }), feed.names[name] != nil {
                    removals[i].error = error
                }
                changes += removals
            } else {
                changes.append(
                    ResourceChange(
                        lane: feed.lane, name: name, presence: .unknown, isRefresh: true, error: error))
            }
        }
        return changes
    }
}
