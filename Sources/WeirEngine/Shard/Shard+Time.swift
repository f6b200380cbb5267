package import WeirBase
import WeirXDS

/// What happens because time passes, or because an origin comes and goes.
extension Shard {
    /// To be called a few times a second. Linear in the streams that are behind or were never answered.
    package func tick() {
        self.expireAcks()
        self.expireUnanswered()
        self.forgetCachedAnswers()
    }

    /// Streams that do not answer get the newest state all the same, once they have read what they were sent (ORD-10).
    private func expireAcks() {
        let limit = UInt32(clamping: self.policy.ackTimeout.rawValue / 1_000_000)
        for index in self.behind.sorted() {
            let record = self.typeStreams[Int(index)]
            guard record.isBehind, !record.isDue, self.milliseconds &- record.sentAt >= limit else { continue }
            guard !self.isStuck(record.stream) else {
                self.links[Int(record.stream)].isHolding = true
                continue
            }
            self.move(stream: record.stream)
            if record.isAwaiting, let view = self.view(of: index) {
                self.events.append(
                    .ackTimeout(
                        node: self.streams[self.id(ofStream: index)]?.identity?.id ?? "",
                        key: self.groups[Int(view.group)]?.key ?? "", type: view.type))
            }
        }
    }

    /// A stream must not wait for ever without a word: gRPC clients would take silence for absence. One that never sent
    /// a request, and one whose group has nothing to serve and no upstream to ask, ends.
    private func expireUnanswered() {
        var kept: [(stream: SlotID, since: Instant)] = []
        for entry in self.unanswered {
            guard let stream = self.streams[entry.stream] else { continue }
            if self.wasAnswered(entry.stream) { continue }
            if self.refuseIfSiblingWaits(entry.stream, since: entry.since) { continue }
            if stream.identity == nil {
                if self.now - entry.since >= self.policy.firstRequestTimeout {
                    self.refuse(
                        entry.stream, .deadlineExceeded, .firstRequestTimeout,
                        "no discovery request within \(self.policy.firstRequestTimeout.seconds) s of opening the stream"
                    )
                    continue
                }
            } else if self.refuseIfCold(entry.stream, since: entry.since) {
                continue
            } else {
                self.askForWarmth(entry.stream)
            }
            kept.append(entry)
        }
        self.unanswered = kept
    }

    private func wasAnswered(_ id: SlotID) -> Bool {
        var index = self.links[Int(id.index)].firstType
        while index != TypeStream.none {
            if self.typeStreams[Int(index)].wasAnswered { return true }
            index = self.typeStreams[Int(index)].next
        }
        return false
    }

    private func refuseIfCold(_ id: SlotID, since: Instant) -> Bool {
        var index = self.links[Int(id.index)].firstType
        var cold: ShardGroup?
        while index != TypeStream.none {
            guard let view = self.view(of: index), let group = self.groups[Int(view.group)] else { return false }
            if view.generation > 0 || group.origin.isConnected { return false }
            cold = group
            index = self.typeStreams[Int(index)].next
        }
        guard let group = cold, group.views.allSatisfy({ self.views[Int($0)]?.generation ?? 0 == 0 }) else {
            return false
        }
        let waiting = self.now - max(since, group.disconnectedSince)
        guard waiting >= group.coldTimeout else { return false }
        let reason = group.origin.lastError.isEmpty ? "not connected yet" : group.origin.lastError
        self.refuse(
            id, .unavailable, .upstreamUnavailable,
            "nothing is cached for key \"\(group.key)\" and upstream \(group.upstream) cannot be reached: \(reason)")
        return true
    }

    /// Encoded answers to new clients are kept while clients come in bursts, not for ever.
    private func forgetCachedAnswers() {
        if !self.answerMemos.isEmpty { self.answerMemos = [:] }
        self.heldMemo.forgetAll()
        guard self.milliseconds &- self.cachesForgottenAt >= 2_000 else { return }
        self.cachesForgottenAt = self.milliseconds
        for view in self.views {
            guard let view = view else { continue }
            for index in view.subscriptions.indices { view.subscriptions[index]?.full = VariantSlots() }
            for index in view.cohorts.indices where view.cohorts[index].awaiting.isEmpty {
                view.cohorts[index].step = nil
                view.cohorts[index].split = nil
            }
        }
    }

    /// The group's origin was reached or lost.
    package func originChanged(group key: String, _ state: OriginState) {
        guard let index = self.groupIndex[key], let group = self.groups[Int(index)] else { return }
        if !group.origin.isConnected, state.isConnected { self.groups[Int(index)]?.connectedSince = self.now }
        // A server that accepts a stream and ends it, again and again, is as good as none.
        if group.origin.isConnected, !state.isConnected, self.now - group.connectedSince >= group.coldTimeout {
            self.groups[Int(index)]?.disconnectedSince = self.now
        }
        self.groups[Int(index)]?.origin = state
        if state.isBorrowed, !self.siblings.isEmpty { self.refuseSiblings(of: index) }
    }

    /// The home refuses the group: all its streams end.
    package func groupRefused(_ key: String, _ code: RefusalCode, _ reason: RejectionReason, _ message: String) {
        guard let index = self.groupIndex[key], let group = self.groups[Int(index)] else { return }
        let views = Set(group.views)
        for typeStream in self.typeStreams.indices {
            let record = self.typeStreams[typeStream]
            guard record.stream != TypeStream.none, views.contains(record.view) else { continue }
            self.refuse(self.id(ofStream: Int32(typeStream)), code, reason, message)
        }
    }
}
