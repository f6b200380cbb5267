import WeirBase
import WeirHash

/// Streams of sibling relays that fill a cold group from this one (`warm_from`).
///
/// A sibling is served like any client, with two differences that keep content from going in a circle: it is given
/// nothing that came from a sibling itself, and it is not kept waiting. It does not make this relay look for a sibling.
extension Shard {
    /// How long a sibling waits for an answer; what is held is answered at once.
    private static let siblingPatience = Nanoseconds.seconds(1)

    /// What a relay shows of a key to its sibling, so that both mean the same group.
    package static func digest(ofKey key: String) -> String { ContentHash(of: key).shortHex }

    /// Ends a sibling's stream that this group cannot serve. Returns whether it did.
    func refuseSibling(_ id: SlotID, _ digest: String, _ index: Int32) -> Bool {
        guard let group = self.groups[Int(index)] else { return false }
        if Self.digest(ofKey: group.key) != digest {
            self.refuseSibling(id, "the node that it shows has another key here")
        } else if group.origin.isBorrowed {
            self.refuseSibling(id, "what is held is from a sibling as well")
        } else {
            return false
        }
        self.settleIfUnused(index)
        return true
    }

    /// A group without streams is given up again.
    private func settleIfUnused(_ index: Int32) {
        guard let group = self.groups[Int(index)], group.views.isEmpty else { return }
        self.leave(index)
    }

    private func refuseSibling(_ id: SlotID, _ reason: String) {
        self.refuse(id, .unavailable, .notConfirmed, "nothing for a sibling relay: \(reason)")
    }

    /// Ends siblings' streams that nothing is there for. Returns whether it did.
    func refuseIfSiblingWaits(_ id: SlotID, since: Instant) -> Bool {
        guard !self.siblings.isEmpty, self.siblings[id] != nil, self.now - since >= Self.siblingPatience else {
            return false
        }
        self.refuseSibling(id, "the upstream has not answered here")
        return true
    }

    /// What a group holds is from a sibling now: it is passed on to none.
    func refuseSiblings(of index: Int32) {
        for (id, _) in self.siblings.sorted(by: { $0.key.packed < $1.key.packed })
        where self.streams[id]?.group == index {
            self.refuseSibling(id, "what is held is from a sibling as well")
        }
    }

    /// How often the home is asked while somebody waits.
    private static let warmthInterval = Nanoseconds.seconds(2)

    /// Asks the home for what a sibling may have, again and again: who waits must be of flesh and blood, or two cold relays
    /// would keep each other's groups alive.
    func askForWarmth(_ id: SlotID) {
        guard self.siblings[id] == nil, let index = self.streams[id]?.group, index != TypeStream.none,
            let group = self.groups[Int(index)], !group.origin.isConnected, !group.origin.lastError.isEmpty
        else { return }
        if let asked = group.askedForWarmth, self.now - asked < Self.warmthInterval { return }
        self.groups[Int(index)]?.askedForWarmth = self.now
        self.commands.append((group.key, .warm))
    }
}
