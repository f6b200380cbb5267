import WeirBase
import WeirXDS

/// Holds and restarts.
///
/// What guards hold for its size needs nothing of its own: while a gate is closed the store keeps what clients have, and after
/// a restart the guards compare that with what the control plane says, as they did before. An operator's hold is nobody's
/// comparison, so it is stored with the type. So is what clients rejected: to try it once more would give it to some of
/// them again, and to all if those that come first after the restart happen to take it.
extension OriginGroup {
    /// Has the store keep what clients have of a type that an operator holds, and that it is held.
    func storeHold(of type: OriginType) {
        guard self.isStored(type.type), let hold = type.gate.hold, hold.reason == .operator else { return }
        var draft = StoreDraft()
        draft.isEverything = true
        draft.replacesWildcard = type.wildcardKnown
        let wild = type.servedWild.map {
            ResourceChange(lane: .wildcard, name: $0.key, presence: .present($0.value))
        }
        let named = type.servedNamed.map {
            ResourceChange(
                lane: .named, name: $0.key, presence: $0.value, collection: type.named?.members[$0.key])
        }
        // Without a source: the server is asked for everything then, for it may call something newer by these versions.
        draft.batches = [StoreUpdate.Batch(changes: wild + named, source: "")]
        draft.head = self.servedHead(of: type, hold)
        self.unstored[type.type.typeURL] = draft
    }

    /// Has the store keep that clients rejected a push, beside what they have, which is there already.
    func storeRejection(of type: OriginType) {
        let url = type.type.typeURL
        guard self.isStored(type.type), let hold = type.gate.hold, hold.reason == .nack else { return }
        // Without changes that wait, the store has the head of what clients have.
        var head = self.unstored[url] == nil ? self.storedHeads[url] : nil
        if head == nil { head = self.servedHead(of: type, hold) }
        head?.hold = StoredHold(since: hold.sinceWall, detail: hold.detail, rejected: type.contentDigest)
        guard let head = head, head != self.storedHeads[url] else { return }
        self.unstored[url, default: StoreDraft()].head = head
    }

    private func servedHead(of type: OriginType, _ hold: Hold) -> StoredHead {
        var head = self.head(of: type)
        let label = type.label
        for lane in [\StoredHead.wildcard, \StoredHead.named] where head[keyPath: lane] != nil {
            head[keyPath: lane]?.acceptedVersion = ""
            head[keyPath: lane]?.acceptedFrom = ""
        }
        // The label is that of the wildcard where there is one.
        let labelled = head.wildcard == nil ? \StoredHead.named : \StoredHead.wildcard
        head[keyPath: labelled]?.version = label.version
        head[keyPath: labelled]?.isDerived = label.isDerived
        head.equalVersions = label.equalVersions
        head.updated = label.updated
        head.hold = StoredHold(since: hold.sinceWall, detail: hold.detail)
        return head
    }

    /// A type was filled with what clients had under an operator's hold: it goes on.
    func resumeHold(_ hold: StoredHold?, _ type: OriginType, _ now: Instant, _ wall: WallTime) {
        guard let hold = hold, type.generation > 0, type.isStale, !type.gate.isClosed else { return }
        self.close(type, hold.rejected.isEmpty ? .operator : .nack, hold.detail, now, hold.since)
        type.gate.hold?.rejectedBefore = hold.rejected
        self.noteHeld(type)
    }

    /// Whether the control plane says what clients rejected before the relay was started.
    func wasRejectedBefore(_ type: OriginType) -> Bool {
        guard let hold = type.gate.hold, hold.reason == .nack else { return false }
        return hold.rejectedBefore == type.contentDigest
    }
}
