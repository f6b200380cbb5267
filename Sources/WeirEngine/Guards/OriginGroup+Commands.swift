package import WeirBase
import WeirXDS

/// What an operator may have a whole group do.
extension OriginGroup {
    /// Has the control plane asked for everything again, on new upstream streams, as if nothing were held. Clients hear only
    /// of what is different then.
    package func refresh(now: Instant) {
        guard self.variant != nil else { return }
        for feed in self.sortedTypes.flatMap(\.feeds) {
            feed.acceptedVersion = ""
            feed.acceptedFrom = ""
        }
        for number in self.streams.indices where self.streams[number].isOpen { self.restart(number) }
    }

    /// Forgets the group, if nobody uses it.
    package func evict(now: Instant, wall: WallTime) throws(CommandRefusal) {
        guard !self.hasMembers else {
            let workers = self.members.nonzeroBitCount
            throw CommandRefusal(
                .conflict, "streams use key \"\(self.key)\", on \(workers) \(workers == 1 ? "worker" : "workers")")
        }
        for type in self.sortedTypes {
            self.dropGate(of: type)
            self.types[type.type.typeURL] = nil
        }
        for number in self.streams.indices where self.streams[number].isWanted {
            self.streams[number] = UpstreamStream()
            self.actions.append(.closeStream(number))
        }
        self.dropIfIdle()
    }
}
